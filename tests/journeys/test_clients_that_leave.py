"""Clients that leave where the policy says `when_client_leaves: drain`: the provider says what it cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.upstream.connection import MOST_HELD
from tests.support.eventually import eventually
from tests.support.house import House, hasten, house
from tests.support.keys import revoke_key
from tests.support.policy_files import EVERYTHING, write_policies
from tests.unit.upstream.stand_in import Play, StandIn, chunked, standing_in, turn_over, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]}
STREAM = {**ASK, "stream": True}
USAGE = {"prompt_tokens": 9, "completion_tokens": 500, "total_tokens": 509}
BODY = msgspec.json.encode({"choices": [{"message": {"content": "Hello"}}], "usage": USAGE})
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
SICK = b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
WORD = b'data: {"choices":[{"delta":{"content":"on and on "}}]}\n\n'
TOLD = b'data: {"choices":[],"usage":' + msgspec.json.encode(USAGE) + b"}\n\n"
BEGUN = chunked(WORD, end=b"")


def chunk(*portions: bytes, end: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(portion), portion) for portion in portions) + end


ENDED = chunk(WORD, TOLD, b"data: [DONE]\n\n", end=b"0\r\n\r\n")


class Patient:
    """An upstream that says something, waits until it is told to go on, and says the rest."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.first, self.rest = first, rest
        self.go_on = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.first)
        await self.go_on.wait()
        writer.write(self.rest)
        if not self.rest:
            writer.close()
        await writer.drain()


@asynccontextmanager
async def patient(first: bytes, rest: bytes, *then: Play) -> AsyncIterator[tuple[Patient, StandIn]]:
    play = Patient(first, rest)
    async with standing_in(play, *then) as upstream:
        try:
            yield play, upstream
        finally:
            play.go_on.set()


@asynccontextmanager
async def patient_house(
    folder: Path, upstream: StandIn, rules: str = "", **environment: str
) -> AsyncIterator[House]:
    """A house that reads answers on, before this upstream."""
    policies = write_policies(folder, f"{EVERYTHING}\nwhen_client_leaves: drain\n{rules}\n")
    variables = {"GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", **environment}
    async with house(folder, policies=policies, environment=variables, pause=hasten) as opened:
        yield opened


async def leave(house_: House, upstream: StandIn, body: dict[str, Any], *, seen: bytes = b"") -> None:
    """Ask, and be gone once the upstream has been asked, and so much of its answer has come."""
    async with house_.wire() as wire:
        await house_.send(wire, "/chat/completions", body)
        await upstream.came.get()
        if seen:
            await wire.some(seen)


async def line_of(house_: House) -> Any:
    logged = await house_.ended("client_left")
    (line,) = await house_.ledger(logged["request_id"])
    return line


@pytest.mark.parametrize(
    ("first", "rest", "body", "seen"),
    [
        (BEGUN, ENDED, STREAM, b"on and on"),
        (b"", BEGUN + ENDED, STREAM, b""),
        (b"", HEAD + BODY, ASK, b""),
        (HEAD, BODY, ASK, b""),
        (HEAD + BODY[:20], BODY[20:], ASK, b""),
    ],
    ids=["stream", "stream before its head", "before the head", "before the body", "in the body"],
)
async def test_an_answer_is_read_to_its_end_without_its_client(
    tmp_path: Path, first: bytes, rest: bytes, body: dict[str, Any], seen: bytes
) -> None:
    async with patient(first, rest) as (play, upstream), patient_house(tmp_path, upstream) as house_:
        await leave(house_, upstream, body, seen=seen)
        await turn_over()
        play.go_on.set()
        line = await line_of(house_)
    assert (line.cause, line.source, line.status) == ("client_left", "provider", 200)
    assert (line.input_tokens, line.output_tokens) == (9, 500)


async def test_an_answer_that_breaks_off_without_its_client_is_partial(tmp_path: Path) -> None:
    async with patient(BEGUN, b"") as (play, upstream), patient_house(tmp_path, upstream) as house_:
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        play.go_on.set()
        line = await line_of(house_)
    assert (line.cause, line.source, line.output_tokens) == ("client_left", "partial", 4)


async def test_an_answer_that_stalls_without_its_client_is_ended(tmp_path: Path) -> None:
    async with (
        patient(BEGUN, ENDED) as (_, upstream),
        patient_house(tmp_path, upstream, GATEWAY_BOUNDS__STREAM_GAP_SECONDS="0.1") as house_,
    ):
        await leave(house_, upstream, STREAM, seen=b"on and on")
        line = await line_of(house_)
    assert (line.cause, line.source) == ("client_left", "partial")


