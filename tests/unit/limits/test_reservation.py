"""What is held is settled once, or given back, without anybody waiting for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from gateway.background import Job
from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Budget, Period, Policy
from gateway.core.principal import Principal
from gateway.core.spending import Spending, UnderWay
from gateway.limits.amounts import NOTHING, Amounts
from gateway.limits.demands import Demands, demand_of
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Limiter,
    Look,
    More,
    Refusal,
    Spent,
    Unloaded,
)
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

SOFT = replace(DOLLARS, name="team-day", period=Period.DAY, mode=Mode.WARN)
LEASE = 60.0
A = TypeVar("A")
T = TypeVar("T")


def amounts(tokens: int = 100, dollars: int = 1_000_000) -> Amounts:
    return Amounts(1, tokens, tokens, 0, 0, 0, dollars, 1)


class Halting:
    """A limiter and a ledger. Whoever calls them waits for a turn of the loop: before, and after."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.lost: Exception | None = None
        """What is raised instead of a store's answer."""
        self.ledger_away = False
        self.spent = 0
        """What the ledger knows of each budget."""
        self.loads = 0
        self.forgetful = False
        """Whether what is loaded is lost again."""
        self.asked: list[str] = []

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        return await self._slowly(self._limiter.reserve, hold)

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        return await self._slowly(self._limiter.extend, mores)

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        return await self._slowly(self._limiter.settle, spents)

    async def renew(self, holds: Sequence[Hold]) -> None:
        return await self._slowly(self._limiter.renew, holds)

    async def load(self, demands: Sequence[Demand]) -> None:
        """As a Loader."""
        await asyncio.sleep(0)
        self.loads += 1
        if self.ledger_away:
            raise StoreUnavailable("no ledger")
        if not self.forgetful:
            for demand in demands:
                await self._limiter.load(demand, Spending(self.spent, (UnderWay("ex_other", 0),)))
        await asyncio.sleep(0)

    async def _slowly(self, ask: Callable[[A], Awaitable[T]], what: A) -> T:
        self.asked.append(ask.__name__)
        await asyncio.sleep(0)
        answer = await ask(what)
        await asyncio.sleep(0)
        if self.lost is not None:
            raise self.lost
        return answer


