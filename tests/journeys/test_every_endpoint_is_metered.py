"""Every operation that is served, in every form in which it answers: its one ledger line, by column."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.usage import Usage
from gateway.wire.endpoints import SERVED
from tests.journeys.test_every_endpoint import FORM, JSON, PICTURE, SOUND, form
from tests.support.house import House, house
from tests.support.policy_files import write_policies
from tests.unit.upstream.stand_in import Play, raw, standing_in, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNITS = [name for name in Usage._fields if name != "source"]
HELLO = [{"role": "user", "content": "Say hello"}]
LONG = [{"role": "user", "content": "on and on " * 700}]
SPEECH = {"input": "The bridge is long.", "voice": "alloy"}
GIVEN = {"prompt": "light", "images": [{"image_url": "data:image/png;base64,AA=="}]}
CHAT = "/chat/completions"
SSE = "text/event-stream"


@dataclass(frozen=True)
class Row:
    """A request, and the line that it makes."""

    name: str
    path: str
    model: str
    body: Mapping[str, Any] | bytes
    units: Mapping[str, int]
    source: str = "provider"
    answered: str | None = None
    """The model that the answer names, if it names one."""
    tier: str | None = None
    kind: str = JSON
    """The media type of the answer."""
    known: str = ""
    """As the catalogue calls the model, when it was asked for by another name."""

    @property
    def stream(self) -> bool:
        return self.kind == SSE

    @property
    def endpoint(self) -> str:
        return next(each.name for each in SERVED if each.path == f"/v1{self.path}")


def text(name: str, path: str, model: str, units: Mapping[str, int], **body: Any) -> Row:
    """An answer of text, which names its model and service tier."""
    kind = SSE if body.get("stream") else JSON
    tier = body.get("service_tier", "default")
    return Row(name, path, model, body, units, answered=model, tier=tier, kind=kind)


def heard(name: str, path: str, model: str, units: Mapping[str, int], kind: str = JSON, **fields: str) -> Row:
    """A transcript of three seconds of sound. Whoever counts by the file's size takes them for five."""
    source = "provider" if fields.pop("told", "yes") == "yes" else "estimated"
    body = form(("model", model), *fields.items(), file=SOUND)
    return Row(name, path, model, body, units, source, kind=kind)


SPOKEN = {"input_tokens": 30, "audio_input_tokens": 30, "output_tokens": 18}
THREE_SECONDS = {"audio_milliseconds": 3000}
BY_SIZE = {"audio_milliseconds": 5001}
PLAIN = "text/plain"

