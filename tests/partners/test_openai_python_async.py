"""The official Python SDK's asynchronous client through the gateway: what is of its own."""

import asyncio
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from gateway.simulator.faults import Fault
from tests.support.house import House

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


class Recipe(BaseModel):
    """What a structured output shall be."""

    title: str
    minutes: int


async def test_a_stream_says_what_the_whole_answer_says(async_client: AsyncOpenAI) -> None:
    whole = await async_client.chat.completions.create(model=MODEL, messages=HELLO)
    stream = await async_client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)

    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == whole.choices[0].message.content


async def test_the_stream_helper_collects_a_tools_arguments(async_client: AsyncOpenAI) -> None:
    async with async_client.chat.completions.stream(
        model=MODEL, messages=HELLO, tools=TOOLS, tool_choice="required"
    ) as stream:
        kinds = {event.type async for event in stream}
        (call,) = (await stream.get_final_completion()).choices[0].message.tool_calls or []

    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert json.loads(call.function.arguments).keys() == {"city"}


async def test_answers_are_parsed_into_a_model_of_pydantic(async_client: AsyncOpenAI) -> None:
    completion = await async_client.chat.completions.parse(
        model=MODEL, messages=HELLO, response_format=Recipe
    )
    response = await async_client.responses.parse(model=MODEL, input="Hello", text_format=Recipe)

    assert isinstance(completion.choices[0].message.parsed, Recipe)
    assert isinstance(response.output_parsed, Recipe)


async def test_a_response_is_streamed(async_client: AsyncOpenAI) -> None:
    async with async_client.responses.stream(model=MODEL, input="Hello") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()

    assert final.output_text == "".join(deltas)


async def test_embeddings_are_unpacked(async_client: AsyncOpenAI) -> None:
    answer = await async_client.embeddings.create(model="text-embedding-3-small", input="river")

    assert len(answer.data[0].embedding) == 1536


async def test_speech_is_heard_as_it_is_made(async_client: AsyncOpenAI) -> None:
    async with async_client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="The river is quiet."
    ) as speech:
        assert b"".join([sound async for sound in speech.iter_bytes()])


async def test_a_transcript_comes_word_by_word(async_client: AsyncOpenAI) -> None:
    stream = await async_client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("talk.wav", b"RIFF" + bytes(40_000)), stream=True
    )

    *_, last = [event async for event in stream]
    assert last.type == "transcript.text.done"


async def test_a_picture_comes_in_stages(async_client: AsyncOpenAI) -> None:
    stream = await async_client.images.generate(
        model="gpt-image-1", prompt="harbour", stream=True, partial_images=1
    )

    assert [event.type async for event in stream] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]


async def test_the_models_are_listed(async_client: AsyncOpenAI) -> None:
    assert MODEL in [model.id async for model in async_client.models.list()]


async def test_a_raw_answer_has_its_request_id(async_client: AsyncOpenAI) -> None:
    raw = await async_client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)

    assert raw.request_id is not None
    assert raw.parse()._request_id == raw.request_id


async def test_many_at_once_get_each_its_own_answer(async_client: AsyncOpenAI) -> None:
    async def ask(number: int) -> tuple[str | None, str | None]:
        messages: Any = [{"role": "user", "content": f"Tell me about {number}"}]
        first = await async_client.chat.completions.create(model=MODEL, messages=messages)
        stream = await async_client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return first.choices[0].message.content, "".join(said)

    answers = await asyncio.gather(*(ask(number) for number in range(20)))
    assert all(whole == streamed for whole, streamed in answers)
    assert len(set(answers)) == 20


async def test_a_refusal_is_raised_as_what_it_is(async_client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await async_client.with_options(api_key="x").chat.completions.create(model=MODEL, messages=HELLO)

    assert caught.value.code == "invalid_api_key"


async def test_a_cut_stream_raises(async_client: AsyncOpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 3))
    stream = await async_client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)

    with pytest.raises(openai.APIError, match="broke off"):
        [chunk async for chunk in stream]


async def test_a_cut_response_raises_after_its_error_event(async_client: AsyncOpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 3))
    stream = aiter(await async_client.responses.create(model=MODEL, input="Hello", stream=True))

    last = [await anext(stream) for _ in range(4)][-1]
    assert last.type == "error"
    with pytest.raises(openai.APIConnectionError):
        await anext(stream)


async def test_the_sdk_tries_again_when_the_upstream_said(
    async_client: AsyncOpenAI, home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("openai._base_client.anyio.sleep", note)
    home.simulator.faults.next(Fault("429", 2.75))
    completion = await async_client.with_options(max_retries=1).chat.completions.create(
        model=MODEL, messages=HELLO
    )

    assert completion.choices
    assert waits == [2.75]
