"""Event streams: byte for byte while all is well, and never whole to the eye when they are not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.simulator.log import Completion
from tests.journeys.test_every_endpoint import without_ids
from tests.support.house import House, hasten, house
from tests.support.policy_files import write_policies
from tests.unit.upstream.stand_in import StandIn, chunked, cut, raw, standing_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
COMPLETION = {"model": "gpt-3.5-turbo-instruct", "stream": True, "prompt": "Say hello", "max_tokens": 20}
RESPONSE = {"model": "gpt-4.1", "stream": True, "input": "Say hello"}
IMAGE = {"model": "gpt-image-2", "stream": True, "prompt": "a quiet harbour", "partial_images": 3}
SPEECH = {
    "model": "gpt-4o-mini-tts",
    "input": "It is a long bridge.",
    "voice": "alloy",
    "stream_format": "sse",
}
USAGE = {"stream_options": {"include_usage": True}}


Json = dict[str, Any]

_WORD = b'data: {"choices":[{"delta":{"content":"on"}}]}\n\n'
EVENT = b"%x\r\n%b\r\n" % (len(_WORD), _WORD)
"""As a chunk on the wire."""


def faulty(body: Json, fault: str) -> Json:
    return {**body, "metadata": {"simulate": fault}}


def events(body: bytes) -> list[bytes]:
    return [event for event in body.split(b"\n\n") if event]


def told_at_the_end(body: bytes) -> Json:
    """The data of the last event."""
    data: Json = msgspec.json.decode(events(body)[-1].partition(b"data: ")[2])
    return data


@asynccontextmanager
async def hasty(folder: Path, upstream: StandIn | None = None, **bounds: float) -> AsyncIterator[House]:
    """A house whose streams are looked at fifty times a second."""
    environment = {f"GATEWAY_BOUNDS__{name.upper()}": str(value) for name, value in bounds.items()}
    if upstream is not None:
        environment["GATEWAY_UPSTREAM__BASE_URL"] = f"http://127.0.0.1:{upstream.port}/v1"
    policies = write_policies(folder)
    async with house(folder, policies=policies, environment=environment, pause=hasten) as opened:
        yield opened


# while all is well


@pytest.mark.parametrize(("path", "body"), [("/chat/completions", CHAT), ("/completions", COMPLETION)])
async def test_usage_that_was_not_asked_for_is_not_seen(plain: House, path: str, body: Json) -> None:
    answer = await plain.raw(path, body)
    assert b'"usage"' not in answer.body
    assert without_ids(answer.body) == without_ids((await plain.direct(path, json=body)).body)


@pytest.mark.parametrize(("path", "body"), [("/chat/completions", CHAT), ("/completions", COMPLETION)])
async def test_usage_that_was_asked_for_is_passed_on(plain: House, path: str, body: Json) -> None:
    answer = await plain.raw(path, body | USAGE)
    assert b'"usage":null' in answer.body
    assert without_ids(answer.body) == without_ids((await plain.direct(path, json=body | USAGE)).body)


@pytest.mark.parametrize("options", [{"include_usage": False}, {"include_obfuscation": False}, None])
async def test_other_stream_options_are_kept(plain: House, options: Json | None) -> None:
    body = CHAT | {"stream_options": options}
    answer = await plain.raw("/chat/completions", body)
    sent = msgspec.json.decode(plain.simulator.requests[-1].body)["stream_options"]
    assert sent == {**(options or {}), "include_usage": True}
    own = await plain.direct("/chat/completions", json=body)
    assert without_ids(answer.body) == without_ids(own.body)


@pytest.mark.parametrize("fault", ["split", "crlf", "slow_drip", "no_done"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", CHAT),
        ("/chat/completions", CHAT | USAGE),
        ("/responses", RESPONSE),
        ("/images/generations", IMAGE),
        ("/audio/speech", SPEECH),
    ],
    ids=["chat", "chat with usage", "responses", "images", "speech"],
)
async def test_however_it_comes_it_is_passed_on_byte_for_byte(
    plain: House, path: str, body: Json, fault: str
) -> None:
    answer = await plain.raw(path, faulty(body, fault))
    own = await plain.direct(path, json=faulty(body, fault))
    assert without_ids(answer.body) == without_ids(own.body)
    assert answer.whole


@pytest.mark.parametrize("fault", ["huge_line", "huge_line:5"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/chat/completions", CHAT | USAGE), ("/responses", RESPONSE), ("/images/generations", IMAGE)],
)
async def test_an_event_that_is_too_long_to_be_watched_is_passed_on(
    plain: House, path: str, body: Json, fault: str
) -> None:
    answer = await plain.raw(path, faulty(body, fault))
    own = await plain.direct(path, json=faulty(body, fault))
    assert len(answer.body) > 1 << 20
    assert without_ids(answer.body) == without_ids(own.body)


async def test_it_is_passed_on_as_it_comes(plain: House) -> None:
    async with plain.wire() as wire:
        await plain.send(wire, "/chat/completions", faulty(CHAT, "stall:1"))
        await wire.head()
        assert b'"role":"assistant"' in await wire.some(b"}\n\n")
        assert plain.simulator.requests[-1].completion is Completion.OPEN


async def test_nothing_on_the_way_shall_hold_it_back_or_change_it(plain: House) -> None:
    answer = await plain.raw("/chat/completions", CHAT)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"


async def test_streams_that_run_at_once_do_not_mix(plain: House) -> None:
    bodies = [
        CHAT | {"messages": [{"role": "user", "content": f"Count to {number}"}]} for number in range(20)
    ]
    answers = await asyncio.gather(*[plain.raw("/chat/completions", body) for body in bodies])
    for answer, body in zip(answers, bodies, strict=True):
        own = await plain.direct("/chat/completions", json=body)
        assert without_ids(answer.body) == without_ids(own.body)


async def test_http_1_0_gets_it_unchunked(plain: House) -> None:
    async with plain.wire() as wire:
        data = msgspec.json.encode(CHAT)
        head = (
            f"POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer {plain.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        await wire.send(head.encode() + data)
        _, fields = await wire.head()
        assert "transfer-encoding" not in dict(fields)
        body = await wire.ends()
    own = await plain.direct("/chat/completions", json=CHAT)
    assert without_ids(body) == without_ids(own.body)


async def test_usage_in_a_line_that_is_too_long_to_watch_is_estimated(plain: House) -> None:
    answer = await plain.raw("/chat/completions", faulty(CHAT | USAGE, "huge_line:-2"))
    (line,) = await plain.ledger(answer.headers["x-request-id"])
    assert (line.source, line.cause) == ("estimated", "served")
    assert line.output_tokens > 20


# that break


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        ("/chat/completions", CHAT, None),
        ("/chat/completions", CHAT | USAGE, None),
        ("/completions", COMPLETION, None),
        ("/responses", RESPONSE, b"event: error"),
        ("/images/generations", IMAGE, b"event: error"),
        ("/audio/speech", SPEECH, b"event: error"),
    ],
)
async def test_a_cut_is_told_in_the_endpoints_dialect_and_left_visible(
    plain: House, path: str, body: Json, last: bytes | None
) -> None:
    answer = await plain.raw(path, faulty(body, "cut:2"))
    *passed, error = events(answer.body)
    assert (answer.status, len(passed), answer.whole) == (200, 2, False)
    assert error.startswith(last or b'data: {"error":')
    told = told_at_the_end(answer.body)
    assert told.get("code", told.get("error", {}).get("code")) == "upstream_error"
    assert b"[DONE]" not in answer.body


async def test_a_cut_is_charged_for_what_had_come(plain: House) -> None:
    answer = await plain.raw("/chat/completions", faulty(CHAT, "cut:12"))
    request_id = answer.headers["x-request-id"]
    (line,) = await plain.ledger(request_id)
    assert (line.cause, line.source, line.status) == ("upstream_failed", "partial", 200)
    assert 5 < line.output_tokens < 30
    assert line.cost > 0
    logged = await plain.line(request_id)
    assert (logged["outcome"], logged["code"]) == ("upstream_failed", "upstream_error")


async def test_a_cut_inside_an_event_does_not_swallow_the_error(tmp_path: Path) -> None:
    half = b'data: {"choices":[{"index":0,"delta":{"content":"Qui'
    async with standing_in(cut(chunked(half, end=b""))) as upstream, hasty(tmp_path, upstream) as house_:
        answer = await house_.raw("/chat/completions", CHAT | USAGE)
    assert answer.body.startswith(half + b"\n\n")
    assert told_at_the_end(answer.body)["error"]["code"] == "upstream_error"


@pytest.mark.parametrize(("path", "body"), [("/chat/completions", CHAT), ("/responses", RESPONSE)])
async def test_an_error_of_the_upstreams_own_is_passed_on_as_it_is(
    plain: House, path: str, body: Json
) -> None:
    answer = await plain.raw(path, faulty(body, "error_in_stream:3"))
    own = await plain.direct(path, json=faulty(body, "error_in_stream:3"))
    assert without_ids(answer.body) == without_ids(own.body)
    assert answer.whole
    request_id = answer.headers["x-request-id"]
    assert (await plain.line(request_id))["outcome"] == "upstream_failed"
    (line,) = await plain.ledger(request_id)
    assert line.source == "partial"


@pytest.mark.parametrize(("path", "body"), [("/chat/completions", CHAT), ("/responses", RESPONSE)])
async def test_silence_is_ended_and_told(tmp_path: Path, path: str, body: Json) -> None:
    async with hasty(tmp_path, stream_gap_seconds=0.1) as house_:
        answer = await house_.raw(path, faulty(body, "stall:4"))
        told = told_at_the_end(answer.body)
        assert told.get("code", told.get("error", {}).get("code")) == "upstream_timeout"
        assert (len(events(answer.body)), answer.whole) == (5, False)
        logged = await house_.line(answer.headers["x-request-id"])
        assert (logged["outcome"], logged["code"]) == ("upstream_failed", "upstream_timeout")


async def test_silence_instead_of_a_json_answer_is_a_proper_504(tmp_path: Path) -> None:
    async with hasty(tmp_path, stream_gap_seconds=0.1) as house_:
        answer = await house_.chat(metadata={"simulate": "stall"})
        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")


async def test_a_stream_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(end=b""))
        while True:
            writer.write(EVENT)
            await writer.drain()
            await hasten(1)

    async with standing_in(drip) as upstream, hasty(tmp_path, upstream, stream_seconds=0.2) as house_:
        answer = await house_.raw("/chat/completions", CHAT)
    assert told_at_the_end(answer.body)["error"]["code"] == "upstream_timeout"


# that are silent


async def test_silence_is_filled_with_comments_between_events(tmp_path: Path) -> None:
    async with hasty(tmp_path, keep_alive_seconds=0.05, stream_gap_seconds=0.5) as house_:
        answer = await house_.raw("/chat/completions", faulty(CHAT, "stall:3"))
    *passed, error = events(answer.body)
    assert passed[3:] == [b": keep-alive"] * len(passed[3:])
    assert len(passed) > 5
    assert error.startswith(b'data: {"error"')


async def test_silence_inside_an_event_is_left_alone(tmp_path: Path) -> None:
    half = b"data: [1,"
    async with (
        standing_in(raw(chunked(half, end=b""))) as upstream,
        hasty(tmp_path, upstream, keep_alive_seconds=0.05, stream_gap_seconds=0.5) as house_,
    ):
        answer = await house_.raw("/responses", RESPONSE)
    assert b"keep-alive" not in answer.body


# whose client


async def test_a_client_that_leaves_cancels_the_upstream(plain: House) -> None:
    async with plain.wire() as wire:
        await plain.send(wire, "/chat/completions", faulty(CHAT, "stall:12"))
        await wire.head()
    seen = plain.simulator.requests[-1]
    async with asyncio.timeout(1):
        await seen.ended.wait()
    assert seen.completion is Completion.CLIENT_LEFT


async def test_a_client_that_leaves_is_charged_for_what_had_come(tmp_path: Path) -> None:
    async with hasty(tmp_path) as house_:
        async with house_.wire() as wire:
            await house_.send(wire, "/chat/completions", faulty(CHAT, "stall:12"))
            await wire.head()
            for _ in range(12):
                await wire.some(b"}\n\n")
        logged = await house_.ended("client_left")
        (line,) = await house_.ledger(logged["request_id"])
    assert (line.cause, line.source, line.status) == ("client_left", "partial", 200)
    assert 5 < line.output_tokens < 30
    assert line.cost > 0


async def test_a_client_that_leaves_before_the_first_byte_is_charged_for_its_prompt(tmp_path: Path) -> None:
    async with hasty(tmp_path) as house_:
        async with house_.wire() as wire:
            await house_.send(wire, "/chat/completions", faulty(CHAT, "hang"))
            seen = await house_.simulator.arrival()
        async with asyncio.timeout(1):
            await seen.ended.wait()
        logged = await house_.ended("client_left")
        (line,) = await house_.ledger(logged["request_id"])
    assert (line.cause, line.source, line.status) == ("client_left", "partial", None)
    assert line.input_tokens > 0
    assert line.output_tokens == 0


class Endless:
    """An upstream that sends events as fast as they are taken, and notices when they no longer are."""

    def __init__(self) -> None:
        self.sent = 0
        self.held_back = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(end=b""))
        while not writer.is_closing():
            writer.write(EVENT * 1000)
            self.sent += len(EVENT) * 1000
            try:
                async with asyncio.timeout(0.3):
                    await writer.drain()
            except TimeoutError:
                self.held_back.set()
                await writer.drain()


async def test_a_client_that_does_not_read_holds_the_upstream_back(tmp_path: Path) -> None:
    endless = Endless()
    async with (
        standing_in(endless) as upstream,
        hasty(tmp_path, upstream) as house_,
        house_.wire() as wire,
    ):
        await house_.send(wire, "/chat/completions", CHAT)
        async with asyncio.timeout(10):
            await endless.held_back.wait()


async def test_a_client_that_does_not_read_for_long_is_left(tmp_path: Path) -> None:
    async with (
        standing_in(Endless()) as upstream,
        hasty(tmp_path, upstream, client_write_seconds=0.2) as house_,
        house_.wire() as wire,
    ):
        await house_.send(wire, "/chat/completions", CHAT)
        async with asyncio.timeout(10):
            await upstream.left.get()
        logged = await house_.ended("client_left")
        (line,) = await house_.ledger(logged["request_id"])
    assert (line.cause, line.source) == ("client_left", "partial")