ROWS = (
    text("chat", CHAT, "gpt-4o-mini", {"input_tokens": 8, "output_tokens": 37}, messages=HELLO),
    text(
        "chat stream",
        CHAT,
        "gpt-4o-mini",
        {"input_tokens": 8, "output_tokens": 37},
        messages=HELLO,
        stream=True,
    ),
    text(
        "chat stream that tells its usage",
        CHAT,
        "gpt-4o-mini",
        {"input_tokens": 8, "output_tokens": 37},
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    ),
    text(
        "chat that reasons",
        CHAT,
        "gpt-5",
        {"input_tokens": 8, "output_tokens": 62, "reasoning_tokens": 32},
        messages=HELLO,
        reasoning_effort="high",
    ),
    text(
        "chat stream with a cached prompt in another tier",
        CHAT,
        "gpt-4o-mini",
        {"input_tokens": 2107, "cached_tokens": 1024, "output_tokens": 37},
        messages=LONG,
        stream=True,
        service_tier="flex",
    ),
    text(
        "completions",
        "/completions",
        "gpt-3.5-turbo-instruct",
        {"input_tokens": 10, "output_tokens": 5},
        prompt="Once upon a time",
        max_tokens=5,
    ),
    text(
        "completions stream",
        "/completions",
        "gpt-3.5-turbo-instruct",
        {"input_tokens": 10, "output_tokens": 5},
        prompt="Once upon a time",
        max_tokens=5,
        stream=True,
    ),
    Row(
        "edits",
        "/edits",
        "text-davinci-edit-001",
        {"input": "helo", "instruction": "Mend the spelling."},
        {"input_tokens": 14, "output_tokens": 20},
        answered="gpt-4o-mini",
        tier="default",
        known="gpt-4o-mini",
    ),
    Row(
        "embeddings",
        "/embeddings",
        "text-embedding-3-large",
        {"input": ["a river", "and a bridge"], "dimensions": 8},
        {"input_tokens": 5},
        answered="text-embedding-3-large",
    ),
    Row(
        "moderations",
        "/moderations",
        "omni-moderation-latest",
        {"input": "violence is no answer"},
        {},
        "estimated",
        answered="omni-moderation-latest",
    ),
    text(
        "responses",
        "/responses",
        "gpt-5",
        {"input_tokens": 11, "output_tokens": 40, "reasoning_tokens": 8},
        input="Say hello",
        reasoning={"effort": "low"},
    ),
    text(
        "responses stream",
        "/responses",
        "gpt-5",
        {"input_tokens": 11, "output_tokens": 48, "reasoning_tokens": 16},
        input="Say hello",
        stream=True,
    ),
    Row(
        "image",
        "/images/generations",
        "gpt-image-2",
        {"prompt": "a quiet harbour", "n": 2},
        {"input_tokens": 3, "output_tokens": 2112, "image_output_tokens": 2112, "images": 2},
    ),
    Row(
        "image stream",
        "/images/generations",
        "gpt-image-2",
        {"prompt": "a quiet harbour", "stream": True, "partial_images": 2},
        {"input_tokens": 3, "output_tokens": 1056, "image_output_tokens": 1056, "images": 1},
        kind=SSE,
    ),
    Row(
        "images by the piece",
        "/images/generations",
        "dall-e-2",
        {"prompt": "a quiet harbour", "n": 3, "response_format": "b64_json"},
        {"images": 3},
    ),
    Row(
        "images by their address",
        "/images/generations",
        "dall-e-2",
        {"prompt": "a quiet harbour", "n": 2},
        {"images": 2},
    ),
    Row(
        "image edit",
        "/images/edits",
        "gpt-image-2",
        GIVEN,
        {
            "input_tokens": 195,
            "image_input_tokens": 194,
            "output_tokens": 1056,
            "image_output_tokens": 1056,
            "images": 1,
        },
    ),
    Row(
        "image edit stream",
        "/images/edits",
        "gpt-image-2",
        {**GIVEN, "stream": True},
        {
            "input_tokens": 195,
            "image_input_tokens": 194,
            "output_tokens": 1056,
            "image_output_tokens": 1056,
            "images": 1,
        },
        kind=SSE,
    ),
    Row(
        "image edit as a form",
        "/images/edits",
        "gpt-image-2",
        form(("model", "gpt-image-2"), ("prompt", "more light"), image=PICTURE),
        {
            "input_tokens": 196,
            "image_input_tokens": 194,
            "output_tokens": 1056,
            "image_output_tokens": 1056,
            "images": 1,
        },
    ),
    Row(
        "image edit as a form, stream",
        "/images/edits",
        "gpt-image-2",
        form(("model", "gpt-image-2"), ("prompt", "more light"), ("stream", "true"), image=PICTURE),
        {
            "input_tokens": 196,
            "image_input_tokens": 194,
            "output_tokens": 1056,
            "image_output_tokens": 1056,
            "images": 1,
        },
        kind=SSE,
    ),
    Row(
        "image variations",
        "/images/variations",
        "dall-e-2",
        form(("model", "dall-e-2"), ("n", "2"), image=PICTURE),
        {"images": 2},
    ),
    Row(
        "speech",
        "/audio/speech",
        "tts-1",
        SPEECH,
        {"characters": 19},
        "estimated",
        kind="audio/mpeg",
    ),
    Row(
        "speech stream",
        "/audio/speech",
        "gpt-4o-mini-tts",
        {**SPEECH, "stream_format": "sse"},
        {"input_tokens": 5, "output_tokens": 50},
        kind=SSE,
    ),
    heard("transcription by time", "/audio/transcriptions", "whisper-1", THREE_SECONDS),
    heard(
        "verbose transcription",
        "/audio/transcriptions",
        "whisper-1",
        THREE_SECONDS,
        response_format="verbose_json",
    ),
    heard(
        "transcription as text",
        "/audio/transcriptions",
        "whisper-1",
        BY_SIZE,
        PLAIN,
        response_format="text",
        told="no",
    ),
    *[
        heard(
            f"{task} as {kind}",
            f"/audio/{task}s",
            "whisper-1",
            THREE_SECONDS,
            PLAIN,
            response_format=kind,
            told="no",
        )
        for task in ("transcription", "translation")
        for kind in ("srt", "vtt")
    ],
    heard("transcription by tokens", "/audio/transcriptions", "gpt-4o-transcribe", SPOKEN),
    heard("transcription stream", "/audio/transcriptions", "gpt-4o-transcribe", SPOKEN, SSE, stream="true"),
    heard("translation", "/audio/translations", "whisper-1", BY_SIZE, told="no"),
    heard(
        "verbose translation",
        "/audio/translations",
        "whisper-1",
        THREE_SECONDS,
        response_format="verbose_json",
    ),
    heard(
        "translation as text",
        "/audio/translations",
        "whisper-1",
        BY_SIZE,
        PLAIN,
        response_format="text",
        told="no",
    ),
)


