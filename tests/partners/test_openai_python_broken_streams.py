"""The official Python SDK through the gateway: a stream that breaks raises, and never just ends."""

from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from gateway.simulator.faults import Fault
from tests.support.house import House

HELLO: Any = [{"role": "user", "content": "Hello there"}]
SPOKEN = ("talk.wav", b"RIFF" + bytes(40_000))

STREAMS: dict[str, Callable[[OpenAI], Iterable[Any]]] = {
    "chat": lambda sdk: sdk.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True),
    "completions": lambda sdk: sdk.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Hello", stream=True
    ),
    "images": lambda sdk: sdk.images.generate(
        model="gpt-image-1", prompt="harbour", stream=True, partial_images=3
    ),
    "transcriptions": lambda sdk: sdk.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=SPOKEN, stream=True
    ),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("after", [0, 2])
def test_a_cut_stream_raises_what_went_wrong(client: OpenAI, home: House, kind: str, after: int) -> None:
    home.simulator.faults.next(Fault("cut", after))
    events = []
    with pytest.raises(openai.APIError) as caught:
        events.extend(STREAMS[kind](client))

    assert (caught.value.code, caught.value.message) == (
        "upstream_error",
        "The upstream broke off its answer.",
    )


def test_what_came_before_the_cut_was_handed_out(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 4))
    said = []
    with pytest.raises(openai.APIError):
        said.extend(chunk.choices[0].delta.content for chunk in STREAMS["chat"](client))

    assert len(said) == 4


@pytest.mark.parametrize("kind", ["chat", "completions", "images"])
def test_an_error_that_the_upstream_tells_in_its_stream_is_raised_in_its_words(
    client: OpenAI, home: House, kind: str
) -> None:
    home.simulator.faults.next(Fault("error_in_stream", 2))

    with pytest.raises(openai.APIError, match="Sorry about that"):
        list(STREAMS[kind](client))


def test_the_stream_helper_raises_too(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 4))
    with (
        client.chat.completions.stream(model="gpt-4o-mini", messages=HELLO) as stream,
        pytest.raises(openai.APIError, match="broke off"),
    ):
        stream.get_final_completion()


def test_a_cut_response_tells_of_the_error_and_then_raises(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 6))
    stream = iter(client.responses.create(model="gpt-4.1-mini", input="Hello", stream=True))

    last = [next(stream) for _ in range(7)][-1]
    assert last.type == "error"
    assert (last.code, last.param) == ("upstream_error", None)
    with pytest.raises(openai.APIConnectionError):
        next(stream)


def test_a_cut_response_has_no_final_response(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 6))
    with (
        client.responses.stream(model="gpt-4.1-mini", input="Hello") as stream,
        pytest.raises(openai.APIConnectionError),
    ):
        stream.get_final_response()


def test_an_error_in_a_response_is_handed_out_as_the_upstream_told_it(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("error_in_stream", 3))
    *_, last = client.responses.create(model="gpt-4.1-mini", input="Hello", stream=True)

    assert last.type == "error"
    assert "Sorry about that" in last.message


def test_speech_that_breaks_off_raises(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 2))
    with pytest.raises(openai.APIConnectionError):
        client.audio.speech.create(model="tts-1", voice="alloy", input="The river is quiet today.")


def test_speech_that_breaks_off_raises_while_it_is_heard(client: OpenAI, home: House) -> None:
    home.simulator.faults.next(Fault("cut", 2))
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="The river is quiet today."
    ) as speech:
        sounds = speech.iter_bytes()
        assert next(sounds)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(sounds)


@pytest.mark.parametrize("fault", ["split", "crlf", "huge_line"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_comes_strangely_is_whole(client: OpenAI, home: House, kind: str, fault: str) -> None:
    usual = list(STREAMS[kind](client))
    home.simulator.faults.next(Fault(fault))

    assert len(list(STREAMS[kind](client))) == len(usual)
