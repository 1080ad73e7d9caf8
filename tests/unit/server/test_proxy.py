"""Every request becomes an exchange, and goes on its journey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.core.decision import Mode
from gateway.core.policy import AllowList, Counted, Limit, Model, Scope
from gateway.server.boundary import Boundary
from gateway.server.incoming import BodyBounds
from gateway.server.own_headers import own_headers
from gateway.server.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.journey import CATALOGUE, CHAT, COMPLETION, Journey, a_policy
from tests.support.memory import EVENTS, MemoryAnswer
from tests.support.wire import Wire, WireAnswer, connected
from tests.unit.server.edge import get, post, serving

JSON = "content-type: application/json"
_ODD = "x\r\nset-cookie: evil"
ODD = replace(CATALOGUE, models={**CATALOGUE.models, _ODD: Model(_ODD, "openai", _ODD)})
"""A catalogue with a name that no policy file could have."""


@asynccontextmanager
async def house(journey: Journey) -> AsyncIterator[Wire]:
    """A client's connection to a proxy before this journey."""
    proxy = Proxy(
        pipeline=journey.pipeline,
        boundary=Boundary(log=journey.log.logger),
        gate=journey.gate,
        bounds=BodyBounds(),
        write_seconds=30.0,
        clock=journey.clock,
        own_headers=partial(own_headers, is_degraded=lambda: False),
    )
    async with serving(proxy) as edge, connected(edge.address) as wire:
        yield wire


async def ask(wire: Wire, key: str, **members: Any) -> WireAnswer:
    await send(wire, key, **members)
    return await wire.answer()


async def send(wire: Wire, key: str, **members: Any) -> None:
    body = msgspec.json.encode({**CHAT, **members})
    await wire.send(post(body, f"authorization: Bearer {key}", JSON))


async def test_a_request_is_answered() -> None:
    journey = Journey()
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key())
    assert (answer.status, msgspec.json.decode(answer.body)) == (200, COMPLETION)


async def test_the_answer_names_the_request_as_the_log_does() -> None:
    journey = Journey()
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key())
    (line,) = journey.log.of("exchange")
    assert answer.headers["x-request-id"] == line["request_id"]
    assert line["request_id"].startswith("req_")


async def test_every_request_has_a_name_of_its_own() -> None:
    journey = Journey()
    key = await journey.key()
    async with house(journey) as wire:
        names = {(await ask(wire, key)).headers["x-request-id"] for _ in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize("key", ["sk-wrong", ""], ids=["wrong", "none"])
async def test_a_refusal_is_an_answer_in_the_frozen_shape(key: str) -> None:
    journey = Journey()
    async with house(journey) as wire:
        answer = await ask(wire, key)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert (answer.headers["www-authenticate"], answer.headers["server"]) == ("Bearer", "gateway")


async def test_a_connection_goes_on_after_a_refusal() -> None:
    journey = Journey()
    async with house(journey) as wire:
        assert (await ask(wire, "sk-wrong")).status == 401
        assert (await ask(wire, await journey.key())).status == 200


async def test_a_refused_body_is_not_the_next_request() -> None:
    journey = Journey()
    key = await journey.key()
    smuggled = get(f"authorization: Bearer {key}")
    async with house(journey) as wire:
        await wire.send(post(smuggled, JSON))
        assert (await wire.answer()).status == 401
        await wire.send(get("connection: close"))
        assert (await wire.ends()).count(b"HTTP/1.1") == 1


async def test_what_is_left_of_the_limits_is_on_every_answer() -> None:
    limit = Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), amount=1, burst=1)
    journey = Journey(policy=a_policy(limits=(limit,)))
    key = await journey.key()
    async with house(journey) as wire:
        answers = [await ask(wire, key) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["0"] * 3


async def test_a_warning_is_on_the_answer() -> None:
    journey = Journey(policy=a_policy(models=AllowList((), Mode.WARN)))
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key())
    assert answer.headers["x-gateway-warning"].startswith("models; model_not_allowed; ")


async def test_a_warning_cannot_bring_another_header_in() -> None:
    tool = {"type": "image_generation", "model": _ODD}
    journey = Journey(policy=a_policy(models=AllowList((), Mode.WARN), catalogue=ODD))
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key(), tools=[tool])
    assert answer.status == 200
    assert "set-cookie" not in answer.headers


async def test_a_fault_of_our_own_is_logged_under_the_name_that_the_client_sees() -> None:
    journey = Journey(ZeroDivisionError("what the client said"))
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key())
    (fault,) = journey.log.of("internal_error")
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert answer.headers["x-request-id"] == fault["request_id"]
    assert "what the client said" not in journey.log.text


async def test_a_request_during_the_drain_is_the_last_of_its_connection() -> None:
    journey = Journey()
    journey.gate.draining = True
    async with house(journey) as wire:
        answer = await ask(wire, await journey.key())
        assert (answer.status, answer.error["code"]) == (503, "draining")
        assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")
        assert await wire.ends() == b""


async def test_a_client_that_leaves_ends_its_exchange() -> None:
    journey = Journey(MemoryAnswer(b"data: 1\n\n", asyncio.Event(), content_type=EVENTS))
    async with house(journey) as wire:
        await send(wire, await journey.key(), stream=True)
        await wire.some(b"data: 1\n\n")
        await wire.close()
        (line,) = await eventually(lambda: journey.log.of("exchange"))
    assert line["outcome"] == "client_left"
    assert len(journey.ledger.settled) == 1


async def test_a_broken_stream_is_told_in_its_own_dialect_and_cut() -> None:
    answer = MemoryAnswer(b"data: 1\n\n", ZeroDivisionError(), content_type=EVENTS)
    journey = Journey(answer)
    async with house(journey) as wire:
        got = await ask(wire, await journey.key(), stream=True)
    assert got.chunks[0] == b"data: 1\n\n"
    assert b'"code":"internal_error"' in got.chunks[1]
    assert not got.whole
