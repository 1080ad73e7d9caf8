"""The official Python SDK through the gateway: the responses API."""

import json
from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.support.house import House

MODEL = "gpt-4.1-mini"
ASKED = "What is the weather in Tromsø?"
TOOLS: Any = [
    {
        "type": "function",
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }
]


class Recipe(BaseModel):
    """What a structured output shall be."""

    title: str
    minutes: int


def test_a_response_is_created(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=ASKED, instructions="Be brief.")

    assert response.status == "completed"
    assert response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response._request_id is not None
    assert response._request_id.startswith("req_")


def test_nothing_is_stored_upstream(client: OpenAI, home: House) -> None:
    client.responses.create(model=MODEL, input=ASKED, store=True)

    assert json.loads(home.simulator.requests[-1].body)["store"] is False


def test_a_stream_has_every_event_in_order(client: OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input=ASKED, stream=True))

    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "".join(deltas)
    assert last.response.usage is not None


def test_the_stream_helper_gives_the_final_response(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=ASKED) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert snapshots[-1] == final.output_text


def test_a_forced_tool_is_called(client: OpenAI) -> None:
    forced: Any = {"type": "function", "name": "get_weather"}
    response = client.responses.create(model=MODEL, input=ASKED, tools=TOOLS, tool_choice=forced)

    (call,) = response.output
    assert call.type == "function_call"
    assert json.loads(call.arguments).keys() == {"city"}


def test_a_tools_result_is_answered(client: OpenAI) -> None:
    asked = client.responses.create(model=MODEL, input=ASKED, tools=TOOLS, tool_choice="required")
    (call,) = asked.output
    assert call.type == "function_call"

    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sleet"}
    history: Any = [{"role": "user", "content": ASKED}, call.to_dict(), result]
    assert client.responses.create(model=MODEL, input=history, tools=TOOLS).output_text


def test_a_tools_arguments_come_piece_by_piece(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=ASKED, tools=TOOLS, tool_choice="required") as stream:
        pieces = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        (call,) = stream.get_final_response().output

    assert len(pieces) > 1
    assert call.type == "function_call"
    assert json.loads("".join(pieces)) == json.loads(call.arguments)


def test_an_answer_is_parsed_into_a_model_of_pydantic(client: OpenAI) -> None:
    response = client.responses.parse(model=MODEL, input=ASKED, text_format=Recipe)

    assert isinstance(response.output_parsed, Recipe)


def test_a_stream_is_parsed_into_a_model_of_pydantic(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=ASKED, text_format=Recipe) as stream:
        parsed = stream.get_final_response().output_parsed

    assert isinstance(parsed, Recipe)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_cut_short_says_so(client: OpenAI, stream: bool) -> None:
    answer: Any = client.responses.create(model=MODEL, input=ASKED, max_output_tokens=5, stream=stream)
    response = list(answer)[-1].response if stream else answer

    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.output_tokens == 5


def test_a_picture_reaches_the_model_as_it_was_sent(client: OpenAI, home: House) -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}
    content = [{"type": "input_text", "text": "What is this?"}, picture]
    asked: Any = [{"role": "user", "content": content}]
    client.responses.create(model=MODEL, input=asked)

    assert json.loads(home.simulator.requests[-1].body)["input"][0]["content"] == content
