"""What memory forgets, and when. What it decides is in tests/conformance."""

from dataclasses import replace

import pytest

from gateway.core.policy import Budget, Limit, Period
from gateway.core.spending import Spending, UnderWay
from gateway.limits.bucket import MICRO
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, More, Spent, Unloaded
from gateway.limits.memory.limiter import MemoryLimiter
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

LIMITS = (REQUESTS, TOKENS, SLOTS)
DAILY = replace(DOLLARS, period=Period.DAY)
DAY = 86_400.0


def hold_of(number: int, *limits: Limit | Budget, now: float = 1_795_000_000.0) -> Hold:
    """The demands of one caller of its own."""
    demands = tuple(
        demand_of(limit, f"{{search}}:{limit.name}:{limit.counts}:key=k{number}", 10, now) for limit in limits
    )
    return Hold(f"ex_{number}", demands)


@pytest.fixture
def limiter(clock: ManualClock) -> MemoryLimiter:
    return MemoryLimiter(clock=clock, lease=60.0, keep=600.0, forget=60.0)


async def test_callers_that_come_once_do_not_fill_the_memory(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    sizes = []
    for number in range(3000):
        hold = hold_of(number, *LIMITS)
        assert isinstance(await limiter.reserve(hold), Grant)
        await limiter.settle([Spent(hold, (1, 10, 1))])
        clock.advance(1.0)
        sizes.append(limiter.size)
    assert max(sizes[300:]) <= max(sizes[:300])
    assert sizes[-1] < 200


async def test_holds_that_are_never_settled_are_forgotten(limiter: MemoryLimiter, clock: ManualClock) -> None:
    for number in range(100):
        await limiter.reserve(hold_of(number, SLOTS))
    clock.advance(600.0)
    await limiter.renew([])
    assert limiter.size == 0


@pytest.mark.parametrize(("act", "left"), [("nothing", 10), ("renew", 0), ("extend", 0)])
async def test_a_hold_is_remembered_as_long_as_it_is_renewed_or_extended(
    limiter: MemoryLimiter, clock: ManualClock, act: str, left: int
) -> None:
    hold = hold_of(0, replace(TOKENS, amount=1, seconds=31 * DAY))
    await limiter.reserve(hold)
    for _ in range(2):
        clock.advance(599.0)
        if act == "renew":
            await limiter.renew([hold])
        elif act == "extend":
            await limiter.extend([More(hold, (5,))])
    clock.advance(61.0)
    await limiter.settle([Spent(hold, (0,))])
    (seen,) = await limiter.look(hold.demands)
    assert round(seen.level / MICRO) == left


async def test_a_bucket_that_is_not_full_is_not_forgotten(limiter: MemoryLimiter, clock: ManualClock) -> None:
    spender = hold_of(0, TOKENS)
    await limiter.settle([Spent(spender, (1000,))])
    for number in range(1, 100):
        await limiter.reserve(hold_of(number, REQUESTS))
        clock.advance(0.5)
    (seen,) = await limiter.look(spender.demands)
    assert seen.level == 175_000_000


async def test_a_settlement_is_known_for_as_long_as_was_said(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    hold = hold_of(0, TOKENS)
    await limiter.reserve(hold)
    await limiter.settle([Spent(hold, (10,))])
    clock.advance(59.0)
    await limiter.settle([Spent(hold, (1000,))])
    (seen,) = await limiter.look(hold.demands)
    assert seen.level == 0


class TestBudgets:
    async def test_one_is_remembered_through_the_window_after_its_own(
        self, limiter: MemoryLimiter, clock: ManualClock
    ) -> None:
        hold = hold_of(0, DAILY)
        await limiter.load(hold.demands[0], Spending(5))
        clock.advance(DAY)
        assert isinstance(await limiter.reserve(hold), Grant)

    async def test_one_that_nobody_uses_is_forgotten(
        self, limiter: MemoryLimiter, clock: ManualClock
    ) -> None:
        for number in range(100):
            (demand,) = hold_of(number, DAILY).demands
            await limiter.load(demand, Spending(5, (UnderWay("ex_a", 1),)))
        clock.advance(3 * DAY)
        await limiter.renew([])
        assert limiter.size == 0

    async def test_one_that_is_used_lasts(self, limiter: MemoryLimiter, clock: ManualClock) -> None:
        (demand,) = hold_of(0, DAILY).demands
        await limiter.load(demand, Spending(5))
        for number in range(10):
            hold = hold_of(0, DAILY, now=clock.now())._replace(exchange_id=f"ex_{number}")
            assert isinstance(await limiter.reserve(hold), Grant)
            await limiter.settle([Spent(hold, (10,))])
            clock.advance(DAY)

    async def test_settlements_that_no_load_asks_for_are_forgotten(
        self, limiter: MemoryLimiter, clock: ManualClock
    ) -> None:
        for number in range(100):
            await limiter.settle([Spent(hold_of(number, DAILY), (10,))])
        clock.advance(599.0)
        await limiter.renew([])
        assert limiter.size > 100
        clock.advance(60.0)
        await limiter.renew([])
        assert limiter.size == 0

    async def test_loads_that_got_no_answer_are_forgotten(
        self, limiter: MemoryLimiter, clock: ManualClock
    ) -> None:
        (demand,) = hold_of(0, DAILY).demands
        for number in range(100):
            await limiter.load(demand, Spending(0, (UnderWay(f"load_{number}", 0),)))
        assert limiter.size > 100
        clock.advance(60.0)
        await limiter.renew([])
        assert limiter.size == 0

    async def test_a_load_that_was_forgotten_loads_nothing(
        self, limiter: MemoryLimiter, clock: ManualClock
    ) -> None:
        hold, spending = hold_of(0, DAILY), Spending(5, (UnderWay("load_1", 0),))
        for loaded in (Unloaded, Grant):
            await limiter.load(hold.demands[0], Spending(0, spending.under_way))
            clock.advance(60.0 if loaded is Unloaded else 0.0)
            await limiter.renew([])
            await limiter.load(hold.demands[0], spending)
            assert isinstance(await limiter.reserve(hold), loaded)

    async def test_asking_for_one_that_is_not_loaded_leaves_nothing(self, limiter: MemoryLimiter) -> None:
        hold = hold_of(0, DAILY)
        assert isinstance(await limiter.reserve(hold), Unloaded)
        await limiter.look(hold.demands)
        assert limiter.size == 0
