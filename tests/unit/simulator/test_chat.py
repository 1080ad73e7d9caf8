from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

HELLO: Any = [{"role": "user", "content": "Hello there"}]
WEATHER: Any = [{"role": "user", "content": "What is the weather?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": CITY}},
]


class Answer(BaseModel):
    text: str
    score: int


async def test_an_answer_is_parsed_by_the_sdk(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert answer.id.startswith("chatcmpl-")
    assert answer.created == 1_760_000_000
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_a_stream_says_the_same_as_a_whole_answer(sdk: AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, n=2)
    async with sdk.chat.completions.stream(
        model="gpt-4o", messages=HELLO, n=2, stream_options={"include_usage": True}
    ) as stream:
        streamed = await stream.get_final_completion()

    assert [c.message.content for c in streamed.choices] == [c.message.content for c in whole.choices]
    assert [c.finish_reason for c in streamed.choices] == ["stop", "stop"]
    assert streamed.usage == whole.usage


async def test_choices_are_streamed_in_turns(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, n=3, stream=True)
    order = [chunk.choices[0].index async for chunk in stream]

    assert order[:6] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_ends_at_its_limit_for_length(sdk: AsyncOpenAI, limit: str) -> None:
    answer = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, extra_body={limit: 4})

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


async def test_a_tool_is_called_whole(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.parse(model="gpt-4o", messages=WEATHER, tools=TOOLS)
    (call,) = answer.choices[0].message.tool_calls or []

    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert call.function.name == "get_weather"
    assert call.function.parsed_arguments == {"city": "quiet harbour"}


async def test_a_tool_is_called_in_a_stream(sdk: AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(model="gpt-4o", messages=WEATHER, tools=TOOLS) as stream:
        answer = await stream.get_final_completion()
    (call,) = answer.choices[0].message.tool_calls or []

    assert call.function.arguments == '{"city":"quiet harbour"}'


async def test_a_tools_result_is_answered_in_words(sdk: AsyncOpenAI) -> None:
    messages = [*WEATHER, {"role": "tool", "tool_call_id": "call_1", "content": "the weather is fine"}]
    answer = await sdk.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)

    assert answer.choices[0].message.content


async def test_a_structured_output_fits_its_model(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Answer)

    assert answer.choices[0].message.parsed == Answer(text="quiet harbour", score=42)


@pytest.mark.parametrize("stream", [False, True])
async def test_every_token_has_its_log_probability(sdk: AsyncOpenAI, stream: bool) -> None:
    wanted: Any = {"model": "gpt-4o", "messages": HELLO, "logprobs": True, "top_logprobs": 2, "max_tokens": 3}
    if stream:
        chunks = [chunk async for chunk in await sdk.chat.completions.create(**wanted, stream=True)]
        logprobs = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    else:
        logprobs = [(await sdk.chat.completions.create(**wanted)).choices[0].logprobs]
    content = [token for each in logprobs for token in each.content]

    assert len(content) == 3
    assert all(len(token.top_logprobs) == 2 for token in content)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"n": 129}, "n"),
        ({"tools": [1]}, "tools"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
async def test_a_wrong_member_is_refused_by_name(
    sdk: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, extra_body=change)
    assert refused.value.param == param
