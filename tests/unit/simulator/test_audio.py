from typing import Any

import pytest
from openai import AsyncOpenAI

TWO_SECONDS = ("a.wav", b"\x00" * 20_000)


async def test_speech_arrives_as_bytes_of_the_format_asked_for(sdk: AsyncOpenAI) -> None:
    answer = await sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello there")

    assert len(answer.content) == 2 * 480
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert answer.response.headers["transfer-encoding"] == "chunked"


async def test_speech_as_events_reports_usage(send: Any) -> None:
    body = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there", "stream_format": "sse"}
    *deltas, done = (await send("audio/speech", body)).events

    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {"input_tokens": 2, "output_tokens": 20, "total_tokens": 22}


async def test_whisper_is_billed_by_the_second(sdk: AsyncOpenAI) -> None:
    answer = await sdk.audio.transcriptions.create(model="whisper-1", file=TWO_SECONDS)

    assert answer.usage is not None
    assert answer.usage.to_dict() == {"type": "duration", "seconds": 2}


async def test_other_transcripts_are_billed_by_tokens(sdk: AsyncOpenAI) -> None:
    answer = await sdk.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=TWO_SECONDS, prompt="two words"
    )

    assert answer.usage is not None
    assert answer.usage.to_dict() == {
        "type": "tokens",
        "input_tokens": 22,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 20},
        "output_tokens": 18,
        "total_tokens": 40,
    }


async def test_a_transcript_is_streamed_and_ends_with_usage(sdk: AsyncOpenAI) -> None:
    stream = await sdk.audio.transcriptions.create(model="gpt-4o-transcribe", file=TWO_SECONDS, stream=True)
    *deltas, done = [event async for event in stream]

    assert done.type == "transcript.text.done"
    assert "".join(delta.delta for delta in deltas if delta.type == "transcript.text.delta") == done.text
    assert done.usage is not None


async def test_whisper_ignores_the_wish_to_stream(sdk: AsyncOpenAI) -> None:
    answer = await sdk.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=TWO_SECONDS, stream=True
    )

    assert answer.headers["content-type"] == "application/json"


async def test_a_verbose_transcript_has_segments(sdk: AsyncOpenAI) -> None:
    answer = await sdk.audio.transcriptions.create(
        model="whisper-1", file=TWO_SECONDS, response_format="verbose_json"
    )

    assert answer.duration == 2
    assert [segment.text for segment in answer.segments or []] == [answer.text]


@pytest.mark.parametrize(
    ("form", "start"), [("text", ""), ("srt", "1\n00:00:00,000 -->"), ("vtt", "WEBVTT\n")]
)
async def test_a_plain_transcript_is_text_without_usage(sdk: AsyncOpenAI, form: Any, start: str) -> None:
    text = await sdk.audio.transcriptions.create(model="whisper-1", file=TWO_SECONDS, response_format=form)

    assert isinstance(text, str)
    assert text.startswith(start)
    assert "usage" not in text


@pytest.mark.parametrize("form", ["json", "verbose_json"])
async def test_a_translation_reports_no_usage(sdk: AsyncOpenAI, form: Any) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer: Any = await sdk.audio.translations.create(
            model="whisper-1", file=TWO_SECONDS, response_format=form
        )

    assert answer.text
    assert not hasattr(answer, "usage")
