from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "name": "get_weather", "strict": True, "parameters": CITY}]
AROUND = ["response.created", "response.in_progress", "response.output_item.added"]
TEXT = ["response.content_part.added", "response.output_text.delta", "response.output_text.done"]
CALL = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]


class Answer(BaseModel):
    text: str


async def kinds(sdk: AsyncOpenAI, **wanted: Any) -> tuple[list[str], Any]:
    """The types of the events, repeats left out, and the last event."""
    events = [event async for event in await sdk.responses.create(model="gpt-4o", stream=True, **wanted)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return list(dict.fromkeys(event.type for event in events)), events[-1]


async def test_a_response_is_parsed_by_the_sdk(sdk: AsyncOpenAI) -> None:
    response = await sdk.responses.create(model="gpt-4o", input="Hello", instructions="Be brief")

    assert response.id.startswith("resp_")
    assert response.status == "completed"
    assert response.output[0].id is not None
    assert response.output[0].id.startswith("msg_")
    assert response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.instructions == "Be brief"


async def test_text_is_streamed_in_the_order_of_openai(sdk: AsyncOpenAI) -> None:
    order, last = await kinds(sdk, input="Hello")

    ending = ["response.content_part.done", "response.output_item.done", "response.completed"]
    assert order == [*AROUND, *TEXT, *ending]
    assert last.response.usage.output_tokens > 0
    whole = await sdk.responses.create(model="gpt-4o", input="Hello")
    assert last.response.output_text == whole.output_text


async def test_a_call_is_streamed_in_the_order_of_openai(sdk: AsyncOpenAI) -> None:
    order, last = await kinds(sdk, input="How is the weather?", tools=TOOLS)

    assert order == [*AROUND, *CALL, "response.output_item.done", "response.completed"]
    assert last.response.output[0].arguments == '{"city":"quiet harbour"}'


async def test_a_stream_that_ends_for_length_is_incomplete(sdk: AsyncOpenAI) -> None:
    order, last = await kinds(sdk, input="Hello", max_output_tokens=3)

    assert order[-1] == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.usage.output_tokens == 3


async def test_a_function_is_called_when_forced(sdk: AsyncOpenAI) -> None:
    choice: Any = {"type": "function", "name": "get_weather"}
    response = await sdk.responses.parse(model="gpt-4o", input="Hello", tools=TOOLS, tool_choice=choice)

    assert response.output[0].type == "function_call"
    assert response.output[0].id is not None
    assert response.output[0].id.startswith("fc_")


async def test_a_functions_result_is_answered_in_words(sdk: AsyncOpenAI) -> None:
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "the weather is fine"}
    response = await sdk.responses.create(model="gpt-4o", input=[result], tools=TOOLS)

    assert response.output_text


async def test_a_structured_output_fits_its_model(sdk: AsyncOpenAI) -> None:
    response = await sdk.responses.parse(model="gpt-4o", input="Hello", text_format=Answer)

    assert response.output_parsed == Answer(text="quiet harbour")


async def test_without_a_model_one_is_supposed(sdk: AsyncOpenAI) -> None:
    assert (await sdk.responses.create(input="Hello")).model == "gpt-4.1"


async def test_include_usage_is_refused_as_a_mistake(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="include_usage"):
        await kinds(sdk, input="Hello", extra_body={"stream_options": {"include_usage": True}})
