"""What it cost: nothing is sent that cannot be written down; nothing is written twice, nothing forgotten."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.simulator.faults import Fault
from tests.journeys.test_telemetry import value
from tests.support.disk import full_disk
from tests.support.eventually import eventually
from tests.support.house import House, hasten, house
from tests.support.policy_files import EVERYTHING, write_policies
from tests.unit.upstream.stand_in import Play, StandIn, chunked, raw, standing_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_cannot_be_written_down_is_not_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        assert (await house_.chat()).status == 200
        await house_.ledger()
        with full_disk():
            answer = await house_.chat()
            assert (answer.status, answer.error["code"]) == (503, "metering_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert len(house_.simulator.requests) == 1
            assert value(await house_.metrics(), "gateway_degraded", dependency="ledger") == 1

        async def is_back() -> bool:
            return (await house_.chat()).status == 200

        await eventually(is_back)
        assert value(await house_.metrics(), "gateway_degraded", dependency="ledger") == 0
        told = [line["event"] for line in await house_.lines() if line["event"].startswith("ledger_")]
        assert told == ["ledger_away", "ledger_back"]
        lines = await house_.ledger()
        assert len([line for line in lines if line.status]) == len(house_.simulator.requests)
        assert sum(line.cost for line in lines if not line.status) == 0


async def test_without_its_database_it_goes_on_and_nothing_is_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        assert (await house_.chat()).status == 200
        await house_.ledger()
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert [(await house_.chat()).status for _ in range(5)] == [200] * 5
        finally:
            other.execute("ROLLBACK")
            other.close()
        lines = await house_.ledger()
        assert [line.cause for line in lines] == ["served"] * 6
        seen = [seen.headers["x-client-request-id"] for seen in house_.simulator.requests]
        assert [line.attempt_id for line in lines] == seen


async def test_a_gateway_that_is_full_says_so_at_once(tmp_path: Path) -> None:
    environment = {"GATEWAY_BOUNDS__OPEN_EXCHANGES": "1"}
    async with house(tmp_path, environment=environment) as house_, house_.wire() as wire:
        body = {"model": "gpt-4o-mini", "messages": [], "metadata": {"simulate": "hang"}}
        await house_.send(
            wire, "/chat/completions", {**body, "messages": [{"role": "user", "content": "hi"}]}
        )
        await house_.simulator.arrival()
        answer = await house_.chat()
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"


async def test_a_request_that_was_tried_again_has_two_lines_and_the_second_names_the_first(
    home: House,
) -> None:
    home.simulator.faults.next(Fault("500"))
    answer = await home.chat()
    assert answer.status == 200
    first, second = await home.ledger(answer.request_id)
    assert (first.number, first.cause, first.status, first.cost) == (1, "upstream_failed", 500, 0)
    assert (second.number, second.cause, second.status) == (2, "served", 200)
    assert (first.retry_of, second.retry_of) == (None, first.attempt_id)
    assert first.exchange_id == second.exchange_id == answer.request_id


GOOD = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
SAYS = {"choices": [{"delta": {"content": "Hello there"}}]}
STREAMED = {"stream": True, "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 100}


def streamed(*told: Mapping[str, Any]) -> Play:
    """A stream of two words, and of what it tells after them. An empty thing told is its end."""
    events = [b"data: %b\n\n" % (msgspec.json.encode(each) if each else b"[DONE]") for each in (SAYS, *told)]
    return raw(chunked(*events))


def usage(**said: Any) -> Mapping[str, Any]:
    return {"choices": [], "usage": {**GOOD, **said}}


@pytest.mark.parametrize(
    "play",
    [
        streamed({}),
        streamed(usage(completion_tokens=-2), {}),
        streamed(usage(completion_tokens=0), {}),
        streamed(usage(completion_tokens="2"), {}),
        streamed(usage(completion_tokens=2.0), {}),
        streamed(usage(completion_tokens=None, total_tokens=None), {}),
        streamed(usage(completion_tokens=10**30, total_tokens=None), {}),
        streamed(usage(completion_tokens=265, total_tokens=None), {}),
        streamed(usage(prompt_tokens=10**6, total_tokens=None), {}),
        streamed(usage(total_tokens=9), {}),
        streamed(usage(prompt_tokens_details={"cached_tokens": 9}), {}),
        streamed(usage(prompt_tokens_details={"cached_tokens": -9}), {}),
        streamed(usage(prompt_tokens_details=[None]), {}),
        streamed({"choices": [], "usage": {"tokens": {"in": 8, "out": 2}}}, {}),
        streamed({"choices": [], "usage": [[None]]}, {}),
        streamed(usage(), usage(completion_tokens=-2), {}),
        streamed({}, usage()),
    ],
    ids=[
        *("absent", "negative", "zero", "text", "float", "null", "huge", "more than allowed"),
        *("more than the window", "total", "part", "negative part", "no details", "another shape"),
        *("no object", "the last of two", "late"),
    ],
)
async def test_usage_that_cannot_be_is_neither_credit_nor_free(tmp_path: Path, play: Play) -> None:
    async with standing_in(play) as upstream, fed_by(tmp_path, upstream) as house_:
        answer = await house_.raw("/chat/completions", {"model": "gpt-4o", **STREAMED})
        (line,) = await house_.ledger(answer.headers["x-request-id"])
    assert (line.cause, line.source) == ("served", "estimated")
    assert (line.input_tokens, line.output_tokens) == (15, 2)  # every string of the request is counted
    assert line.cost == 58  # 15 × 2.50 + 2 × 10.00, half up
    assert b'"usage"' not in answer.body


async def test_of_two_counts_the_last_one_is_believed(tmp_path: Path) -> None:
    play = streamed(usage(completion_tokens=1, total_tokens=9), usage(), {}, usage(completion_tokens=1))
    async with standing_in(play) as upstream, fed_by(tmp_path, upstream) as house_:
        answer = await house_.raw("/chat/completions", {"model": "gpt-4o", **STREAMED})
        (line,) = await house_.ledger(answer.headers["x-request-id"])
    assert (line.source, line.input_tokens, line.output_tokens) == ("provider", 8, 2)


@asynccontextmanager
async def fed_by(folder: Path, upstream: StandIn) -> AsyncIterator[House]:
    environment = {"GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1"}
    async with house(folder, policies=write_policies(folder), environment=environment) as opened:
        yield opened


async def test_the_reasoning_of_an_answer_whose_client_left_is_estimated(tmp_path: Path) -> None:
    body = {"model": "gpt-5", "input": "Say hello", "stream": True, "reasoning": {"effort": "high"}}
    async with house(tmp_path, policies=write_policies(tmp_path)) as house_:
        for _ in range(2):  # whole answers, of which the provider tells how long it thought
            await house_.raw("/responses", body)
        async with house_.wire() as wire:
            await house_.send(wire, "/responses", {**body, "metadata": {"simulate": "stall:8"}})
            await wire.some(b"response.output_text.delta")
        logged = await house_.ended("client_left")
        whole, _, cut = await house_.ledger()
    assert (cut.exchange_id, cut.cause, cut.source) == (logged["request_id"], "client_left", "partial")
    assert cut.reasoning_tokens == whole.reasoning_tokens == 32
    assert cut.reasoning_tokens < cut.output_tokens < whole.output_tokens


WILD = (
    "500",
    "429:0.01",
    "429:60",
    "cut:4",
    "stall:3",
    "error_in_stream",
    "missing_usage",
    "hang",
    "cut_body",
)
SLOTS = 40


async def somebody(house_: House, chance: random.Random) -> None:
    """One client, who may or may not be reasonable."""
    body: dict[str, Any] = {
        "model": chance.choice(["gpt-4o-mini", "fast", "gpt-5", "gpt-99"]),
        "messages": [{"role": "user", "content": f"Tell me of {chance.random()}"}],
        "stream": chance.random() < 0.6,
    }
    if chance.random() < 0.6:
        body["metadata"] = {"simulate": chance.choice(WILD)}
    if chance.random() < 0.1:
        body["n"] = "several"
    async with house_.wire() as wire:
        await house_.send(wire, "/chat/completions", body)
        if chance.random() < 0.25:
            await wire.head()  # and leaves
        else:
            await wire.answer()


async def test_after_a_wild_day_every_attempt_has_one_line_and_nothing_is_held(tmp_path: Path) -> None:
    rules = f"limits: {{slots: {{per: team, concurrent: {SLOTS}}}}}"
    policies = write_policies(tmp_path, f"{EVERYTHING}\n{rules}\n")
    environment = {
        "GATEWAY_BOUNDS__STREAM_GAP_SECONDS": "0.2",
        "GATEWAY_UPSTREAM__FIRST_BYTE_SECONDS": "0.3",
    }
    chance = random.Random(2)
    async with house(tmp_path, policies=policies, environment=environment, pause=hasten) as house_:
        for _ in range(3):
            await asyncio.gather(*[somebody(house_, chance) for _ in range(60)])

        async def is_quiet() -> bool:
            return value(await house_.metrics(), "gateway_open_exchanges") == 0

        await eventually(is_quiet)
        lines = await house_.ledger()
        seen = house_.simulator.requests
        assert len(lines) == len(seen) > 100
        answered = Counter(line.upstream_request_id for line in lines if line.upstream_request_id)
        assert set(answered.values()) == {1}
        assert answered.keys() <= {request.request_id for request in seen}
        assert {line.cause for line in lines} == {"served", "client_left", "upstream_failed"}

        metrics = await house_.metrics()
        assert value(metrics, "gateway_reservations_leaked_total") == 0
        assert sum(line.cost for line in lines) == sum(
            value(metrics, "gateway_cost_microdollars_total", team="search", model=model)
            for model in ("gpt-4o-mini", "gpt-6-luna", "gpt-5")
        )
        answers = await asyncio.gather(*[house_.chat() for _ in range(SLOTS)])
        assert {answer.status for answer in answers} == {200}
