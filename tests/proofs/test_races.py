"""200 clients of four replicas at the edge of a budget: nothing is overspent, nobody refused in vain."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.core.clock import SystemClock
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.amounts import Amounts
from gateway.limits.bucket import MICRO
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Look
from tests.proofs.limiter import limiter_at
from tests.proofs.race import CLIENTS, REFUSED_OFTEN, Met, Moment, Part, Told, race
from tests.support.redis_server import RedisServer
from tests.support.workers import Workers

pytestmark = pytest.mark.timeout(300)

REQUESTS_A_SECOND, BURST = 1000, 50


@dataclass(frozen=True)
class Round:
    """A team with a fresh budget, and how its race ended."""

    budget: int
    slots: int
    told: Sequence[Told]
    seconds: float
    """Of Redis' time, at most."""
    dollars: Look
    """What is known of the budget after it …"""
    concurrent: Look
    kept: dict[bytes, bytes]
    """… and all that Redis keeps of it."""

    @property
    def moments(self) -> list[Moment]:
        return sorted(moment for told in self.told for moment in told.moments)

    @property
    def settled(self) -> int:
        return sum(told.settled for told in self.told)

    @property
    def exchanges(self) -> int:
        return sum(told.exchanges for told in self.told)

    def refusals(self, *counts: Counted) -> list[Met]:
        return [met for told in self.told for met in told.refusals if met.counts in (counts or Counted)]


@pytest.fixture(params=["what is expected is held, and grows", "the bound is held"])
def strict(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "the bound is held")


async def test_no_race_at_the_edge_of_a_budget_passes_it(
    redis_server: RedisServer,
    redis: Redis,
    replicas: Workers,
    strict: bool,
    full: bool,
    record_property: Any,
) -> None:
    rounds = []
    for number in range(20 if full else 3):
        done = await run(
            redis_server.url, redis, replicas, f"{'strict' if strict else 'plain'}-{number}", strict
        )
        check(done)
        rounds.append(done)
    record_property("rounds", len(rounds))
    record_property("clients at once", len(replicas) * CLIENTS)
    record_property("exchanges", sum(done.exchanges for done in rounds))
    record_property("refused by budget", sum(len(done.refusals(Counted.DOLLARS)) for done in rounds))
    record_property("refused by slots", sum(len(done.refusals(Counted.CONCURRENT)) for done in rounds))
    record_property("refused by rates", sum(len(done.refusals(Counted.REQUESTS)) for done in rounds))
    record_property("overspent, micro-dollars", sum(max(0, done.settled - done.budget) for done in rounds))
    record_property("refused in vain", sum(fits(met) for done in rounds for met in done.refusals()))
    record_property("least of a budget that was used", f"{min(d.settled / d.budget for d in rounds):.1%}")


def check(done: Round) -> None:
    assert done.settled <= done.budget
    assert max(accumulate(moment.dollars for moment in done.moments)) <= done.budget
    assert max(accumulate(moment.slots for moment in done.moments)) <= done.slots
    assert done.exchanges <= BURST + done.seconds * REQUESTS_A_SECOND
    assert [met for met in done.refusals() if fits(met)] == []
    assert [met for met in done.refusals(Counted.DOLLARS, Counted.CONCURRENT) if met.level > met.most] == []
    assert len(done.refusals(Counted.DOLLARS)) == len(done.told) * CLIENTS * REFUSED_OFTEN
    charged = sorted(pair for told in done.told for pair in told.charged)
    assert [before for before, _ in charged] == [0, *(after for _, after in charged)][:-1]
    assert (done.dollars.level, done.dollars.spent) == (done.settled, done.settled)
    assert (done.dollars.set_aside, done.dollars.holders, done.concurrent) == (0, (), Look(0))
    assert {name: value for name, value in done.kept.items() if name != b"start"} == {
        b"spent": b"%d" % done.settled,
        b"held": b"0",
    }


def fits(met: Met) -> bool:
    """Whether it was refused in vain."""
    return met.level + met.cost <= met.most


async def run(url: str, redis: Redis, replicas: Workers, name: str, strict: bool) -> Round:
    chance = Random(name)
    amount, slots = round(1000 * 5000 ** chance.random()), chance.randint(20, 120)
    policy = policy_of(name, amount, slots, strict)
    parts = [
        Part(url, policy, max(1, amount // 40), strict, f"{name}-{number}") for number in range(len(replicas))
    ]
    began = await redis_time(redis)
    told = await replicas.all(race, parts)
    ended = await redis_time(redis)
    principal = Principal(subject="user-0", team=name, key_id="k", key_name="k")
    demands = Demands(clock=SystemClock()).of(principal, policy, None, Amounts())
    async with limiter_at(url) as limiter:
        *_, concurrent, dollars = await limiter.look(demands)
    kept: Any = await redis.hgetall(demands[-1].bucket)
    return Round(amount, slots, told, ended - began, dollars, concurrent, kept)


def policy_of(team: str, amount: int, slots: int, strict: bool) -> Policy:
    """Rates, slots and a budget. In Kathmandu a month does not begin at an hour at which builds run."""
    requests = Limit("requests", Counted.REQUESTS, (Scope.TEAM,), REQUESTS_A_SECOND, 1.0, BURST)
    tokens = Limit("tokens", Counted.TOKENS, (Scope.USER,), 10**6, 1.0, 10**6)
    concurrent = Limit("concurrent", Counted.CONCURRENT, (Scope.TEAM,), slots)
    zone = "Asia/Kathmandu"
    budget = Budget("dollars", Counted.DOLLARS, (Scope.TEAM,), amount, Period.MONTH, zone, strict=strict)
    return Policy(
        team=team,
        version="1",
        catalogue=Catalogue({}),
        limits=(requests, tokens, concurrent),
        budgets=(budget,),
    )


async def redis_time(redis: Redis) -> float:
    seconds, micro = await redis.time()
    return float(seconds + micro / MICRO)
