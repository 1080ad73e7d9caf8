"""The official Python SDK through the gateway: chat, completions, and the helpers that apps build upon."""

import base64
import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.support.house import House

MODEL = "gpt-4o-mini"
WEATHER: Any = [{"role": "user", "content": "What is the weather in Tromsø?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
FORCED: Any = {"type": "function", "function": {"name": "get_weather"}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Recipe(BaseModel):
    """What a structured output shall be."""

    title: str
    minutes: int


def test_a_chat_is_answered(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=WEATHER)

    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert completion.usage.total_tokens > completion.usage.prompt_tokens > 0


def test_a_stream_says_what_the_whole_answer_says(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=WEATHER)
    stream = client.chat.completions.create(model=MODEL, messages=WEATHER, stream=True)

    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    )
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_shows_no_usage_that_was_not_asked_for(client: OpenAI) -> None:
    for chunk in client.chat.completions.create(model=MODEL, messages=WEATHER, stream=True):
        assert chunk.choices
        assert "usage" not in chunk.model_fields_set


def test_a_stream_ends_with_the_usage_that_was_asked_for(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(
        model=MODEL, messages=WEATHER, stream=True, stream_options=options
    )

    *chunks, last = list(stream)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert not last.choices
    assert last.usage is not None
    assert last.usage.completion_tokens == len(chunks) - 2  # the first tells the role, the last the end


def test_the_stream_helper_fires_its_events(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=WEATHER) as stream:
        events = list(stream)
        final = stream.get_final_completion().choices[0].message.content

    deltas = [event.delta for event in events if event.type == "content.delta"]
    done = [event.content for event in events if event.type == "content.done"]
    assert "".join(deltas) == final
    assert done == [final]


def test_a_forced_tool_is_called(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice=FORCED
    )

    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments).keys() == {"city"}


def test_a_tools_result_is_answered(client: OpenAI) -> None:
    asked = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice=FORCED)
    said = asked.choices[0].message
    (call,) = said.tool_calls or []
    result = {"role": "tool", "tool_call_id": call.id, "content": "sleet"}

    told: Any = [*WEATHER, said.to_dict(), result]
    completion = client.chat.completions.create(model=MODEL, messages=told, tools=TOOLS)
    assert completion.choices[0].finish_reason == "stop"


def test_a_tools_arguments_come_piece_by_piece(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice=FORCED, stream=True
    )

    chunks = list(stream)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    pieces = [call.function.arguments or "" for call in calls if call.function]
    assert len([piece for piece in pieces if piece]) > 1
    assert json.loads("".join(pieces)).keys() == {"city"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_stream_helper_parses_a_tools_arguments(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice="required"
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]

    assert [event.name for event in done] == ["get_weather"]
    assert done[0].parsed_arguments == {"city": "quiet harbour"}


def test_an_answer_is_parsed_into_a_model_of_pydantic(client: OpenAI) -> None:
    completion = client.chat.completions.parse(model=MODEL, messages=WEATHER, response_format=Recipe)

    assert isinstance(completion.choices[0].message.parsed, Recipe)


def test_a_stream_is_parsed_into_a_model_of_pydantic(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=WEATHER, response_format=Recipe) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed

    assert isinstance(parsed, Recipe)


def test_a_structured_output_keeps_its_schema(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"mood": {"enum": ["calm"]}}, "required": ["mood"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": schema}}
    completion = client.chat.completions.create(model=MODEL, messages=WEATHER, response_format=form)

    assert json.loads(completion.choices[0].message.content or "") == {"mood": "calm"}


def test_a_picture_reaches_the_model_as_it_was_sent(client: OpenAI, home: House) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    asked: Any = [{"role": "user", "content": content}]
    bare = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "What is this?"}]
    )
    completion = client.chat.completions.create(model=MODEL, messages=asked)

    assert json.loads(home.simulator.requests[-1].body)["messages"][0]["content"] == content
    assert completion.usage
    assert bare.usage
    assert completion.usage.prompt_tokens > bare.usage.prompt_tokens


def test_a_large_picture_passes(client: OpenAI, home: House) -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(3_000_000)).decode()
    asked: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    client.chat.completions.create(model=MODEL, messages=asked)

    assert url.encode() in home.simulator.requests[-1].body


def test_several_choices_are_several_answers(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=WEATHER, n=3)

    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in completion.choices}) == 3


def test_the_choices_of_a_stream_are_told_apart(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=WEATHER, n=2)
    said = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model=MODEL, messages=WEATHER, n=2, stream=True):
        said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""

    assert said == {choice.index: choice.message.content for choice in whole.choices}


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_come_through(client: OpenAI, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model=MODEL, messages=WEATHER, logprobs=True, top_logprobs=2, stream=stream
    )
    choice = list(answer)[1].choices[0] if stream else answer.choices[0]

    token = choice.logprobs.content[0]
    assert token.bytes == list(token.token.encode())
    assert [rival.logprob for rival in token.top_logprobs] == [-0.125, -2.125]


def test_a_member_that_no_one_knows_passes(client: OpenAI, home: House) -> None:
    client.chat.completions.create(
        model=MODEL, messages=WEATHER, extra_body={"next_year": {"a": [1.50, "é"]}}
    )

    assert '"next_year":{"a":[1.5,"é"]}'.encode() in home.simulator.requests[-1].body


def test_an_alias_is_answered_by_its_model(client: OpenAI) -> None:
    assert client.chat.completions.create(model="fast", messages=WEATHER).model == "gpt-6-luna"


def test_a_raw_answer_has_the_headers_that_apps_rely_on(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=WEATHER)

    assert raw.request_id == raw.parse()._request_id
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    for unit in ("requests", "tokens"):
        limit, remaining = (int(raw.headers[f"x-ratelimit-{what}-{unit}"]) for what in ("limit", "remaining"))
        assert 0 <= remaining < limit
        assert raw.headers[f"x-ratelimit-reset-{unit}"].endswith("s")


def test_a_streams_head_has_them_too(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=WEATHER, stream=True
    ) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert raw.request_id is not None
        assert int(raw.headers["x-ratelimit-remaining-requests"]) >= 0
        assert list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_a_legacy_completion_is_answered(client: OpenAI) -> None:
    whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["One.", "Two."], max_tokens=9)
    chunks = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt=["One.", "Two."], max_tokens=9, stream=True
    )

    said = {0: "", 1: ""}
    for chunk in chunks:
        said[chunk.choices[0].index] += chunk.choices[0].text
    assert said == {choice.index: choice.text for choice in whole.choices}
    assert all(choice.finish_reason == "length" for choice in whole.choices)


def test_an_edit_that_openai_no_longer_serves_is_answered(client: OpenAI) -> None:
    body = {"model": "text-davinci-edit-001", "input": "What day is wek?", "instruction": "Fix the spelling"}
    edit: Any = client.post("/edits", body=body, cast_to=object)

    assert edit["object"] == "edit"
    assert edit["choices"][0]["text"]


def test_a_client_that_stops_listening_leaves_the_sdk_usable(client: OpenAI) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=WEATHER, stream=True)
    next(iter(stream))
    stream.close()

    assert client.chat.completions.create(model=MODEL, messages=WEATHER).choices


def test_an_answer_that_was_cut_short_does_not_parse(client: OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(
            model=MODEL, messages=WEATHER, response_format=Recipe, max_completion_tokens=2
        )

    assert caught.value.completion.usage