async def line_of(house_: House, row: Row) -> tuple[Any, str]:
    """The one line that it makes, and the media type of its answer."""
    if isinstance(row.body, bytes):
        data, kind = row.body, FORM
    else:
        data, kind = msgspec.json.encode({"model": row.model, **row.body}), JSON
    answer = await house_.ask("POST", row.path, data=data, headers={"content-type": kind})
    assert answer.status == 200
    (line,) = await house_.ledger(answer.request_id)
    return line, answer.headers["content-type"].partition(";")[0]


def units_of(line: Any) -> dict[str, int]:
    return {unit: line._mapping[unit] for unit in UNITS if line._mapping[unit]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_makes_one_line_with_every_unit_in_its_column(plain: House, row: Row) -> None:
    line, kind = await line_of(plain, row)
    assert kind == row.kind
    assert (units_of(line), line.source) == (row.units, row.source)
    assert (line.cause, line.status, line.number, line.stream) == ("served", 200, 1, row.stream)
    assert (line.endpoint, line.asked_model, line.model) == (row.endpoint, row.model, row.known or row.model)
    assert (line.answered_model, line.service_tier, line.upstream) == (row.answered, row.tier, "openai")
    seen = plain.simulator.requests[-1]
    told = seen.usage or {}
    assert line.output_tokens == told.get("output_tokens", told.get("completion_tokens", 0))
    assert line.upstream_request_id == seen.request_id
    assert line.retry_of is None


async def test_no_operation_that_is_served_is_left_out() -> None:
    assert {row.endpoint for row in ROWS} == {each.name for each in SERVED if not each.local}


# What the simulator never says.


def events(*told: Mapping[str, Any] | str, named: bool = False) -> Play:
    def event(data: Mapping[str, Any] | str) -> bytes:
        if isinstance(data, str):
            return b"data: %b\n\n" % data.encode()
        name = b"event: %b\n" % data["type"].encode() if named else b""
        return name + b"data: %b\n\n" % msgspec.json.encode(data)

    body = b"".join(map(event, told))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    return raw(head + body)


def body(**members: Any) -> Play:
    return whole(msgspec.json.encode(members))


OF_CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 80,
    "total_tokens": 180,
    "prompt_tokens_details": {
        "cached_tokens": 40,
        "cache_write_tokens": 20,
        "audio_tokens": 10,
        "image_tokens": 5,
        "text_tokens": 85,
    },
    "completion_tokens_details": {
        "reasoning_tokens": 30,
        "audio_tokens": 15,
        "accepted_prediction_tokens": 1,
        "rejected_prediction_tokens": 2,
    },
}
CHAT_UNITS = {
    "input_tokens": 100,
    "cached_tokens": 40,
    "cache_write_tokens": 20,
    "audio_input_tokens": 10,
    "image_input_tokens": 5,
    "output_tokens": 80,
    "reasoning_tokens": 30,
    "audio_output_tokens": 15,
}
OF_RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20},
    "output_tokens": 80,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 180,
}
RESPONSE_UNITS = {
    "input_tokens": 100,
    "cached_tokens": 40,
    "cache_write_tokens": 20,
    "output_tokens": 80,
    "reasoning_tokens": 30,
}
OF_IMAGES = {
    "input_tokens": 60,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 40, "cached_tokens": 8},
    "output_tokens": 70,
    "output_tokens_details": {"text_tokens": 10, "image_tokens": 60},
    "total_tokens": 130,
}
IMAGE_UNITS = {
    "input_tokens": 60,
    "cached_tokens": 8,
    "image_input_tokens": 40,
    "output_tokens": 70,
    "image_output_tokens": 60,
    "images": 1,
}
OF_SPEECH = {
    "input_tokens": 14,
    "output_tokens": 101,
    "output_token_details": {"text_tokens": 1, "audio_tokens": 100},
    "total_tokens": 115,
}
SPEECH_UNITS = {"input_tokens": 14, "output_tokens": 101, "audio_output_tokens": 100}
ENDED = {"id": "resp_1", "model": "gpt-5-2025", "service_tier": "priority", "usage": OF_RESPONSES}
WORD = {"choices": [{"delta": {"content": "Hello"}}], "model": "gpt-5-2025", "service_tier": "priority"}
CHOICE = {"choices": [{"message": {"content": "Hello"}}], "model": "gpt-5-2025", "service_tier": "priority"}
TEXT = {"messages": HELLO}
VERBOSE = {"text": "Hello", "duration": 8.25, "language": "english", "segments": []}

