"""What every limiter does with budgets, whatever keeps them."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Period
from gateway.core.spending import Spending, UnderWay
from gateway.limits.bucket import MICRO
from gateway.limits.budget import MOST, Edges, State, carried
from gateway.limits.interfaces import MOST_SHOWN, Hold, Limiter, Look, More, Spent
from gateway.limits.redis.scripts import Script
from gateway.limits.verdict import Fit
from tests.conformance.conftest import (
    BUDGET,
    DAY,
    LEASE,
    REQUESTS,
    SLICE_LEASE,
    SLOTS,
    START,
    TOKENS,
    World,
    granted,
    hold_of,
    nothing,
    refused,
    remaining,
    spent,
    unloaded,
)
from tests.support.redis_server import RedisServer

TO_MIDNIGHT = 46_400.0
"""Seconds from the worlds' beginning to the end of their first day."""
WARN = replace(BUDGET, mode=Mode.WARN)
NEVER_SPENT = Spending(0)


@pytest.fixture
def limiter(world: World) -> Limiter:
    return world.limiters[0]


@pytest.fixture
async def loaded(limiter: Limiter) -> Limiter:
    """One whose budget is loaded, with nothing spent."""
    await load(limiter)
    return limiter


async def load(limiter: Limiter, spending: Spending = NEVER_SPENT, now: float = START) -> None:
    await limiter.load(hold_of(BUDGET, now=now).demands[0], spending)


async def look(limiter: Limiter, now: float = START) -> Look:
    (seen,) = await limiter.look(hold_of(BUDGET, now=now).demands)
    return seen


async def numbers(limiter: Limiter, now: float = START) -> tuple[int, int]:
    """What is spent, and what is held."""
    seen = await look(limiter, now)
    assert seen.loaded
    return seen.spent, seen.level - seen.spent


def slice_of(tokens: int, name: str = "slice:replica:1", now: float = START) -> Hold:
    return hold_of(BUDGET, tokens=tokens, exchange_id=name, now=now)._replace(slice=True)


def more(hold: Hold, tokens: int) -> More:
    return More(hold, spent(hold, tokens).amounts)


