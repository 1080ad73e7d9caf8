"""What memory forgets, and when. What it decides is in tests/conformance/test_limits.py."""

import pytest

from gateway.core.policy import Limit
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, Spent
from gateway.limits.memory import MemoryLimiter
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS

LIMITS = (REQUESTS, TOKENS, SLOTS)


def hold_of(number: int, *limits: Limit) -> Hold:
    """The demands of one caller of its own."""
    demands = tuple(demand_of(limit, f"{{search}}:{limit.name}:key:k{number}", 10) for limit in limits)
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


async def test_a_bucket_that_is_not_full_is_not_forgotten(limiter: MemoryLimiter, clock: ManualClock) -> None:
    spender = hold_of(0, TOKENS)
    await limiter.settle([Spent(spender, (1000,))])
    for number in range(1, 100):
        await limiter.reserve(hold_of(number, REQUESTS))
        clock.advance(0.5)
    grant = await limiter.reserve(Hold("ex_later", spender.demands))
    assert isinstance(grant, Grant)
    assert grant.standings[0].remaining == 825 - 10


async def test_a_settlement_is_known_for_as_long_as_was_said(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    hold = hold_of(0, TOKENS)
    await limiter.reserve(hold)
    await limiter.settle([Spent(hold, (10,))])
    clock.advance(59.0)
    await limiter.settle([Spent(hold, (1000,))])
    assert isinstance(await limiter.reserve(Hold("ex_later", hold.demands)), Grant)
