"""When this replica goes on by itself, and when it stops doing so. With a real Redis: tests/conformance."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Limit
from gateway.limits.degraded import Breaker, ResilientLimiter
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, Refusal, Spent
from gateway.limits.memory import MemoryLimiter
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS

_ids = count()


def hold_of(*limits: Limit, tokens: int = 100) -> Hold:
    demands = tuple(demand_of(limit, f"{{search}}:{limit.name}:team", tokens) for limit in limits)
    return Hold(f"ex_{next(_ids)}", demands)


class Remote:
    """A limiter whose store a test can take away. Away, it may still have done what it was told."""

    def __init__(self, clock: ManualClock) -> None:
        self.inner = MemoryLimiter(clock=clock)
        self._clock = clock
        self.away = False
        self.takes = 0.0
        """Seconds for each answer."""
        self.asked = 0

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        decision = await self.inner.reserve(hold)
        self._answer()
        return decision

    async def settle(self, spents: Sequence[Spent]) -> None:
        self._answer()
        await self.inner.settle(spents)

    async def renew(self, holds: Sequence[Hold]) -> None:
        self._answer()
        await self.inner.renew(holds)

    async def probe(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.asked += 1
        self._clock.advance(self.takes)
        if self.away:
            raise StoreUnavailable("gone")


@dataclass
class Replica:
    remote: Remote
    fallback: MemoryLimiter
    limiter: ResilientLimiter
    changes: list[tuple[bool, str]]
    ticks: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    pauses: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    async def break_it(self) -> None:
        self.remote.away = True
        for _ in range(3):
            await self.limiter.reserve(hold_of(REQUESTS))

    async def tick(self, times: int = 1) -> None:
        """Let the background go on for so many intervals."""
        for _ in range(times):
            await self.pauses.get()
            self.ticks.put_nowait(None)
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def replica(clock: ManualClock) -> AsyncIterator[Replica]:
    async for replica in replicas(clock, share=1.0):
        yield replica


@pytest.fixture
async def quarter(clock: ManualClock) -> AsyncIterator[Replica]:
    async for replica in replicas(clock, share=0.25):
        yield replica


async def replicas(clock: ManualClock, *, share: float) -> AsyncIterator[Replica]:
    ticks: asyncio.Queue[None] = asyncio.Queue()
    pauses: asyncio.Queue[float] = asyncio.Queue()
    changes: list[tuple[bool, str]] = []

    async def sleep(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await ticks.get()

    remote, fallback = Remote(clock), MemoryLimiter(clock=clock)
    limiter = ResilientLimiter(
        primary=remote,
        fallback=fallback,
        clock=clock,
        on_change=lambda degraded, why: changes.append((degraded, why)),
        share=share,
        breaker=Breaker(failures=3, slow=0.05, good_probes=5, interval=0.1),
        sleep=sleep,
    )
    loop = asyncio.create_task(limiter.run())
    yield Replica(remote, fallback, limiter, changes, ticks, pauses)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def left(limiter: MemoryLimiter, limit: Limit) -> int:
    decision = await limiter.reserve(hold_of(limit, tokens=0))
    return decision.standings[0].remaining


async def test_healthy_decisions_are_the_primarys(replica: Replica) -> None:
    await replica.limiter.reserve(hold_of(TOKENS, tokens=300))
    assert await left(replica.remote.inner, TOKENS) == 700
    assert await left(replica.fallback, TOKENS) == 1000
    assert not replica.limiter.degraded


async def test_a_failure_is_decided_by_the_fallback(replica: Replica) -> None:
    replica.remote.away = True
    assert isinstance(await replica.limiter.reserve(hold_of(TOKENS, tokens=300)), Grant)
    assert await left(replica.fallback, TOKENS) == 700


async def test_three_failures_in_a_row_open_it(replica: Replica) -> None:
    replica.remote.away = True
    for degraded in (False, False, True):
        await replica.limiter.reserve(hold_of(REQUESTS))
        assert replica.limiter.degraded is degraded
    assert replica.changes == [(True, "gone")]


async def test_a_good_answer_ends_the_row(replica: Replica) -> None:
    for away in (True, True, False, True, True):
        replica.remote.away = away
        await replica.limiter.reserve(hold_of(REQUESTS))
    assert not replica.limiter.degraded


async def test_three_slow_answers_open_it(replica: Replica) -> None:
    replica.remote.takes = 0.06
    for _ in range(3):
        await replica.limiter.reserve(hold_of(REQUESTS))
    assert replica.changes == [(True, "slow replies")]


async def test_while_open_no_request_asks_the_primary(replica: Replica) -> None:
    await replica.break_it()
    asked = replica.remote.asked
    for _ in range(10):
        hold = hold_of(REQUESTS)
        await replica.limiter.reserve(hold)
        await replica.limiter.renew([hold])
        await replica.limiter.settle([Spent(hold, (1,))])
    assert replica.remote.asked == asked


async def test_five_good_probes_close_it(replica: Replica) -> None:
    await replica.break_it()
    replica.remote.away = False
    await replica.tick(4)
    assert replica.limiter.degraded
    await replica.tick()
    assert replica.changes == [(True, "gone"), (False, "5 good probes")]


async def test_a_bad_probe_starts_the_count_again(replica: Replica) -> None:
    await replica.break_it()
    for away, times in ((False, 4), (True, 1), (False, 4)):
        replica.remote.away = away
        await replica.tick(times)
    assert replica.limiter.degraded
    await replica.tick()
    assert not replica.limiter.degraded


async def test_limits_hold_while_it_is_open(replica: Replica) -> None:
    await replica.break_it()
    decisions = [await replica.limiter.reserve(hold_of(TOKENS, tokens=400)) for _ in range(3)]
    assert [isinstance(decision, Grant) for decision in decisions] == [True, True, False]


async def test_what_the_fallback_holds_is_settled_there_even_after_the_return(replica: Replica) -> None:
    await replica.break_it()
    hold = hold_of(TOKENS, tokens=400)
    await replica.limiter.reserve(hold)
    replica.remote.away = False
    await replica.tick(5)
    await replica.limiter.settle([Spent(hold, (50,))])
    assert await left(replica.fallback, TOKENS) == 950
    assert await left(replica.remote.inner, TOKENS) == 1000


async def test_what_the_primary_holds_is_settled_there_when_it_is_back(replica: Replica) -> None:
    hold = hold_of(TOKENS, tokens=400)
    await replica.limiter.reserve(hold)
    await replica.break_it()
    await replica.limiter.settle([Spent(hold, (50,))])
    replica.remote.away = False
    await replica.tick(6)
    assert await left(replica.remote.inner, TOKENS) == 950
    assert await left(replica.fallback, TOKENS) == 1000


async def test_what_the_primary_did_without_answering_is_undone(replica: Replica) -> None:
    replica.remote.away = True
    await replica.limiter.reserve(hold_of(TOKENS, tokens=400))
    assert await left(replica.remote.inner, TOKENS) == 600
    replica.remote.away = False
    await replica.tick()
    assert await left(replica.remote.inner, TOKENS) == 1000


async def test_renewal_reaches_both_stores(replica: Replica, clock: ManualClock) -> None:
    there = hold_of(replace(SLOTS, amount=1))
    await replica.limiter.reserve(there)
    replica.remote.away = True
    here = hold_of(replace(SLOTS, amount=1))
    await replica.limiter.reserve(here)
    replica.remote.away = False
    await replica.tick()
    for _ in range(3):
        clock.advance(40.0)
        await replica.limiter.renew([there, here])
    for inner in (replica.remote.inner, replica.fallback):
        assert isinstance(await inner.reserve(hold_of(replace(SLOTS, amount=1))), Refusal)


async def test_a_failed_renewal_is_not_the_callers_trouble(replica: Replica) -> None:
    hold = hold_of(SLOTS)
    await replica.limiter.reserve(hold)
    replica.remote.away = True
    for _ in range(3):
        await replica.limiter.renew([hold])
    assert replica.limiter.degraded


class TestShare:
    async def test_each_replica_spends_its_part(self, quarter: Replica) -> None:
        await quarter.break_it()
        decisions = [await quarter.limiter.reserve(hold_of(TOKENS, tokens=50)) for _ in range(6)]
        assert [isinstance(decision, Grant) for decision in decisions] == [True] * 5 + [False]

    async def test_its_part_is_paid_back_at_its_part_of_the_rate(
        self, quarter: Replica, clock: ManualClock
    ) -> None:
        await quarter.break_it()
        await quarter.limiter.reserve(hold_of(TOKENS, tokens=250))
        refusal = await quarter.limiter.reserve(hold_of(TOKENS, tokens=25))
        assert isinstance(refusal, Refusal)
        assert refusal.deny.retry_after == pytest.approx(6.0)

    async def test_a_request_larger_than_the_part_has_to_wait_and_is_no_bad_request(
        self, quarter: Replica
    ) -> None:
        await quarter.break_it()
        assert isinstance(await quarter.limiter.reserve(hold_of(TOKENS, tokens=800)), Grant)
        refusal = await quarter.limiter.reserve(hold_of(TOKENS, tokens=800))
        assert isinstance(refusal, Refusal)
        assert refusal.deny.code is ErrorCode.RATE_LIMIT_EXCEEDED

    async def test_everyone_has_at_least_one_slot(self, quarter: Replica) -> None:
        await quarter.break_it()
        decisions = [await quarter.limiter.reserve(hold_of(SLOTS)) for _ in range(2)]
        assert [isinstance(decision, Grant) for decision in decisions] == [True, False]