class Desk:
    """Reservations of one caller, and what becomes of them."""

    def __init__(self, principal: Principal, policy: Policy, clock: ManualClock) -> None:
        self.principal = principal
        self.policy = replace(policy, budgets=(DOLLARS,))
        self.store = MemoryLimiter(clock=clock, lease=LEASE)
        self.halting = Halting(self.store)
        self.refusals = RecentRefusals(clock=clock)
        self.demands = Demands(clock=clock)
        self.jobs: list[Job] = []
        self.leaks: list[str] = []
        self.charged: list[Charged] = []
        self.reservations = Reservations(
            limiter=self.halting,
            loader=self.halting,
            demands=self.demands,
            refusals=self.refusals,
            hand_over=self.jobs.append,
            on_leak=self.leaks.append,
            on_charged=self.charged.extend,
        )
        self._number = 0

    async def reserve(
        self, tokens: int = 100, dollars: int = 1_000_000, bound: Amounts | None = None
    ) -> Reservation:
        self._number += 1
        return await self.reservations.reserve(
            f"ex_{self._number}", self.principal, self.policy, "gpt-4o", amounts(tokens, dollars), bound
        )

    async def settled(self) -> None:
        """Everything that was handed over is done."""
        self.halting.lost = None
        while self.jobs:
            await self.jobs.pop(0)()

    async def look(self, *limits: str) -> list[Look]:
        demands = self.demands.of(self.principal, self.policy, "gpt-4o", NOTHING)
        return list(
            await self.store.look([demand for demand in demands if not limits or demand.limit.name in limits])
        )

    async def levels(self) -> list[int]:
        """What is owed of requests and tokens, slots taken, and of each budget what is spent and held, once
        everything that was handed over is done."""
        await self.settled()
        looks = await self.look()
        return [look.level // 1_000_000 for look in looks[:2]] + [look.level for look in looks[2:]]

    @staticmethod
    def refused(reservation: Reservation) -> bool:
        return any(deny.mode is Mode.ENFORCE for deny in reservation.denials)


@pytest.fixture
def desk(principal: Principal, policy: Policy, clock: ManualClock) -> Desk:
    return Desk(principal, policy, clock)


class TestSettling:
    async def test_it_charges_what_was_spent(self, desk: Desk) -> None:
        with await desk.reserve(100) as reservation:
            reservation.settle(amounts(250, 3_000_000))
        assert await desk.levels() == [1, 250, 0, 3_000_000]
        assert desk.leaks == []

    async def test_until_then_what_is_expected_is_held(self, desk: Desk) -> None:
        with await desk.reserve(100) as reservation:
            assert await desk.levels() == [1, 100, 1, 1_000_000]
            assert reservation.held == amounts(100)
            reservation.release()

    async def test_the_first_settlement_counts(self, desk: Desk) -> None:
        with await desk.reserve() as reservation:
            reservation.settle(amounts(250, 3_000_000))
            assert reservation.hold is None
            reservation.settle(amounts(1, 1))
            reservation.release()
        assert await desk.levels() == [1, 250, 0, 3_000_000]

    async def test_a_release_gives_everything_back(self, desk: Desk) -> None:
        with await desk.reserve() as reservation:
            reservation.release()
        assert await desk.levels() == [0, 0, 0, 0]
        assert desk.leaks == []

    async def test_leaving_without_a_settlement_gives_back(self, desk: Desk) -> None:
        with pytest.raises(ZeroDivisionError), await desk.reserve():
            raise ZeroDivisionError
        assert await desk.levels() == [0, 0, 0, 0]

    async def test_leaving_without_a_settlement_is_told(self, desk: Desk) -> None:
        with await desk.reserve():
            pass
        assert desk.leaks == ["ex_1"]

    async def test_it_does_not_wait(self, desk: Desk) -> None:
        with await desk.reserve(100) as reservation:
            reservation.settle(amounts(250))
        assert (await desk.look("key-tokens"))[0].level == 100_000_000

    async def test_those_that_wait_go_together(self, desk: Desk) -> None:
        for _ in range(2):
            with await desk.reserve(100) as reservation:
                reservation.settle(amounts(10, 5))
        (only,) = desk.jobs
        await only()
        assert await desk.levels() == [2, 20, 0, 10]

    async def test_one_whose_job_was_dropped_goes_with_later_ones(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(TOKENS,), budgets=())
        (await desk.reserve(1)).settle(amounts(1))
        desk.jobs.clear()
        for _ in range(1000):
            (await desk.reserve(0)).settle(amounts(0))
        await desk.settled()
        assert (await desk.look("key-tokens"))[0].level == 1_000_000
        (await desk.reserve(1)).settle(amounts(1))
        assert len(desk.jobs) == 1, "and everything is as before"

    async def test_what_became_of_budgets_is_told(self, desk: Desk) -> None:
        for dollars in (3, 4):
            with await desk.reserve() as reservation:
                reservation.settle(amounts(10, dollars))
        await desk.settled()
        assert [(each.demand.limit, each.before, each.after) for each in desk.charged] == [
            (DOLLARS, 0, 3),
            (DOLLARS, 3, 7),
        ]

    async def test_where_nothing_was_charged_nothing_is_told(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, budgets=())
        told: list[object] = []
        desk.reservations._on_charged = told.append
        with await desk.reserve() as reservation:
            reservation.settle(amounts(10))
        await desk.settled()
        assert told == []

    async def test_without_limits_nothing_is_asked_of_the_store(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(), budgets=())
        with await desk.reserve() as reservation:
            assert (reservation.standings, reservation.denials) == ((), ())
            reservation.settle(amounts(5))
        assert desk.jobs == []
        assert desk.halting.asked == []


class TestDecisions:
    async def test_a_granted_reservation_denies_nothing(self, desk: Desk) -> None:
        with await desk.reserve() as reservation:
            assert reservation.denials == ()
            assert [standing.limit for standing in reservation.standings] == ["team-requests", "key-tokens"]
            reservation.release()

    async def test_a_refused_reservation_holds_nothing(self, desk: Desk) -> None:
        with await desk.reserve(1001) as reservation:
            (deny,) = reservation.denials
            assert deny.code is ErrorCode.REQUEST_EXCEEDS_LIMIT
            assert reservation.hold is None
            reservation.settle(amounts(500))
        assert desk.leaks == []
        assert await desk.levels() == [0, 0, 0, 0]

    async def test_a_budget_with_too_little_left_refuses(self, desk: Desk) -> None:
        desk.halting.spent = 49_500_000
        with await desk.reserve(dollars=500_001) as reservation:
            (deny,) = reservation.denials
            assert (deny.code, deny.rule) == (ErrorCode.INSUFFICIENT_QUOTA, "budgets.team-month")
        assert not desk.refused(await desk.reserve(dollars=500_000))

    async def test_strict_budgets_hold_the_bound(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, budgets=(DOLLARS, replace(SOFT, strict=True)))
        await desk.reserve(dollars=1_000, bound=amounts(500, 9_000))
        assert await desk.levels() == [1, 100, 1, 1_000, 9_000]

    async def test_a_refusal_that_is_for_every_call_is_remembered(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(replace(REQUESTS, burst=1), TOKENS))
        for _ in range(2):
            with await desk.reserve() as reservation:
                reservation.settle(amounts(1))
        found = desk.refusals.find(desk.principal, desk.policy)
        assert found is not None
        assert found.deny.rule == "limits.team-requests"

    async def test_a_budget_with_nothing_left_is_remembered(self, desk: Desk) -> None:
        desk.halting.spent = 50_000_000
        assert desk.refused(await desk.reserve())
        found = desk.refusals.find(desk.principal, desk.policy)
        assert found is not None
        assert found.deny.rule == "budgets.team-month"

    async def test_notes_of_limits_that_do_not_refuse_are_among_the_denials(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(replace(TOKENS, mode=Mode.SHADOW),), budgets=(SOFT,))
        desk.halting.spent = 50_000_000
        with await desk.reserve(1001) as reservation:
            assert [deny.rule for deny in reservation.denials] == ["limits.key-tokens", "budgets.team-day"]
            reservation.settle(amounts(1001))
        assert desk.leaks == []


class TestLoading:
    async def test_a_budget_that_nobody_knows_is_loaded_first(self, desk: Desk) -> None:
        desk.halting.spent = 20_000_000
        assert not desk.refused(await desk.reserve())
        assert await desk.levels() == [1, 100, 1, 21_000_000]
        assert desk.halting.asked == ["reserve", "reserve"]

    async def test_one_that_is_known_is_not_loaded_again(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.reserve()
        assert desk.halting.loads == 1

    async def test_an_enforced_budget_refuses_while_the_ledger_is_away(self, desk: Desk) -> None:
        desk.halting.ledger_away = True
        with await desk.reserve() as reservation:
            (deny,) = reservation.denials
            assert (deny.code, deny.mode) == (ErrorCode.BUDGET_UNAVAILABLE, Mode.ENFORCE)
            assert (deny.rule, deny.retry_after) == ("budgets.team-month", 1.0)
            assert "`team-month`" in deny.reason
        assert await desk.levels() == [0, 0, 0, 0]
        assert desk.leaks == []
        assert desk.refusals.find(desk.principal, desk.policy) is None

    async def test_a_budget_that_is_not_enforced_is_left_out_while_it_is(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, budgets=(SOFT,))
        desk.halting.ledger_away = True
        with await desk.reserve(100) as reservation:
            assert reservation.denials == ()
            assert await desk.levels() == [1, 100, 1, 0]
            reservation.settle(amounts(250))
        assert await desk.levels() == [1, 250, 0, 0]
        assert desk.charged == []

    async def test_the_others_are_held_as_ever(self, desk: Desk) -> None:
        """Wherever the budget that is left out stands among them."""
        await desk.reserve()
        desk.policy = replace(desk.policy, budgets=(SOFT, DOLLARS))
        desk.halting.ledger_away = True
        with await desk.reserve(100, 2_000_000) as reservation:
            reservation.settle(amounts(7, 3_000_000))
        assert await desk.levels() == [2, 107, 1, 0, 4_000_000]

    async def test_an_enforced_one_refuses_whatever_the_others_are(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, budgets=(SOFT, DOLLARS))
        desk.halting.ledger_away = True
        (deny,) = (await desk.reserve()).denials
        assert deny.rule == "budgets.team-month"

    async def test_with_nothing_else_to_hold_it_is_granted(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(), budgets=(SOFT,))
        desk.halting.ledger_away = True
        with await desk.reserve() as reservation:
            assert reservation.denials == ()
            reservation.settle(amounts(5))
        assert desk.jobs == []

    async def test_a_store_that_loses_what_is_loaded_is_not_asked_for_ever(self, desk: Desk) -> None:
        desk.halting.forgetful = True
        (deny,) = (await desk.reserve()).denials
        assert deny.code is ErrorCode.BUDGET_UNAVAILABLE
        assert desk.halting.loads == 3

    async def test_what_a_limit_refuses_anyway_is_not_loaded(self, desk: Desk) -> None:
        (deny,) = (await desk.reserve(1001)).denials
        assert deny.rule == "limits.key-tokens"
        assert desk.halting.loads == 0


class TestExtending:
    async def test_more_is_held(self, desk: Desk) -> None:
        reservation = await desk.reserve(100, 1_000)
        assert await desk.reservations.extend([(reservation, amounts(50, 500)._replace(requests=0))]) == [
            None
        ]
        assert reservation.held == Amounts(1, 150, 150, 0, 0, 0, 1_500, 2)
        assert await desk.levels() == [1, 150, 1, 1_500]

    async def test_a_settlement_puts_what_was_spent_in_the_place_of_all_of_it(self, desk: Desk) -> None:
        reservation = await desk.reserve(100, 1_000)
        await desk.reservations.extend([(reservation, Amounts(tokens=50, dollars=500))])
        reservation.settle(amounts(120, 1_200))
        assert await desk.levels() == [1, 120, 0, 1_200]

    async def test_a_budget_without_room_is_told(self, desk: Desk) -> None:
        reservation = await desk.reserve(100, 49_000_000)
        (lacking,) = await desk.reservations.extend([(reservation, Amounts(tokens=50, dollars=1_000_001))])
        assert lacking is not None
        assert lacking.limit == DOLLARS
        assert reservation.held == amounts(100, 49_000_000)
        assert await desk.levels() == [1, 100, 1, 49_000_000]

    async def test_each_has_its_own_answer(self, desk: Desk) -> None:
        desk.policy = replace(desk.policy, limits=(TOKENS,))
        ended, small, large, last = [await desk.reserve(1, dollars) for dollars in (0, 0, 48_000_000, 0)]
        ended.release()
        desk.policy = replace(desk.policy, limits=(), budgets=())
        free = await desk.reserve()
        much, little = Amounts(dollars=2_000_001), Amounts(tokens=1)
        growing = [(free, much), (large, much), (ended, much), (small, little), (last, much)]
        lacking = await desk.reservations.extend(growing)
        assert [demand and demand.limit for demand in lacking] == [None, DOLLARS, None, None, DOLLARS]

    async def test_what_is_settled_is_not_extended(self, desk: Desk) -> None:
        reservation = await desk.reserve(100)
        reservation.release()
        desk.halting.asked.clear()
        assert await desk.reservations.extend([(reservation, amounts(1))]) == [None]
        assert desk.halting.asked == []

    async def test_what_is_settled_in_the_meantime_holds_nothing(self, desk: Desk) -> None:
        reservation = await desk.reserve(100, 1_000)
        extending = asyncio.create_task(desk.reservations.extend([(reservation, amounts(50, 500))]))
        await asyncio.sleep(0)
        reservation.settle(amounts(120, 1_200))
        await desk.settled()
        await extending
        assert await desk.levels() == [1, 120, 0, 1_200]

    async def test_a_store_that_is_away_is_told(self, desk: Desk) -> None:
        reservation = await desk.reserve(100, 1_000)
        desk.halting.lost = StoreUnavailable("no answer")
        with pytest.raises(StoreUnavailable):
            await desk.reservations.extend([(reservation, amounts(50, 500))])
        reservation.settle(amounts(120, 1_200))
        assert await desk.levels() == [1, 120, 0, 1_200]


class TestKeeping:
    async def test_renewal_keeps_what_still_runs(self, desk: Desk, clock: ManualClock) -> None:
        lasting, short = await desk.reserve(0), await desk.reserve(0)
        short.settle(amounts(0, 5))
        await desk.settled()
        for _ in range(3):
            clock.advance(LEASE * 2 / 3)
            await desk.reservations.renew_all()
        assert (await desk.levels())[2:] == [1, 1_000_005]
        lasting.release()
        assert (await desk.levels())[2:] == [0, 5]

    async def test_what_nobody_renews_is_free_after_its_lease(self, desk: Desk, clock: ManualClock) -> None:
        held = [await desk.reserve(0) for _ in range(2)]
        clock.advance(LEASE)
        assert (await desk.levels())[2:] == [0, 0]
        assert len(held) == 2

    async def test_what_was_refused_is_not_renewed(self, desk: Desk) -> None:
        assert desk.refused(await desk.reserve(1001))
        await desk.reservations.renew_all()
        assert await desk.levels() == [0, 0, 0, 0]


class TestNothingStaysHeld:
    """Whoever is cancelled, whenever it is."""

    @staticmethod
    async def cancelled_at_each_turn(
        make: Callable[[], Desk], act: Callable[[Desk], Awaitable[object]]
    ) -> int:
        """How often it could be cancelled. Each time nothing is held, nor spent, in the end."""
        for turns in range(100):
            desk = make()
            acting = asyncio.ensure_future(act(desk))
            for _ in range(turns):
                await asyncio.sleep(0)
            acting.cancel()
            try:
                await acting
            except asyncio.CancelledError:
                assert (await desk.levels())[:3] == [0, 0, 0]
                assert all(look.level == look.spent <= desk.halting.spent for look in (await desk.look())[3:])
                assert desk.leaks == []
                assert desk.reservations._live == {}
            else:
                return turns
        raise AssertionError("it never ended")

    @pytest.mark.parametrize("budgets", [(), (DOLLARS,), (SOFT, DOLLARS), (DOLLARS, SOFT)])
    async def test_a_reservation_that_is_cancelled(
        self, principal: Principal, policy: Policy, clock: ManualClock, budgets: tuple[Budget, ...]
    ) -> None:
        def make() -> Desk:
            desk = Desk(principal, policy, clock)
            desk.policy = replace(policy, limits=(REQUESTS, TOKENS, SLOTS), budgets=budgets)
            desk.halting.spent = 7
            return desk

        turns = await self.cancelled_at_each_turn(make, Desk.reserve)
        assert turns > (6 if budgets else 2)

    async def test_a_reservation_that_is_cancelled_while_the_ledger_is_away(
        self, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        def make() -> Desk:
            desk = Desk(principal, policy, clock)
            desk.policy = replace(policy, limits=(REQUESTS, TOKENS, SLOTS), budgets=(SOFT,))
            desk.halting.ledger_away = True
            return desk

        assert await self.cancelled_at_each_turn(make, Desk.reserve) > 4

    async def test_an_extension_that_is_cancelled(
        self, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        async def grow(desk: Desk) -> None:
            with await desk.reserve() as reservation:
                try:
                    await desk.reservations.extend([(reservation, Amounts(tokens=50, dollars=500))])
                finally:
                    reservation.release()

        assert await self.cancelled_at_each_turn(lambda: Desk(principal, policy, clock), grow) > 8

    async def test_a_reservation_whose_answer_was_lost(self, desk: Desk) -> None:
        await desk.store.load(
            demand_of(DOLLARS, "{search}:team-month:dollars:team=search", 0, ManualClock().now()), Spending(0)
        )
        desk.halting.lost = StoreUnavailable("no answer")
        with pytest.raises(StoreUnavailable):
            await desk.reserve(500)
        assert await desk.levels() == [0, 0, 0, 0]