class TestHolding:
    async def test_a_reservation_is_held_until_it_is_settled(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=300)
        await granted(loaded, hold)
        assert await numbers(loaded) == (0, 300)
        await loaded.settle([spent(hold, 120)])
        assert await numbers(loaded) == (120, 0)

    async def test_a_budget_fits_to_the_last_unit(self, loaded: Limiter) -> None:
        for _ in range(4):
            hold = hold_of(BUDGET, tokens=250)
            await granted(loaded, hold)
            await loaded.settle([spent(hold, 250)])
        refusal = await refused(loaded, hold_of(BUDGET, tokens=1))
        assert (refusal.deny.code, refusal.deny.rule) == (ErrorCode.INSUFFICIENT_QUOTA, "budgets.team-day")
        assert refusal.deny.retry_after is None
        assert refusal.level == 1000

    async def test_one_whose_rest_is_only_held_may_have_room_in_a_moment(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=1000)
        await granted(loaded, hold)
        refusal = await refused(loaded, hold_of(BUDGET, tokens=1))
        assert (refusal.deny.code, refusal.deny.retry_after) == (ErrorCode.INSUFFICIENT_QUOTA, 1.0)
        await loaded.settle([spent(hold, 999)])
        await granted(loaded, hold_of(BUDGET, tokens=1))

    async def test_what_others_hold_is_not_left(self, loaded: Limiter) -> None:
        first = hold_of(BUDGET, tokens=600)
        await granted(loaded, first)
        await refused(loaded, hold_of(BUDGET, tokens=401))
        await loaded.settle([spent(first, 500)])
        await granted(loaded, hold_of(BUDGET, tokens=500))

    async def test_a_refusal_leaves_the_other_limits_unchanged(self, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=950))
        await refused(loaded, hold_of(REQUESTS, SLOTS, BUDGET, tokens=51))
        assert await remaining(loaded, REQUESTS) == 100
        assert await loaded.look(hold_of(SLOTS).demands) == [Look(0)]
        assert await numbers(loaded) == (0, 950)

    async def test_another_limit_that_refuses_leaves_the_budget_unchanged(self, loaded: Limiter) -> None:
        await granted(loaded, hold_of(TOKENS, tokens=1000))
        await refused(loaded, hold_of(BUDGET, TOKENS, tokens=1))
        assert await numbers(loaded) == (0, 0)

    async def test_what_is_more_than_the_whole_budget_can_never_fit(self, loaded: Limiter) -> None:
        refusal = await refused(loaded, hold_of(BUDGET, tokens=1001))
        assert refusal.deny.code is ErrorCode.REQUEST_EXCEEDS_LIMIT

    async def test_what_costs_nothing_fits_a_budget_that_is_overspent(self, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 1500)])
        await granted(loaded, hold_of(BUDGET, tokens=0))
        await refused(loaded, hold_of(BUDGET, tokens=1))

    async def test_an_increase_counts_from_the_next_request_on(self, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=1000))
        await granted(loaded, hold_of(replace(BUDGET, amount=1500), tokens=500))
        await refused(loaded, hold_of(BUDGET, tokens=1))

    async def test_the_same_id_holds_once(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, REQUESTS)
        await asyncio.gather(*(granted(limiter, hold) for _ in range(10) for limiter in world.limiters))
        assert await numbers(loaded) == (0, 100)

    async def test_an_id_that_holds_is_granted_again_when_all_is_gone(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=1000)
        await granted(loaded, hold)
        await granted(loaded, hold)

    async def test_after_its_settlement_an_id_is_granted_but_holds_nothing(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=1000)
        await loaded.settle([spent(hold, 1000)])
        await granted(loaded, hold)
        assert await numbers(loaded) == (1000, 0)

    async def test_after_its_settlement_an_id_needs_no_budget_that_is_loaded(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await limiter.settle([nothing(hold)])
        await granted(limiter, hold)

    async def test_two_replicas_at_once_never_pass_a_budget(self, world: World, loaded: Limiter) -> None:
        holds = [hold_of(BUDGET, REQUESTS, tokens=30) for _ in range(100)]
        decisions = await asyncio.gather(
            *(world.limiters[number % 2].reserve(hold) for number, hold in enumerate(holds))
        )
        assert sum(not hasattr(decision, "deny") for decision in decisions) == 33
        assert await numbers(loaded) == (0, 990)
        assert await remaining(loaded, REQUESTS) == 67

    async def test_numbers_near_the_bound_are_exact(self, limiter: Limiter) -> None:
        huge = replace(BUDGET, amount=MOST)
        await limiter.load(hold_of(huge).demands[0], Spending(MOST - 7))
        await refused(limiter, hold_of(huge, tokens=8))
        await granted(limiter, hold_of(huge, tokens=7))
        assert await numbers(limiter) == (MOST - 7, 7)

    async def test_no_more_is_counted_than_the_bound(self, limiter: Limiter) -> None:
        await load(limiter, Spending(MOST + 1))
        assert await numbers(limiter) == (MOST, 0)
        assert await limiter.settle([spent(hold_of(BUDGET), 5)]) == []
        assert await numbers(limiter) == (MOST, 0)


class TestSettling:
    async def test_a_settlement_tells_what_it_has_done(self, loaded: Limiter) -> None:
        hold = hold_of(REQUESTS, BUDGET, SLOTS)
        await granted(loaded, hold)
        assert await loaded.settle([spent(hold, 70)]) == [(hold.demands[1], 0, 70)]

    async def test_of_several_settlements_each_begins_where_another_ends(
        self, world: World, loaded: Limiter
    ) -> None:
        holds = [hold_of(BUDGET, tokens=10) for _ in range(80)]
        charges = await asyncio.gather(
            *(
                world.limiters[number % 2].settle([spent(hold, number) for hold in holds[number::4]])
                for number in range(4)
            )
        )
        steps = sorted((before, after) for charged in charges for _, before, after in charged)
        assert [before for before, _ in steps[1:]] == [after for _, after in steps[:-1]]
        assert (steps[0][0], steps[-1][1], len(steps)) == (0, 20 * (1 + 2 + 3), 60)

    async def test_a_second_settlement_changes_nothing(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        charges = await asyncio.gather(*(one.settle([spent(hold, 150)]) for one in [*world.limiters] * 5))
        assert sorted(map(len, charges)) == [0] * 9 + [1]
        assert await loaded.settle([nothing(hold)]) == []
        assert await numbers(loaded) == (150, 0)

    async def test_what_was_not_spent_is_given_back_without_a_charge(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        assert await loaded.settle([nothing(hold)]) == []
        assert await numbers(loaded) == (0, 0)

    async def test_an_unknown_id_is_charged_what_it_spent(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        assert await loaded.settle([spent(hold, 150)]) == [(hold.demands[0], 0, 150)]
        assert await numbers(loaded) == (150, 0)

    async def test_spending_more_than_there_is_counts_in_full(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        await loaded.settle([spent(hold, 1700)])
        assert await numbers(loaded) == (1700, 0)
        assert (await refused(loaded, hold_of(BUDGET, tokens=1))).level == 1700

    async def test_two_budgets_of_one_exchange_are_charged_each(self, limiter: Limiter) -> None:
        month = replace(BUDGET, name="team-month", period=Period.MONTH)
        hold = hold_of(BUDGET, month)
        for demand, so_far in zip(hold.demands, (100, 900), strict=True):
            await limiter.load(demand, Spending(so_far))
        await granted(limiter, hold)
        day, monthly = hold.demands
        assert await limiter.settle([spent(hold, 40)]) == [(day, 100, 140), (monthly, 900, 940)]


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
class TestModesThatDoNotRefuse:
    async def test_they_note_what_enforcement_would_have_refused(self, loaded: Limiter, mode: Mode) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=950))
        hold = hold_of(replace(BUDGET, mode=mode), REQUESTS)
        (note,) = (await granted(loaded, hold)).notes
        assert (note.rule, note.mode, note.code) == ("budgets.team-day", mode, ErrorCode.INSUFFICIENT_QUOTA)
        assert (await granted(loaded, hold)).notes == (note,)

    async def test_what_they_would_have_refused_is_not_held(self, loaded: Limiter, mode: Mode) -> None:
        hold = hold_of(replace(BUDGET, mode=mode), REQUESTS, tokens=1001)
        await granted(loaded, hold)
        await loaded.renew([hold])
        assert await numbers(loaded) == (0, 0)
        assert await remaining(loaded, REQUESTS) == 99

    async def test_what_was_spent_counts_all_the_same(self, loaded: Limiter, mode: Mode) -> None:
        hold = hold_of(replace(BUDGET, mode=mode), tokens=1001)
        await granted(loaded, hold)
        assert await loaded.settle([spent(hold, 1200)]) == [(hold.demands[0], 0, 1200)]
        assert await numbers(loaded) == (1200, 0)

    async def test_they_have_to_be_loaded_too(self, limiter: Limiter, mode: Mode) -> None:
        hold = hold_of(replace(BUDGET, mode=mode))
        assert (await unloaded(limiter, hold)).demands == hold.demands


class TestLoading:
    async def test_a_budget_that_nobody_has_loaded_is_named(self, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, BUDGET, SLOTS)
        assert (await unloaded(limiter, hold)).demands == (hold.demands[1],)

    @pytest.mark.parametrize("budget", [BUDGET, WARN])
    async def test_nothing_is_held_before_a_budget_is_loaded(self, limiter: Limiter, budget: Budget) -> None:
        await unloaded(limiter, hold_of(REQUESTS, budget, SLOTS))
        assert await remaining(limiter, REQUESTS) == 100
        assert await limiter.look(hold_of(SLOTS).demands) == [Look(0)]

    async def test_the_same_id_asks_again_after_loading(self, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, BUDGET)
        await unloaded(limiter, hold)
        await load(limiter, Spending(850))
        await granted(limiter, hold)
        assert await numbers(limiter) == (850, 100)

    async def test_what_another_limit_refuses_needs_no_loading(self, limiter: Limiter) -> None:
        refusal = await refused(limiter, hold_of(BUDGET, TOKENS, tokens=1001))
        assert refusal.deny.rule == "limits.team-tokens"

    async def test_what_another_limit_would_refuse_needs_loading(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET, replace(TOKENS, mode=Mode.WARN), tokens=1001)
        assert (await unloaded(limiter, hold)).demands == hold.demands[:1]

    async def test_a_budget_is_loaded_once(self, world: World) -> None:
        first, second = world.limiters
        await load(first, Spending(100, (UnderWay("ex_a", 50),)))
        await load(second, Spending(900, (UnderWay("ex_b", 60),)))
        assert await numbers(second) == (100, 50)

    async def test_of_two_replicas_that_load_at_once_one_does(self, world: World) -> None:
        spending = Spending(100, (UnderWay("ex_a", 50),))
        await asyncio.gather(*(load(limiter, spending) for limiter in [*world.limiters] * 5))
        assert await numbers(world.limiters[0]) == (100, 50)

    async def test_what_is_under_way_is_held(self, limiter: Limiter) -> None:
        await load(limiter, Spending(100, (UnderWay("ex_a", 50), UnderWay("ex_b", 0), UnderWay("ex_c", 7))))
        holders = (await look(limiter)).holders
        assert {(holder.exchange_id, holder.amount, holder.seconds) for holder in holders} == {
            ("ex_a", 50, LEASE),
            ("ex_c", 7, LEASE),
        }

    async def test_what_is_under_way_is_settled_like_what_was_reserved(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await load(limiter, Spending(100, (UnderWay(hold.exchange_id, 50),)))
        assert await limiter.settle([spent(hold, 30)]) == [(hold.demands[0], 100, 130)]
        assert await numbers(limiter) == (130, 0)

    async def test_what_is_under_way_and_reserves_is_held_once(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=80)
        await load(limiter, Spending(920, (UnderWay(hold.exchange_id, 50),)))
        await granted(limiter, hold)
        assert await numbers(limiter) == (920, 80)

    async def test_what_is_under_way_for_nobody_is_held_no_longer_than_its_lease(
        self, world: World, limiter: Limiter
    ) -> None:
        await load(limiter, Spending(100, (UnderWay("ex_a", 900),)))
        await world.advance(LEASE - 1)
        await refused(limiter, hold_of(BUDGET, tokens=1))
        await world.advance(1)
        await granted(limiter, hold_of(BUDGET, tokens=900))

    async def test_what_is_renewed_before_it_is_loaded_is_held_once(self, world: World) -> None:
        hold = hold_of(BUDGET)
        await load(world.limiters[0])
        await granted(world.limiters[0], hold)
        await world.lose_everything()
        limiter = world.limiters[0]
        await limiter.renew([hold])
        await load(limiter, Spending(10, (UnderWay(hold.exchange_id, 90), UnderWay("ex_other", 5))))
        assert await numbers(limiter) == (10, 105)
        await limiter.settle([spent(hold, 120)])
        assert await numbers(limiter) == (130, 5)

    async def test_what_the_ledger_does_not_know_yet_is_held_by_renewal(self, limiter: Limiter) -> None:
        await limiter.renew([hold_of(BUDGET)])
        await load(limiter, Spending(10))
        assert await numbers(limiter) == (10, 100)

    async def test_a_budget_that_is_not_loaded_says_nothing(self, limiter: Limiter) -> None:
        await limiter.renew([hold_of(BUDGET)])
        await limiter.settle([spent(hold_of(BUDGET), 5)])
        assert await look(limiter) == Look(0, loaded=False)


class TestSettlementsBeforeLoading:
    """An exchange outlived what the store knew of it: the ledger may know of its end, or not yet."""

    async def test_what_was_settled_before_the_ledger_was_read_counts_once(self, limiter: Limiter) -> None:
        assert await limiter.settle([spent(hold_of(BUDGET), 300)]) == []
        await load(limiter, Spending(300))
        assert await numbers(limiter) == (300, 0)

    async def test_what_was_settled_since_the_ledger_was_read_is_spent(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        spending = Spending(500, (UnderWay(hold.exchange_id, 100),))
        await limiter.settle([spent(hold, 70)])
        await load(limiter, spending)
        assert await numbers(limiter) == (570, 0)

    async def test_what_gave_everything_back_is_not_held(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await limiter.settle([nothing(hold)])
        await load(limiter, Spending(500, (UnderWay(hold.exchange_id, 100),)))
        assert await numbers(limiter) == (500, 0)

    async def test_what_was_renewed_meanwhile_is_held_no_more(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await limiter.renew([hold])
        await limiter.settle([spent(hold, 70)])
        await load(limiter, Spending(500, (UnderWay(hold.exchange_id, 100),)))
        assert await numbers(limiter) == (570, 0)

    async def test_a_second_settlement_changes_nothing(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await limiter.settle([spent(hold, 70)])
        await limiter.settle([spent(hold, 700)])
        await load(limiter, Spending(500, (UnderWay(hold.exchange_id, 100),)))
        await limiter.settle([spent(hold, 700)])
        assert await numbers(limiter) == (570, 0)

    async def test_it_is_forgotten_once_the_budget_is_loaded(self, world: World, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        await limiter.settle([spent(hold, 70)])
        await load(limiter, Spending(500, (UnderWay(hold.exchange_id, 100),)))
        await world.advance(2 * DAY)
        await load(limiter, Spending(9, (UnderWay(hold.exchange_id, 100),)), now=world.now)
        assert await numbers(limiter, world.now) == (9, 100)

    async def test_a_window_that_was_left_is_not_taken_up_again(self, world: World, limiter: Limiter) -> None:
        await load(limiter, Spending(500))
        await world.advance(2 * DAY)
        await limiter.settle([spent(hold_of(BUDGET, now=world.now), 70)])
        await world.advance(-2 * DAY)
        await unloaded(limiter, hold_of(BUDGET))


class TestWindows:
    async def test_in_a_new_window_nothing_is_spent(self, world: World, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 1000)])
        await world.advance(TO_MIDNIGHT - 1)
        await refused(loaded, hold_of(BUDGET, tokens=1))
        await world.advance(1)
        await granted(loaded, hold_of(BUDGET, tokens=1000, now=world.now))

    async def test_callers_who_think_it_is_still_yesterday_are_in_the_new_window(
        self, world: World, loaded: Limiter
    ) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 1000)])
        await world.advance(TO_MIDNIGHT)
        late = hold_of(BUDGET, tokens=400, now=world.now - 1)
        await granted(loaded, late)
        await granted(loaded, hold_of(BUDGET, tokens=400, now=world.now))
        assert await loaded.settle([spent(late, 300)]) == [(late.demands[0], 0, 300)]
        assert await numbers(loaded, world.now) == (300, 400)

    async def test_callers_who_think_it_is_tomorrow_already_are_in_the_old_window(
        self, world: World, loaded: Limiter
    ) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 900)])
        await world.advance(TO_MIDNIGHT - 1)
        early = hold_of(BUDGET, tokens=101, now=world.now + 2)
        await refused(loaded, early)
        await world.advance(1)
        await granted(loaded, early)

    async def test_what_is_held_goes_on(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=600)
        await world.advance(TO_MIDNIGHT - 5)
        await granted(loaded, hold)
        await world.advance(5)
        assert await numbers(loaded, world.now) == (0, 600)
        await refused(loaded, hold_of(BUDGET, tokens=401, now=world.now))

    async def test_an_exchange_is_charged_to_the_window_in_which_it_is_settled(
        self, world: World, loaded: Limiter
    ) -> None:
        hold = hold_of(BUDGET, tokens=600)
        await loaded.settle([spent(hold_of(BUDGET), 300)])
        await world.advance(TO_MIDNIGHT - 5)
        await granted(loaded, hold)
        await world.advance(5)
        assert await loaded.settle([spent(hold, 500)]) == [(hold.demands[0], 0, 500)]
        assert await numbers(loaded, world.now) == (500, 0)

    async def test_a_window_goes_on_from_the_one_before_it_day_by_day(
        self, world: World, loaded: Limiter
    ) -> None:
        for _ in range(5):
            await loaded.settle([spent(hold_of(BUDGET, now=world.now), 1000)])
            await refused(loaded, hold_of(BUDGET, tokens=1, now=world.now))
            await world.advance(DAY)
            await granted(loaded, hold_of(BUDGET, tokens=0, now=world.now))

    async def test_a_budget_of_long_ago_has_to_be_loaded(self, world: World, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        await world.advance(TO_MIDNIGHT + DAY - 1)
        assert await numbers(loaded, world.now) == (0, 0)
        await world.advance(1)
        await unloaded(loaded, hold_of(BUDGET, now=world.now))
        await load(loaded, Spending(40), now=world.now)
        assert await numbers(loaded, world.now) == (40, 0)

    async def test_a_budget_of_another_zone_has_to_be_loaded(self, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        moved = hold_of(replace(BUDGET, zone="Asia/Kolkata"))
        await unloaded(loaded, moved)
        await loaded.load(moved.demands[0], Spending(250))
        (seen,) = await loaded.look(moved.demands)
        assert seen.spent == 250

    async def test_what_lives_is_held_through_loading_anew(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        moved = hold_of(replace(BUDGET, zone="Asia/Kolkata")).demands
        await loaded.load(moved[0], Spending(250, (UnderWay(hold.exchange_id, 90),)))
        (seen,) = await loaded.look(moved)
        assert (seen.spent, seen.level) == (250, 350)

    async def test_what_has_died_is_not_held_through_loading_anew(
        self, world: World, loaded: Limiter
    ) -> None:
        await granted(loaded, hold_of(BUDGET))
        await world.advance(LEASE)
        moved = hold_of(replace(BUDGET, zone="Asia/Kolkata")).demands
        await loaded.load(moved[0], Spending(250))
        (seen,) = await loaded.look(moved)
        assert (seen.spent, seen.level) == (250, 250)

    @pytest.mark.parametrize(
        ("period", "days"), [(Period.DAY, 1), (Period.WEEK, 5), (Period.MONTH, 13)], ids=str
    )
    async def test_a_window_ends_by_the_calendar(
        self, world: World, limiter: Limiter, period: Period, days: int
    ) -> None:
        budget = replace(BUDGET, period=period)
        await limiter.load(hold_of(budget).demands[0], Spending(1000))
        await world.advance(TO_MIDNIGHT + (days - 1) * DAY - 1)
        await refused(limiter, hold_of(budget, tokens=1, now=world.now))
        await world.advance(1)
        await granted(limiter, hold_of(budget, tokens=1000, now=world.now))


class TestClocksThatJump:
    async def test_back_within_the_window_nothing_changes(self, world: World, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        await world.advance(-3600)
        assert await numbers(loaded) == (700, 0)

    async def test_back_before_the_window_it_goes_on(self, world: World, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        await world.advance(-DAY)
        await refused(loaded, hold_of(BUDGET, tokens=301))
        await loaded.settle([spent(hold_of(BUDGET), 200)])
        await world.advance(DAY)
        assert await numbers(loaded) == (900, 0)

    async def test_what_is_loaded_by_a_clock_that_is_behind_is_kept(
        self, world: World, limiter: Limiter
    ) -> None:
        await world.advance(-DAY)
        await load(limiter, Spending(700))
        await refused(limiter, hold_of(BUDGET, tokens=301))
        await world.advance(DAY)
        assert await numbers(limiter) == (700, 0)

    async def test_forth_into_the_next_window_and_back_the_ledger_is_asked(
        self, world: World, loaded: Limiter
    ) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        await world.advance(DAY)
        await granted(loaded, hold_of(BUDGET))
        await world.advance(-DAY)
        await unloaded(loaded, hold_of(BUDGET))
        await load(loaded, Spending(700))
        assert await numbers(loaded) == (700, 100)

    async def test_who_only_looked_ahead_has_changed_nothing(self, world: World, loaded: Limiter) -> None:
        await loaded.settle([spent(hold_of(BUDGET), 700)])
        await world.advance(DAY)
        await refused(loaded, hold_of(BUDGET, tokens=1001))
        await loaded.settle([nothing(hold_of(BUDGET))])
        assert await numbers(loaded) == (0, 0)
        await world.advance(-DAY)
        assert await numbers(loaded) == (700, 0)

    async def test_forth_leases_end_but_renewal_brings_them_back(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=600)
        await granted(loaded, hold)
        await world.advance(3600)
        assert await numbers(loaded) == (0, 0)
        await loaded.renew([hold])
        assert await numbers(loaded) == (0, 600)


class TestLeases:
    async def test_what_is_held_is_given_back_when_its_lease_ends(
        self, world: World, loaded: Limiter
    ) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=600))
        await world.advance(LEASE - 1)
        await refused(loaded, hold_of(BUDGET, tokens=401))
        await world.advance(1)
        assert await numbers(loaded) == (0, 0)
        await granted(loaded, hold_of(BUDGET, tokens=1000))

    async def test_many_leases_end_at_once(self, world: World, limiter: Limiter) -> None:
        await load(
            limiter, Spending(0, tuple(UnderWay(f"ex_under_way_{number}", 1) for number in range(9000)))
        )
        assert await numbers(limiter) == (0, 9000)
        await world.advance(LEASE)
        await granted(limiter, hold_of(BUDGET, tokens=1000))
        assert await numbers(limiter) == (0, 1000)

    async def test_a_lease_ends_though_later_ones_do_not(self, world: World, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=600))
        await world.advance(LEASE / 2)
        await granted(loaded, hold_of(BUDGET, tokens=300))
        await world.advance(LEASE / 2)
        await refused(loaded, hold_of(BUDGET, tokens=701))
        await granted(loaded, hold_of(BUDGET, tokens=700))

    async def test_what_is_renewed_stays_held(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, REQUESTS, tokens=600)
        await granted(loaded, hold)
        for _ in range(3):
            await world.advance(LEASE - 1)
            await loaded.renew([hold])
        await world.advance(LEASE - 1)
        assert await numbers(loaded) == (0, 600)
        await world.advance(1)
        assert await numbers(loaded) == (0, 0)

    async def test_what_is_renewed_into_the_next_window_stays_held(
        self, world: World, loaded: Limiter
    ) -> None:
        hold = hold_of(BUDGET, tokens=600)
        await granted(loaded, hold)
        for _ in range(int(1.5 * DAY / (LEASE - 1)) + 1):
            await world.advance(LEASE - 1)
            await loaded.renew([hold])
        assert await numbers(loaded, START + DAY) == (0, 600)

    @pytest.mark.parametrize("seen", [True, False])
    async def test_what_still_runs_is_held_again(self, world: World, loaded: Limiter, seen: bool) -> None:
        hold = hold_of(BUDGET, tokens=600)
        await granted(loaded, hold)
        await world.advance(LEASE + 1)
        if seen:
            await granted(loaded, hold_of(BUDGET, tokens=900))
        await loaded.renew([hold])
        assert await numbers(loaded) == (0, 1500 if seen else 600)

    async def test_renewal_does_not_bring_back_what_is_settled(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        await loaded.settle([spent(hold, 70)])
        await loaded.renew([hold])
        assert await numbers(loaded) == (70, 0)

    async def test_renewal_of_what_costs_nothing_holds_nothing(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=0)
        await granted(loaded, hold)
        await loaded.renew([hold])
        assert (await look(loaded)).holders == ()

    @pytest.mark.parametrize("seen", [True, False])
    async def test_a_late_settlement_is_charged_and_gives_nothing_back(
        self, world: World, loaded: Limiter, seen: bool
    ) -> None:
        hold, other = hold_of(BUDGET, tokens=600), hold_of(BUDGET, tokens=900)
        await granted(loaded, hold)
        await world.advance(LEASE)
        if seen:
            await granted(loaded, other)
        assert await loaded.settle([spent(hold, 500)]) == [(hold.demands[0], 0, 500)]
        assert await numbers(loaded) == (500, 900 if seen else 0)


class TestExtending:
    async def test_what_fits_is_held_too(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, TOKENS, tokens=100)
        await granted(loaded, hold)
        assert await loaded.extend([more(hold, 250)]) == [None]
        assert await numbers(loaded) == (0, 350)
        assert await remaining(loaded, TOKENS) == 650

    async def test_it_fits_to_the_last_unit(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, tokens=100)
        await granted(loaded, hold)
        assert await loaded.extend([more(hold, 900)]) == [None]
        assert await loaded.extend([more(hold, 1)]) == [hold.demands[0]]

    async def test_of_what_does_not_fit_nothing_is_added(self, loaded: Limiter) -> None:
        second = replace(BUDGET, name="second", amount=300)
        hold = hold_of(BUDGET, TOKENS, second, tokens=100)
        await loaded.load(hold.demands[2], NEVER_SPENT)
        await granted(loaded, hold)
        assert await loaded.extend([more(hold, 201)]) == [hold.demands[2]]
        assert await numbers(loaded) == (0, 100)
        assert await remaining(loaded, TOKENS) == 900
        await loaded.settle([spent(hold, 100)])
        assert await numbers(loaded) == (100, 0)
        assert await remaining(loaded, TOKENS) == 900

    async def test_each_exchange_is_told_by_itself(self, world: World, loaded: Limiter) -> None:
        holds = [hold_of(BUDGET, tokens=100) for _ in range(3)]
        for hold in holds:
            await granted(loaded, hold)
        told = await world.limiters[1].extend([more(hold, 300) for hold in holds])
        assert told == [None, None, holds[2].demands[0]]
        assert await numbers(loaded) == (0, 900)

    async def test_two_replicas_at_once_never_pass_a_budget(self, world: World, loaded: Limiter) -> None:
        holds = [hold_of(BUDGET, tokens=10) for _ in range(20)]
        for hold in holds:
            await granted(loaded, hold)
        told = await asyncio.gather(
            *(world.limiters[number % 2].extend([more(hold, 70)]) for number, hold in enumerate(holds))
        )
        assert sum(answer == [None] for answer in told) == 11
        assert await numbers(loaded) == (0, 200 + 11 * 70)

    async def test_what_is_not_enforced_always_gives(self, loaded: Limiter) -> None:
        hold = hold_of(WARN, TOKENS, tokens=900)
        await granted(loaded, hold)
        assert await loaded.extend([more(hold, 900)]) == [None]
        assert await numbers(loaded) == (0, 1800)
        assert await remaining(loaded, TOKENS) == 0

    async def test_what_is_not_held_does_not_grow(self, loaded: Limiter) -> None:
        hold = hold_of(WARN, replace(TOKENS, mode=Mode.WARN), tokens=1001)
        assert len((await granted(loaded, hold)).notes) == 2
        assert await loaded.extend([more(hold, 50)]) == [None]
        assert await numbers(loaded) == (0, 0)
        assert await remaining(loaded, TOKENS) == 1000

    async def test_what_is_settled_gets_no_more(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, TOKENS)
        await granted(loaded, hold)
        await loaded.settle([spent(hold, 40)])
        assert await loaded.extend([more(hold, 10_000)]) == [None]
        assert await numbers(loaded) == (40, 0)
        assert await remaining(loaded, TOKENS) == 960

    async def test_what_was_spent_takes_the_place_of_all_that_was_held(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET, TOKENS, REQUESTS, SLOTS)
        await granted(loaded, hold)
        await loaded.extend([More(hold, (200, 200, 0, 0))])
        await loaded.extend([More(hold, (300, 300, 0, 0))])
        await loaded.settle([spent(hold, 450)])
        assert await numbers(loaded) == (450, 0)
        assert await remaining(loaded, TOKENS) == 550
        assert await remaining(loaded, REQUESTS) == 99

    async def test_what_costs_nothing_more_fits_a_budget_that_is_overspent(self, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        await loaded.settle([spent(hold_of(BUDGET), 2000)])
        assert await loaded.extend([more(hold, 0)]) == [None]
        assert await loaded.extend([more(hold, 1)]) == [hold.demands[0]]

    async def test_leases_that_have_ended_make_room(self, world: World, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=800))
        await world.advance(LEASE / 2)
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        assert await loaded.extend([more(hold, 101)]) == [hold.demands[0]]
        await world.advance(LEASE / 2)
        assert await loaded.extend([more(hold, 900)]) == [None]

    async def test_after_its_lease_has_ended_all_is_held_again(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        await loaded.extend([more(hold, 50)])
        await world.advance(LEASE)
        other = hold_of(BUDGET, tokens=700)
        await granted(loaded, other)
        assert await loaded.extend([more(hold, 151)]) == [hold.demands[0]]
        assert await numbers(loaded) == (0, 700)
        assert await loaded.extend([more(hold, 150)]) == [None]
        assert await numbers(loaded) == (0, 1000)

    async def test_what_was_extended_is_held_again_by_renewal(self, world: World, loaded: Limiter) -> None:
        hold = hold_of(BUDGET)
        await granted(loaded, hold)
        await loaded.extend([more(hold, 50)])
        await world.advance(LEASE)
        await granted(loaded, hold_of(BUDGET, tokens=1000))
        await loaded.renew([hold])
        assert await numbers(loaded) == (0, 1150)

    async def test_an_exchange_that_was_lost_is_held_with_what_it_began_with(self, loaded: Limiter) -> None:
        hold = hold_of(TOKENS, BUDGET)
        await loaded.extend([more(hold, 50)])
        assert await numbers(loaded) == (0, 150)
        assert await remaining(loaded, TOKENS) == 950
        await loaded.settle([spent(hold, 170)])
        assert await numbers(loaded) == (170, 0)
        assert await remaining(loaded, TOKENS) == 830

    async def test_a_budget_that_is_not_loaded_gives(self, limiter: Limiter) -> None:
        hold = hold_of(BUDGET)
        assert await limiter.extend([more(hold, 5000)]) == [None]
        await load(limiter, Spending(10, (UnderWay(hold.exchange_id, 90),)))
        assert await numbers(limiter) == (10, 5100)


class TestSlices:
    async def test_a_slice_is_held_and_set_aside(self, loaded: Limiter) -> None:
        await granted(loaded, slice_of(50))
        assert (await look(loaded))[:3] == (50, 0, 50)

    async def test_what_only_slices_keep_from_fitting_is_asked_to_wait(self, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=900))
        await granted(loaded, slice_of(30))
        await granted(loaded, slice_of(20, "slice:other:1"))
        refusal = await refused(loaded, hold_of(BUDGET, REQUESTS, tokens=100))
        assert refusal.deny.code is ErrorCode.BUDGET_UNAVAILABLE
        assert refusal.deny.retry_after == 1.0
        assert await remaining(loaded, REQUESTS) == 100

    async def test_what_would_not_fit_without_them_is_refused_for_good(self, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, tokens=900))
        await granted(loaded, slice_of(50))
        refusal = await refused(loaded, hold_of(BUDGET, tokens=101))
        assert refusal.deny.code is ErrorCode.INSUFFICIENT_QUOTA

    async def test_a_budget_that_does_not_refuse_notes_the_same_when_asked_again(
        self, loaded: Limiter
    ) -> None:
        await granted(loaded, slice_of(50))
        hold = hold_of(WARN, tokens=951)
        first, second = await granted(loaded, hold), await granted(loaded, hold)
        assert [note.code for note in first.notes] == [ErrorCode.BUDGET_UNAVAILABLE]
        assert second.notes == first.notes

    async def test_a_slice_is_given_back(self, loaded: Limiter) -> None:
        hold = slice_of(50)
        await granted(loaded, hold)
        assert await loaded.settle([nothing(hold)]) == []
        assert (await look(loaded))[:3] == (0, 0, 0)

    async def test_what_was_spent_of_a_slice_is_charged(self, loaded: Limiter) -> None:
        hold = slice_of(50)
        await granted(loaded, hold)
        assert await loaded.settle([spent(hold, 20)]) == [(hold.demands[0], 0, 20)]
        assert (await look(loaded))[:3] == (20, 20, 0)

    async def test_a_slice_lasts_longer_than_an_exchange(self, world: World, loaded: Limiter) -> None:
        await granted(loaded, slice_of(50))
        await granted(loaded, hold_of(BUDGET, tokens=70))
        await world.advance(SLICE_LEASE - 1)
        assert (await look(loaded))[:3] == (50, 0, 50)
        await world.advance(1)
        assert (await look(loaded))[:3] == (0, 0, 0)
        await granted(loaded, hold_of(BUDGET, tokens=1000))
        assert (await look(loaded))[:3] == (1000, 0, 0)

    async def test_a_slice_that_is_renewed_lasts_as_long_again(self, world: World, loaded: Limiter) -> None:
        hold = slice_of(50)
        await granted(loaded, hold)
        await world.advance(SLICE_LEASE - 1)
        await loaded.renew([hold])
        await world.advance(SLICE_LEASE - 1)
        assert (await look(loaded))[:3] == (50, 0, 50)

    async def test_a_slice_that_was_lost_is_set_aside_again(self, world: World, loaded: Limiter) -> None:
        hold = slice_of(50)
        await granted(loaded, hold)
        await world.advance(SLICE_LEASE)
        await granted(loaded, hold_of(BUDGET, tokens=10))
        await loaded.renew([hold])
        assert (await look(loaded))[:3] == (60, 0, 50)

    async def test_a_slice_goes_on_in_the_next_window(self, world: World, loaded: Limiter) -> None:
        await world.advance(TO_MIDNIGHT - 5)
        await granted(loaded, slice_of(50))
        await world.advance(5)
        assert (await look(loaded, world.now))[:3] == (50, 0, 50)

    async def test_a_slice_is_set_aside_through_loading_anew(self, limiter: Limiter) -> None:
        await limiter.renew([slice_of(50)])
        await load(limiter, Spending(100))
        assert (await look(limiter))[:3] == (150, 100, 50)


class TestLooking:
    async def test_it_tells_who_holds_what_and_for_how_long(self, world: World, loaded: Limiter) -> None:
        await granted(loaded, slice_of(50))
        await granted(loaded, hold_of(BUDGET, SLOTS, tokens=70, exchange_id="ex_a"))
        await world.advance(10)
        await granted(loaded, hold_of(BUDGET, SLOTS, tokens=30, exchange_id="ex_b"))
        assert (await look(loaded)).holders == (
            ("ex_a", 70, LEASE - 10),
            ("ex_b", 30, LEASE),
            ("slice:replica:1", 50, SLICE_LEASE - 10),
        )
        (slots,) = await loaded.look(hold_of(SLOTS).demands)
        assert slots == Look(2, holders=(("ex_a", 1, LEASE - 10), ("ex_b", 1, LEASE)))

    async def test_it_tells_what_a_rate_owes(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(DAY / 2)
        assert await limiter.look(hold_of(TOKENS, REQUESTS).demands) == [Look(400_000_000), Look(0)]

    async def test_it_tells_of_several_at_once_in_their_order(self, loaded: Limiter) -> None:
        hold = hold_of(SLOTS, TOKENS, BUDGET)
        await granted(loaded, hold)
        levels = [seen.level for seen in await loaded.look([*hold.demands] * 30)]
        assert levels == [1, 100_000_000, 100] * 30

    async def test_it_leaves_out_whose_lease_has_ended(self, world: World, loaded: Limiter) -> None:
        await granted(loaded, hold_of(BUDGET, SLOTS))
        await world.advance(LEASE)
        assert await loaded.look(hold_of(BUDGET, SLOTS).demands) == [Look(0), Look(0)]

    async def test_it_tells_of_so_many_holders_and_no_more(self, loaded: Limiter) -> None:
        for _ in range(MOST_SHOWN + 5):
            await granted(loaded, hold_of(BUDGET, tokens=1))
        seen = await look(loaded)
        assert (seen.level, len(seen.holders)) == (MOST_SHOWN + 5, MOST_SHOWN)

    async def test_it_names_the_buckets_of_a_team(self, loaded: Limiter) -> None:
        hold = hold_of(REQUESTS, SLOTS, BUDGET)
        await granted(loaded, hold)
        await loaded.settle([spent(hold_of(REQUESTS, BUDGET), 5)])
        elsewhere = [
            hold_of(REQUESTS).demands[0]._replace(bucket=f"{{{tag}}}:a:requests") for tag in ("s", "*")
        ]
        for demand in elsewhere:
            await granted(loaded, Hold(f"ex_in_{demand.bucket}", (demand,)))
        assert sorted(await loaded.buckets("search")) == sorted(demand.bucket for demand in hold.demands)
        assert await loaded.buckets("*") == ["{*}:a:requests"]
        assert await loaded.buckets("nobody") == []


class TestManyAtOnce:
    async def test_nothing_is_held_when_all_is_settled(self, world: World, loaded: Limiter) -> None:
        async def exchange(number: int) -> int:
            limiter, hold = world.limiters[number % 2], hold_of(BUDGET, SLOTS, tokens=90)
            if hasattr(await limiter.reserve(hold), "deny"):
                return 0
            asked, amount = more(hold, 20), number % 40
            (exhausted,) = await limiter.extend([asked])
            assert exhausted in (None, hold.demands[0])
            await limiter.settle([Spent(hold, (amount, 1))])
            return amount

        amounts = await asyncio.gather(*(exchange(number) for number in range(200)))
        assert await numbers(loaded) == (sum(amounts), 0)
        assert await loaded.look(hold_of(SLOTS).demands) == [Look(0)]


def found_in_lua(
    server: RedisServer, state: State, edges: Edges, now: int, more: int, amount: int
) -> tuple[State | None, int]:
    """What budget.lua finds of this state, and whether so much more fits. `now`: microseconds."""
    text = Script.of("bucket.lua", "demand.lua", "budget.lua").text + (
        "local budget = demand_of(ARGV[1])\n"
        "budget.bucket = KEYS[1]\n"
        "redis.call('HSET', KEYS[1], 'start', ARGV[2], 'spent', ARGV[3], 'held', ARGV[4], 'aside', ARGV[5])\n"
        "look_up(budget, 'ex_1', tonumber(ARGV[6]))\n"
        "redis.call('DEL', KEYS[1])\n"
        "local fit = fit_of(budget, tonumber(ARGV[7]))\n"
        "return { budget.loaded and 1 or 0, budget.start, budget.spent, budget.held, budget.aside, fit }"
    )
    words = f"budget 0 {amount} {' '.join(map(str, edges))} enforce"
    with Redis.from_url(server.url) as client:
        found = client.eval(text, 1, "{arithmetic}", words, *state, now, more)
    loaded, start, spent, held, set_aside, fit = found
    return State(start, spent, held, set_aside) if loaded else None, fit


class TestArithmetic:
    """budget.lua is budget.py once more."""

    @given(
        start=st.integers(0, 5),
        sums=st.lists(st.integers(0, MOST // 4) | st.integers(0, 9), min_size=4, max_size=4),
        amount=st.integers(0, MOST) | st.integers(0, 30),
        elapsed=st.integers(-2_000_000, 5_000_000) | st.sampled_from([-1, 0, 999_999, 1_000_000, 2_000_000]),
    )
    @settings(max_examples=300, deadline=None)
    def test_lua_finds_what_python_finds(
        self, redis_server: RedisServer, start: int, sums: list[int], amount: int, elapsed: int
    ) -> None:
        spent, exchanges, set_aside, more = sums
        this = 1_795_000_000
        edges = (this - 1, this, this + 1, this + 2)
        state = State((*edges, this - 7, this + 9)[start], spent, exchanges + set_aside, set_aside)
        now = this * MICRO + elapsed
        found, fit = found_in_lua(redis_server, state, edges, now, more, amount)
        expected = carried(state, edges, now / MICRO)
        assert found == expected
        if expected is not None:
            assert fit == next(
                found
                for found, fits in {
                    Fit.YES: expected.fits(more, amount),
                    Fit.SET_ASIDE: expected.fits_without_slices(more, amount),
                    Fit.HELD: expected.fits_without_holds(more, amount),
                    Fit.NO: True,
                }.items()
                if fits
            )
