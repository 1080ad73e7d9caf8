"""A whole gateway whose Redis falls silent: clients notice a header, operators one line, and nobody waits."""

from contextlib import suppress
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from gateway.limits.redis.connect import TIMEOUT
from tests.proofs.outage import until
from tests.support.eventually import eventually
from tests.support.fault_proxy import fault_proxy
from tests.support.house import ADMIN_TOKEN, Answer, House, house
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.redis_server import running_redis

RULES = """
limits:
  team-requests: {per: team, requests: 1_000, every: day, burst: 100_000}
  team-streams: {per: team, concurrent: 8}
budgets:
  team-day: {per: team, dollars: 100, every: day, zone: Asia/Kathmandu}
"""
NOISE = 0.9
"""Seconds for which this machine may do other things in between."""


async def left(opened: House) -> dict[str, Any]:
    """What operators are told is left, by the limit."""
    query = f"{opened.operators}/admin/limits?team=search"
    async with opened.http.get(query, headers={"authorization": f"Bearer {ADMIN_TOKEN}"}) as answer:
        if answer.status != 200:
            return {}
        told = await answer.json()
    return {each["limit"]: each for kind in ("rates", "concurrency", "budgets") for each in told[kind]}


async def changes(opened: House) -> list[str]:
    return [line["event"] for line in await opened.lines() if line["event"] in ("redis_away", "redis_back")]


async def test_a_silent_redis_costs_clients_a_header(tmp_path: Path, record_property: Any) -> None:
    took: dict[bool, list[float]] = {False: [], True: []}
    served: list[Answer] = []
    refused: list[Answer] = []

    with running_redis() as redis, fault_proxy(redis.path) as door:
        async with house(
            tmp_path,
            policies=write_policies(tmp_path, EVERYTHING + RULES),
            environment={"GATEWAY_REDIS_URL": door.url},
        ) as opened:

            async def chat() -> bool:
                """Whether the answer says that limits are degraded."""
                began = monotonic()
                answer = await opened.chat()
                degraded = answer.headers.get("x-gateway-degraded") == "limits"
                took[degraded].append(monotonic() - began)
                (served if answer.status == 200 else refused).append(answer)
                return degraded

            async def is_set_aside() -> bool:
                return bool((await left(opened))["team-day"]["set_aside"])

            for _ in range(10):
                await chat()
            await until("money is set aside", is_set_aside)
            assert (took[True], await changes(opened)) == ([], [])

            door.black_hole()
            await until("limits are degraded", chat)
            for _ in range(10):
                assert await chat()
            assert await changes(opened) == ["redis_away"]
            assert refused == []
            assert 'gateway_degraded{dependency="redis"} 1.0' in await opened.metrics()
            assert await left(opened) == {}, "somebody says what is left, though nobody knows"

            door.heal()

            async def is_well() -> bool:
                return not await chat()

            told: dict[str, Any] = {}
            true: dict[str, Any] = {}

            async def is_right() -> bool:
                seen = await left(opened)
                spent = sum(line.cost for line in await opened.ledger())
                true.update(requests=100_000 - len(served), spent=spent, held=0, taken=0)
                told.update(
                    requests=seen.get("team-requests", {}).get("left"),
                    spent=seen.get("team-day", {}).get("spent"),
                    held=seen.get("team-day", {}).get("held"),
                    taken=seen.get("team-streams", {}).get("taken"),
                )
                return told == true

            await until("limits are well", is_well)
            with suppress(TimeoutError):
                await eventually(is_right, seconds=5.0)
            assert told == true
            assert await changes(opened) == ["redis_away", "redis_back"]
            assert 'gateway_degraded{dependency="redis"} 0.0' in await opened.metrics()

    record_property("healthy, median", f"{median(took[False]) * 1000:.0f} ms")
    record_property("Redis away, median", f"{median(took[True]) * 1000:.0f} ms")
    record_property("longest", f"{max(took[False] + took[True]) * 1000:.0f} ms")
    assert max(took[False] + took[True]) < TIMEOUT + NOISE
    assert median(took[True]) < TIMEOUT, "they wait for a Redis that is away"