async def test_its_slot_is_held_until_the_answer_is_over(tmp_path: Path) -> None:
    rules = "limits: {slots: {per: team, concurrent: 1}}"
    async with (
        patient(BEGUN, ENDED, whole(BODY)) as (play, upstream),
        patient_house(tmp_path, upstream, rules) as house_,
    ):
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        assert (await house_.chat()).error["code"] == "concurrency_limit_exceeded"
        play.go_on.set()
        await line_of(house_)

        async def is_free() -> bool:
            return (await house_.chat()).status == 200

        await eventually(is_free)


async def test_nothing_is_tried_again_for_a_client_that_is_gone(tmp_path: Path) -> None:
    async with (
        patient(b"", b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}") as (
            play,
            upstream,
        ),
        patient_house(tmp_path, upstream) as house_,
    ):
        await leave(house_, upstream, ASK)
        await turn_over()
        play.go_on.set()
        line = await line_of(house_)
        assert len(upstream.requests) == 1
    assert (line.cause, line.status, line.cost, line.number) == ("client_left", 500, 0, 1)


async def test_a_revoked_key_ends_also_what_nobody_waits_for(tmp_path: Path) -> None:
    async with patient(BEGUN, ENDED) as (_, upstream), patient_house(tmp_path, upstream) as house_:
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        await revoke_key(house_.settings, house_.key, cut_streams=True)
        line = await line_of(house_)
    assert (line.cause, line.source) == ("client_left", "partial")


class Talkative:
    """An upstream that says a word every now and then, for ever."""

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BEGUN)
        while not writer.is_closing():
            writer.write(chunk(*[WORD] * 20))
            await writer.drain()
            await hasten(0.5)


async def test_a_budget_that_is_used_up_ends_also_what_nobody_waits_for(tmp_path: Path) -> None:
    rules = "budgets: {small: {per: team, tokens: 2000, every: day}}"
    talkative: Play = Talkative()
    async with standing_in(talkative) as upstream, patient_house(tmp_path, upstream, rules) as house_:
        await leave(house_, upstream, STREAM, seen=b"on and on")
        line = await line_of(house_)
    assert (line.cause, line.source) == ("client_left", "partial")
    assert 500 < line.output_tokens <= 2000


async def test_a_stop_waits_for_an_answer_without_a_client(tmp_path: Path) -> None:
    async with (
        patient(BEGUN, ENDED) as (play, upstream),
        patient_house(tmp_path, upstream, GATEWAY_BOUNDS__DRAIN_SECONDS="30") as house_,
    ):
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        stopping = asyncio.create_task(house_.gateway.listener.drain())
        await hasten(1)
        assert not stopping.done()
        play.go_on.set()
        await stopping
        line = await line_of(house_)
    assert (line.cause, line.source) == ("client_left", "provider")


async def test_a_stop_that_takes_too_long_ends_it(tmp_path: Path) -> None:
    async with (
        patient(BEGUN, ENDED) as (_, upstream),
        patient_house(tmp_path, upstream, GATEWAY_BOUNDS__DRAIN_SECONDS="0.1") as house_,
    ):
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        async with asyncio.timeout(5):
            await house_.gateway.listener.drain()
        line = await line_of(house_)
    assert (line.cause, line.source) == ("client_left", "partial")


async def test_what_is_read_on_is_not_kept(tmp_path: Path) -> None:
    """More than would fit on the way from the upstream to a client that takes nothing."""
    words = [WORD * 1000] * (20 * MOST_HELD // len(WORD * 1000))
    async with (
        patient(BEGUN, chunk(*words) + ENDED) as (play, upstream),
        patient_house(tmp_path, upstream) as house_,
    ):
        await leave(house_, upstream, STREAM, seen=b"on and on")
        await turn_over()
        play.go_on.set()
        line = await line_of(house_)
    assert (line.source, line.output_tokens) == ("provider", 500)


async def test_a_client_that_takes_nothing_and_is_cut_off_is_no_loss(tmp_path: Path) -> None:
    """It leaves while the gateway waits for it to take what was written."""
    rest = chunk(*[WORD * 1000] * 200) + ENDED
    async with patient(BEGUN, rest) as (play, upstream), patient_house(tmp_path, upstream) as house_:
        async with house_.wire() as wire:
            await house_.send(wire, "/chat/completions", STREAM)
            await wire.some(b"on and on")
            play.go_on.set()
            await turn_over()
        line = await line_of(house_)
    assert (line.cause, line.source, line.output_tokens) == ("client_left", "provider", 500)
