"""What is set aside of enforced budgets: when, how much, and what may be spent of it."""

from dataclasses import replace

import pytest

from gateway.core.policy import Budget
from gateway.limits.away.slices import Slices
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Hold, Look
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS

AMOUNT = DOLLARS.amount
SLICE = AMOUNT // 20 // 2
"""Of one of two replicas."""


@pytest.fixture
def slices(clock: ManualClock) -> Slices:
    return Slices(replica="gateway-1", clock=clock, lease=600.0)


@pytest.fixture
def demand(clock: ManualClock) -> Demand:
    return demand_on(DOLLARS, clock)


def demand_on(budget: Budget, clock: ManualClock, team: str = "search") -> Demand:
    return demand_of(budget, f"{{{team}}}:{budget.name}:dollars:team={team}", 1000, clock.now())


def left(parts: int, *, set_aside: int = 0) -> Look:
    """A look at a budget of which so many hundredths are left, and which nothing else holds."""
    return Look(AMOUNT * (100 - parts) // 100 + set_aside, set_aside=set_aside)


def take(slices: Slices, demand: Demand, look: Look | None = None, of: int = 2) -> list[Hold]:
    """What a round sets aside."""
    slices.use(demand)
    holds = list(slices.wanted([demand], [look or left(100)], of))
    for hold in holds:
        slices.granted(hold)
    return holds


class TestTaking:
    def test_a_replica_sets_its_part_of_5_percent_aside(self, slices: Slices, demand: Demand) -> None:
        (hold,) = take(slices, demand)
        assert hold.slice
        assert hold.exchange_id.startswith("slice:gateway-1")
        assert [(each.bucket, each.cost) for each in hold.demands] == [(demand.bucket, SLICE)]

    def test_one_slice_of_a_budget_is_enough(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        assert take(slices, demand) == []

    @pytest.mark.parametrize(("parts", "takes"), [(10, True), (9, False), (0, False)])
    def test_nothing_is_set_aside_once_less_than_a_tenth_is_left(
        self, slices: Slices, demand: Demand, parts: int, takes: bool
    ) -> None:
        assert bool(take(slices, demand, left(parts))) is takes

    def test_what_others_have_set_aside_is_left(self, slices: Slices, demand: Demand) -> None:
        assert take(slices, demand, left(10, set_aside=AMOUNT // 20))

    def test_nothing_is_set_aside_of_a_budget_that_is_not_loaded(
        self, slices: Slices, demand: Demand
    ) -> None:
        assert take(slices, demand, Look(0, loaded=False)) == []

    def test_nothing_is_set_aside_of_a_budget_that_is_too_small_for_it(
        self, slices: Slices, clock: ManualClock
    ) -> None:
        assert take(slices, demand_on(replace(DOLLARS, amount=39), clock), Look(0)) == []

    def test_two_slices_never_have_one_id(self, slices: Slices, demand: Demand) -> None:
        (first,) = take(slices, demand)
        slices.give_back(demand.bucket)
        (second,) = take(slices, demand)
        assert first.exchange_id != second.exchange_id


class TestGivingBack:
    def test_a_slice_is_given_back_when_the_budget_runs_low(self, slices: Slices, demand: Demand) -> None:
        (hold,) = take(slices, demand)
        (spent,) = slices.surplus([demand], [left(9, set_aside=SLICE)])
        assert (spent.hold, spent.amounts) == (hold, (0,))
        assert not slices.fits(demand.bucket, 1)

    def test_it_is_kept_while_enough_is_left(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        assert slices.surplus([demand], [left(10, set_aside=SLICE)]) == []

    def test_it_is_given_back_when_nobody_asks_for_the_budget(
        self, slices: Slices, demand: Demand, clock: ManualClock
    ) -> None:
        take(slices, demand)
        clock.advance(59.0)
        assert slices.in_use() == [demand]
        clock.advance(1.0)
        assert slices.in_use() == []
        assert len(slices.surplus([], [])) == 1

    def test_the_budgets_that_are_in_use_are_bounded(self, clock: ManualClock) -> None:
        slices = Slices(replica="gateway-1", clock=clock, most=2)
        for team in ("a", "b", "a", "c"):
            slices.use(demand_on(DOLLARS, clock, team))
        assert [demand.bucket[:3] for demand in slices.in_use()] == ["{a}", "{c}"]

    def test_a_slice_that_is_in_the_way_is_given_back_at_once(self, slices: Slices, demand: Demand) -> None:
        (hold,) = take(slices, demand)
        assert [spent.hold for spent in slices.call_in(demand.bucket)] == [hold]

    def test_none_is_taken_for_a_while_after_that(
        self, slices: Slices, demand: Demand, clock: ManualClock
    ) -> None:
        take(slices, demand)
        slices.call_in(demand.bucket)
        clock.advance(59.0)
        slices.in_use()
        assert take(slices, demand) == []
        clock.advance(1.0)
        slices.in_use()
        assert take(slices, demand)

    def test_what_is_used_is_not_given_back(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 100)
        assert slices.surplus([demand], [left(9)]) == []
        assert slices.call_in(demand.bucket) == []
        assert slices.give_back_all() == []

    def test_who_stops_gives_everything_back(self, slices: Slices, clock: ManualClock) -> None:
        for team in ("a", "b"):
            take(slices, demand_on(DOLLARS, clock, team))
        assert len(slices.give_back_all()) == 2
        assert slices.all() == []


class TestSpending:
    def test_nothing_fits_where_nothing_is_set_aside(self, slices: Slices, demand: Demand) -> None:
        assert not slices.fits(demand.bucket, 1)

    def test_what_costs_nothing_fits(self, slices: Slices, demand: Demand) -> None:
        assert slices.fits(demand.bucket, 0)

    def test_it_fits_to_the_last(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", SLICE - 10)
        assert slices.fits(demand.bucket, 10)
        assert not slices.fits(demand.bucket, 11)

    def test_what_was_spent_is_gone(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 1000)
        assert slices.settle(demand.bucket, "ex_1", 400)
        assert slices.fits(demand.bucket, SLICE - 400)
        assert not slices.fits(demand.bucket, SLICE - 399)

    def test_an_exchange_can_hold_more(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 100)
        slices.hold(demand.bucket, "ex_1", 50)
        assert slices.held(demand.bucket, "ex_1") == 150

    def test_without_a_slice_nothing_can_be_charged_to_it(self, slices: Slices, demand: Demand) -> None:
        assert not slices.settle(demand.bucket, "ex_1", 400)

    def test_a_slice_whose_lease_may_have_ended_is_not_spent(
        self, slices: Slices, demand: Demand, clock: ManualClock
    ) -> None:
        take(slices, demand)
        clock.advance(539.0)
        assert slices.fits(demand.bucket, 1)
        clock.advance(1.0)
        assert not slices.fits(demand.bucket, 1)

    def test_a_renewed_one_is(self, slices: Slices, demand: Demand, clock: ManualClock) -> None:
        holds = take(slices, demand)
        clock.advance(539.0)
        slices.renewed(holds, clock.monotonic())
        clock.advance(539.0)
        assert slices.fits(demand.bucket, 1)

    def test_it_is_time_to_renew_long_before_that(
        self, slices: Slices, demand: Demand, clock: ManualClock
    ) -> None:
        holds = take(slices, demand)
        clock.advance(59.0)
        assert slices.aging() == []
        clock.advance(1.0)
        assert slices.aging() == holds

    def test_what_redis_has_lost_is_spent_no_more(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 100)
        slices.settle(demand.bucket, "ex_1", 100)
        slices.forget()
        assert not slices.fits(demand.bucket, 1)
        assert slices.finished() == []

    def test_what_was_spent_of_a_lost_one_is_told_all_the_same(self, slices: Slices, demand: Demand) -> None:
        (hold,) = take(slices, demand)
        for exchange_id in ("ex_1", "ex_2"):
            slices.hold(demand.bucket, exchange_id, 100)
        slices.settle(demand.bucket, "ex_1", 70)
        assert [(spent.hold, spent.amounts) for spent in slices.forget()] == [(hold, (70,))]

    def test_of_lost_ones_that_nobody_spent_nothing_is_told(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 100)
        assert slices.forget() == []


class TestFinishing:
    def test_it_is_settled_with_what_was_spent(self, slices: Slices, demand: Demand) -> None:
        (hold,) = take(slices, demand)
        for exchange_id, amount in (("ex_1", 400), ("ex_2", 300)):
            slices.hold(demand.bucket, exchange_id, 1000)
            slices.settle(demand.bucket, exchange_id, amount)
        assert [(spent.hold, spent.amounts) for spent in slices.finished()] == [(hold, (700,))]
        assert slices.finished() == []

    def test_not_before_nothing_is_held_any_more(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        for exchange_id in ("ex_1", "ex_2"):
            slices.hold(demand.bucket, exchange_id, 1000)
        slices.settle(demand.bucket, "ex_1", 400)
        assert slices.finished() == []
        slices.settle(demand.bucket, "ex_2", 0)
        assert len(slices.finished()) == 1

    def test_one_that_was_not_spent_is_kept(self, slices: Slices, demand: Demand) -> None:
        take(slices, demand)
        slices.hold(demand.bucket, "ex_1", 1000)
        slices.settle(demand.bucket, "ex_1", 0)
        assert slices.finished() == []
        assert slices.fits(demand.bucket, SLICE)
