"""A process that is late knows it, and soon forgets it."""

import pytest

from gateway.limits.away.lateness import INTERVAL, Lateness
from tests.support.clock import ManualClock


@pytest.fixture
def lateness(clock: ManualClock) -> Lateness:
    return Lateness(clock)


async def ticked(lateness: Lateness, clock: ManualClock, *after: float) -> None:
    for seconds in after:
        clock.advance(seconds)
        await lateness.tick()


async def test_ticks_in_time_are_no_lateness(lateness: Lateness, clock: ManualClock) -> None:
    await ticked(lateness, clock, INTERVAL, INTERVAL + 0.02, INTERVAL)
    assert not lateness.is_late()


async def test_a_late_tick_is(lateness: Lateness, clock: ManualClock) -> None:
    await ticked(lateness, clock, INTERVAL, 0.1)
    assert lateness.is_late()


def test_a_tick_that_has_not_come_is_as_late(lateness: Lateness, clock: ManualClock) -> None:
    clock.advance(0.1)
    assert lateness.is_late()


async def test_it_is_over_after_two_ticks_in_time(lateness: Lateness, clock: ManualClock) -> None:
    await ticked(lateness, clock, 0.1, INTERVAL)
    assert lateness.is_late()
    await ticked(lateness, clock, INTERVAL + 0.001)
    assert not lateness.is_late()
