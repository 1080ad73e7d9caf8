"""What it cost: nothing is sent that cannot be written down; nothing is written twice, nothing forgotten."""

import asyncio
import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_telemetry import value
from tests.support.eventually import eventually
from tests.support.house import House, hasten, house
from tests.support.policy_files import EVERYTHING, write_policies

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_without_its_ledger_nothing_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        assert (await house_.chat()).status == 200
        await house_.ledger()
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            answer = await house_.chat()
            assert (answer.status, answer.error["code"]) == (503, "metering_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert len(house_.simulator.requests) == 1
            assert value(await house_.metrics(), "gateway_degraded", dependency="ledger") == 1
        finally:
            other.execute("ROLLBACK")
            other.close()

        async def is_back() -> bool:
            return (await house_.chat()).status == 200

        await eventually(is_back)
        assert value(await house_.metrics(), "gateway_degraded", dependency="ledger") == 0
        told = [line["event"] for line in await house_.lines() if line["event"].startswith("ledger_")]
        assert told == ["ledger_away", "ledger_back"]
        lines = await house_.ledger()
        assert len([line for line in lines if line.status]) == len(house_.simulator.requests)
        assert sum(line.cost for line in lines if not line.status) == 0


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