SAID = (
    ("chat", CHAT, "gpt-5", TEXT, body(**CHOICE, usage=OF_CHAT), CHAT_UNITS),
    (
        "chat stream",
        CHAT,
        "gpt-5",
        {**TEXT, "stream": True},
        events(WORD, {**WORD, "choices": [], "usage": OF_CHAT}, "[DONE]"),
        CHAT_UNITS,
    ),
    (
        "chat stream with a count in every chunk",
        CHAT,
        "gpt-5",
        {**TEXT, "stream": True},
        events({**WORD, "usage": {"prompt_tokens": 100}}, {**WORD, "usage": OF_CHAT}, "[DONE]"),
        CHAT_UNITS,
    ),
    ("responses", "/responses", "gpt-5", {"input": "Hello"}, body(**ENDED, output=[]), RESPONSE_UNITS),
    *[
        (
            f"responses stream, {kind}",
            "/responses",
            "gpt-5",
            {"input": "Hello", "stream": True},
            events({"type": f"response.{kind}", "response": ENDED}, named=True),
            RESPONSE_UNITS,
        )
        for kind in ("completed", "incomplete")
    ],
    (
        "image",
        "/images/generations",
        "gpt-image-2",
        {"prompt": "a harbour"},
        body(data=[{"b64_json": "AA"}], usage=OF_IMAGES),
        IMAGE_UNITS,
    ),
    (
        "image stream",
        "/images/generations",
        "gpt-image-2",
        {"prompt": "a harbour", "stream": True},
        events({"type": "image_generation.completed", "b64_json": "AA", "usage": OF_IMAGES}, named=True),
        IMAGE_UNITS,
    ),
    (
        "image edit stream",
        "/images/edits",
        "gpt-image-2",
        {**GIVEN, "stream": True},
        events({"type": "image_edit.completed", "b64_json": "AA", "usage": OF_IMAGES}, named=True),
        IMAGE_UNITS,
    ),
    (
        "speech stream",
        "/audio/speech",
        "gpt-4o-mini-tts",
        {**SPEECH, "stream_format": "sse"},
        events({"type": "speech.audio.done", "usage": OF_SPEECH}),
        SPEECH_UNITS,
    ),
    (
        "transcription by its member of time",
        "/audio/transcriptions",
        "whisper-1",
        form(("model", "whisper-1"), ("response_format", "verbose_json"), file=SOUND),
        body(**VERBOSE),
        {"audio_milliseconds": 8250},
    ),
    (
        "transcription stream by time",
        "/audio/transcriptions",
        "gpt-4o-transcribe",
        form(("model", "gpt-4o-transcribe"), ("stream", "true"), file=SOUND),
        events(
            {"type": "transcript.text.done", "text": "Hi", "usage": {"type": "duration", "seconds": 8.25}}
        ),
        {"audio_milliseconds": 8250},
    ),
)


@pytest.mark.parametrize(
    ("path", "model", "asked", "play", "units"),
    [pytest.param(*row, id=name) for name, *row in SAID],
)
async def test_what_is_told_stands_in_its_column(
    tmp_path: Path, path: str, model: str, asked: Mapping[str, Any] | bytes, play: Play, units: dict[str, int]
) -> None:
    async with standing_in(play) as upstream:
        environment = {"GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1"}
        async with house(tmp_path, policies=write_policies(tmp_path), environment=environment) as house_:
            line, _ = await line_of(house_, Row("", path, model, asked, units))
    assert (units_of(line), line.source) == (units, "provider")
    if model == "gpt-5":
        assert (line.answered_model, line.service_tier) == ("gpt-5-2025", "priority")
