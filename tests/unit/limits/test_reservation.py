"""What is held is settled once, or given back, without anybody waiting for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.background import Job
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.limits.interfaces import Grant, Hold, Refusal, Spent
from gateway.limits.memory import MemoryLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import REQUESTS, TOKENS


class Slow:
    """A limiter whose store takes the reservation, and does not answer."""

    def __init__(self, limiter: MemoryLimiter) -> None:
        self._limiter = limiter
        self.error: Exception | None = None

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        await self._limiter.reserve(hold)
        if self.error is not None:
            raise self.error
        return await asyncio.get_running_loop().create_future()

    async def settle(self, spents: Sequence[Spent]) -> None:
        await self._limiter.settle(spents)

    async def renew(self, holds: Sequence[Hold]) -> None:
        await self._limiter.renew(holds)


class Desk:
    """Reservations of one caller, and what becomes of them."""

    def __init__(self, principal: Principal, policy: Policy, clock: ManualClock) -> None:
        self.principal = principal
        self.policy = policy
        self.limiter = MemoryLimiter(clock=clock, lease=60.0)
        self.slow = Slow(self.limiter)
        self.refusals = RecentRefusals(clock=clock)
        self.jobs: list[Job] = []
        self.leaks: list[str] = []
        self.reservations = self.of(self.limiter)
        self._number = 0

    def of(self, limiter: MemoryLimiter | Slow) -> Reservations:
        return Reservations(
            limiter=limiter,
            refusals=self.refusals,
            hand_over=self.jobs.append,
            on_leak=self.leaks.append,
        )

    async def reserve(self, tokens: int = 100, reservations: Reservations | None = None) -> Reservation:
        self._number += 1
        desk = reservations or self.reservations
        return await desk.reserve(f"ex_{self._number}", self.principal, self.policy, "gpt-4o", tokens)

    async def left(self) -> list[int]:
        """Requests and tokens that remain once everything that was handed over is done."""
        while self.jobs:
            await self.jobs.pop(0)()
        probe = await self.reserve(0)
        probe.release()
        while self.jobs:
            await self.jobs.pop(0)()
        requests, tokens = (standing.remaining for standing in probe.standings)
        return [requests + (not self.refused(probe)), tokens]

    @staticmethod
    def refused(reservation: Reservation) -> bool:
        return any(deny.mode == "enforce" for deny in reservation.denials)


@pytest.fixture
def desk(principal: Principal, policy: Policy, clock: ManualClock) -> Desk:
    return Desk(principal, policy, clock)


async def test_settling_charges_the_request_and_the_tokens(desk: Desk) -> None:
    with await desk.reserve(100) as reservation:
        reservation.settle(250)
    assert await desk.left() == [59, 750]
    assert desk.leaks == []


async def test_the_first_settlement_counts(desk: Desk) -> None:
    with await desk.reserve() as reservation:
        reservation.settle(250)
        reservation.settle(1)
        reservation.release()
    assert await desk.left() == [59, 750]


async def test_usage_below_zero_gives_no_more_than_was_held(desk: Desk) -> None:
    with await desk.reserve(100) as spender:
        spender.settle(500)
    with await desk.reserve(100) as reservation:
        reservation.settle(-1_000_000)
    assert await desk.left() == [58, 500]


async def test_a_release_gives_everything_back(desk: Desk) -> None:
    with await desk.reserve() as reservation:
        reservation.release()
    assert await desk.left() == [60, 1000]
    assert desk.leaks == []


async def test_leaving_without_a_settlement_gives_back_and_is_told(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError), await desk.reserve():
        raise ZeroDivisionError
    assert await desk.left() == [60, 1000]
    assert desk.leaks == ["ex_1"]


async def test_settling_does_not_wait(desk: Desk) -> None:
    with await desk.reserve(100) as reservation:
        reservation.settle(250)
    seen = await desk.reserve(0)
    assert [standing.remaining for standing in seen.standings] == [58, 900]


async def test_settlements_that_wait_go_together(desk: Desk) -> None:
    for _ in range(2):
        with await desk.reserve(100) as reservation:
            reservation.settle(10)
    (only,) = desk.jobs
    await only()
    assert await desk.left() == [58, 980]


async def test_a_granted_reservation_denies_nothing(desk: Desk) -> None:
    with await desk.reserve() as reservation:
        assert reservation.denials == ()
        assert [standing.limit for standing in reservation.standings] == ["team-requests", "key-tokens"]
        reservation.release()


async def test_a_refused_reservation_holds_nothing(desk: Desk) -> None:
    with await desk.reserve(1001) as reservation:
        (deny,) = reservation.denials
        assert deny.code is ErrorCode.REQUEST_EXCEEDS_LIMIT
        reservation.settle(500)
    assert desk.leaks == []
    assert await desk.left() == [60, 1000]


async def test_a_refusal_that_is_for_every_call_is_remembered(desk: Desk) -> None:
    desk.policy = replace(desk.policy, limits=(replace(REQUESTS, burst=1), TOKENS))
    for _ in range(2):
        with await desk.reserve() as reservation:
            reservation.settle(1)
    found = desk.refusals.find(desk.principal, desk.policy)
    assert found is not None
    assert found.deny.rule == "limits.team-requests"


async def test_notes_of_limits_that_do_not_refuse_are_among_the_denials(desk: Desk) -> None:
    desk.policy = replace(desk.policy, limits=(replace(TOKENS, mode="shadow"),))
    with await desk.reserve(1001) as reservation:
        assert [deny.rule for deny in reservation.denials] == ["limits.key-tokens"]
        reservation.settle(1001)
    assert desk.leaks == []


async def test_a_cancelled_reservation_leaves_nothing_held(desk: Desk) -> None:
    waiting = asyncio.create_task(desk.reserve(500, desk.of(desk.slow)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await desk.left() == [60, 1000]


async def test_a_reservation_whose_answer_was_lost_leaves_nothing_held(desk: Desk) -> None:
    desk.slow.error = StoreUnavailable("no answer")
    with pytest.raises(StoreUnavailable):
        await desk.reserve(500, desk.of(desk.slow))
    assert await desk.left() == [60, 1000]


async def test_renewal_keeps_the_slots_of_what_still_runs(desk: Desk, clock: ManualClock) -> None:
    with await desk.reserve(0) as lasting, await desk.reserve(0) as short:
        short.settle(0)
        await desk.jobs.pop(0)()
        for _ in range(3):
            clock.advance(40.0)
            await desk.reservations.renew_all()
        with await desk.reserve(0) as second, await desk.reserve(0) as third:
            assert (desk.refused(second), desk.refused(third)) == (False, True)
            second.release()
        lasting.settle(0)


async def test_slots_that_nobody_renews_are_free_after_their_lease(desk: Desk, clock: ManualClock) -> None:
    held = [await desk.reserve(0) for _ in range(2)]
    clock.advance(60.0)
    assert not desk.refused(await desk.reserve(0))
    assert len(held) == 2


async def test_without_limits_nothing_is_asked_of_the_store(desk: Desk) -> None:
    desk.policy = replace(desk.policy, limits=())
    with await desk.reserve() as reservation:
        assert reservation.standings == ()
        reservation.settle(5)
    assert desk.jobs == []
