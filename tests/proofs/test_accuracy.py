"""Every decision of a burst is the right one, also where windows begin and buckets are just full again.

Four replicas, whose clocks differ, decide on one Redis; an oracle goes through all decisions again, in the
order in which Redis made them. Whoever was let through by mistake is one too many; whoever was refused by
mistake, since debts are rounded up to the micro-token, is one in a thousand at most.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from gateway.limits.amounts import NOTHING
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Demand
from tests.proofs.burst import CLOCK, LEASE, MODELS, ORDER, PACE, PAUSE, TIME, Act, Burst, burst, callers
from tests.proofs.limiter import begin, limiter_at
from tests.proofs.replay import MICRO, Replay
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer
from tests.support.workers import Workers

pytestmark = pytest.mark.timeout(600)

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
BEGINNINGS = [
    "2026-11-18T00:00+01:00",  # a day in Berlin
    "2026-10-26T00:00+01:00",  # after a day of 25 hours
    "2027-03-29T00:00+02:00",  # after a day of 23 hours
    "2026-11-23T00:00+00:00",  # a week in UTC
    "2026-12-01T00:00-05:00",  # a month in New York
    "2026-11-18T13:00+01:00",  # an hour, which is nothing to anybody
]
"""Of windows. A burst goes on over one of them."""
PACES = [(2, 3_000_000), (60, 500_000), (3_000, 0), (40_000, 0), (40_000, 3_000_000)]
"""Microseconds between two decisions, at most; and how much more in a pause."""
DECISIONS = 1_000
"""Of each burst."""
SKEWS = [0.0, -4.0, 3.0, 0.5]
"""Seconds by which the replicas' clocks are wrong."""


async def test_decisions_are_those_of_an_exact_oracle(
    redis_server: RedisServer, redis: Redis, replicas: Workers, full: bool, record_property: Any
) -> None:
    bursts = 200 if full else 10
    judges = [await judged(redis_server.url, redis, replicas, number) for number in range(bursts)]
    decisions = sum(judge.decisions for judge in judges)
    over = sum(judge.over_admitted for judge in judges)
    under = sum(judge.under_admitted for judge in judges)
    refused = sum(judge.refused for judge in judges)
    record_property("decisions", decisions)
    record_property("refused", refused)
    record_property("over-admitted", over)
    record_property("under-admitted", f"{under} = {under / decisions:.4%}")
    record_property("rounded up, micro-tokens, at most", f"{float(max(j.rounding for j in judges)):.1f}")
    assert [misstated for judge in judges for misstated in judge.misstated] == []
    assert decisions == bursts * DECISIONS
    assert 0.1 < refused / decisions < 0.9
    assert over == 0
    assert Fraction(under, decisions) <= Fraction(1, 1000)


async def judged(url: str, redis: Redis, replicas: Workers, number: int) -> Replay:
    """A burst, and what is to be said of it."""
    chance = Random(number)
    pace, pause = PACES[number % len(PACES)]
    lasts = 2.2 * DECISIONS * (pace / 2 + pause / 199) / MICRO
    beginning = datetime.fromisoformat(BEGINNINGS[number % len(BEGINNINGS)]).timestamp()
    start = int((beginning - lasts * chance.uniform(0.2, 0.8)) * MICRO)
    policies = [policy_of(f"team-{each}", chance) for each in range(3)]
    judge = Replay(lease=int(LEASE * MICRO))
    await redis.flushall()
    await redis.mset({TIME: start, PACE: pace, PAUSE: pause})
    await load(url, policies, judge, start)
    await redis.delete(ORDER)
    parts = [
        Burst(
            url,
            policies,
            DECISIONS // len(replicas),
            start / MICRO + skew,
            lasts / DECISIONS * len(replicas),
            f"{number}-{replica}",
        )
        for replica, skew in zip(range(len(replicas)), SKEWS, strict=True)
    ]
    acts = await replicas.all(burst, parts)
    await replay(redis, [act for some in acts for act in some], judge)
    return judge


async def load(url: str, policies: Sequence[Policy], judge: Replay, start: int) -> None:
    """Something was spent of every budget before."""
    async with limiter_at(url, clock=CLOCK) as limiter:
        for demand in budgets_of(policies, start):
            spent = demand.limit.amount // 5
            await begin(limiter, [demand], spent)
            judge.begin(demand, spent, start)


def budgets_of(policies: Sequence[Policy], start: int) -> list[Demand]:
    demands = Demands(clock=ManualClock(start / MICRO))
    wanted = [
        demand
        for policy in policies
        for principal in callers(policy)
        for model in MODELS
        for demand in demands.of(principal, policy, model, NOTHING)
    ]
    return list({demand.bucket: demand for demand in wanted if demand.window is not None}.values())


async def replay(redis: Redis, acts: Sequence[Act], judge: Replay) -> None:
    """Go through what was done, in the order in which Redis did it."""
    waiting: defaultdict[str, deque[Act]] = defaultdict(deque)
    for act in acts:
        waiting[act.hold.exchange_id].append(act)
    lines: Any = await redis.lrange(ORDER, 0, -1)
    for exchange_id, now in zip(lines[0::2], lines[1::2], strict=True):
        judge.go_on(waiting[exchange_id.decode()].popleft(), int(now))
    assert not any(waiting.values())


def policy_of(team: str, chance: Random) -> Policy:
    """Some limits of every kind: tight ones and wide ones."""

    def some(amount: int) -> int:
        return round(amount * 10 ** chance.uniform(-0.5, 1))

    limits = [
        Limit("second", Counted.REQUESTS, (Scope.TEAM,), some(50), 1.0, some(60)),
        Limit("minute", Counted.TOKENS, (Scope.USER, Scope.MODEL), some(40_000), 60.0, some(8_000)),
        Limit("hour", Counted.REQUESTS, (Scope.KEY,), some(3_000), 3600.0, some(100)),
        Limit("seven", Counted.OUTPUT_TOKENS, (Scope.TEAM,), some(7_000), 7.0, some(7_000)),
        Limit("streams", Counted.CONCURRENT, (Scope.TEAM,), some(25)),
    ]
    budgets = [
        Budget("day", Counted.DOLLARS, (Scope.TEAM,), some(200_000), Period.DAY, BERLIN),
        Budget("week", Counted.TOKENS, (Scope.USER,), some(30_000), Period.WEEK, "UTC"),
        Budget("month", Counted.REQUESTS, (Scope.TEAM,), some(150), Period.MONTH, NEW_YORK),
    ]
    return Policy(
        team=team,
        version="1",
        catalogue=Catalogue({}),
        limits=tuple(chance.sample(limits, chance.randint(1, 4))),
        budgets=tuple(chance.sample(budgets, chance.randint(1, 3))),
    )
