"""What a replica decides by itself, and what it tells Redis of that."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Limit
from gateway.core.standing import Standing
from gateway.limits.away.limiter import AwayLimiter
from gateway.limits.away.shares import Shares
from gateway.limits.away.slices import Slices
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Grant, Hold, Look, More, Refusal, Share, Spent
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

HALF = Share(0, 2)
MANY = replace(TOKENS, amount=40_000, burst=40_000)
"""A credit of 500 for one of two replicas."""
SOFT = replace(DOLLARS, name="team-soft", mode=Mode.WARN)
SLICE = DOLLARS.amount // 40

_ids = count()


@pytest.fixture
def slices(clock: ManualClock) -> Slices:
    return Slices(replica="gateway-1", clock=clock)


@pytest.fixture
def away(clock: ManualClock, slices: Slices) -> AwayLimiter:
    return AwayLimiter(clock=clock, shares=Shares(margin=0.4), slices=slices)


def hold_of(*limits: Limit | Budget, cost: int = 100) -> Hold:
    return Hold(f"ex_{next(_ids)}", tuple(demand(limit, cost) for limit in limits))


def demand(limit: Limit | Budget, cost: int = 100) -> Demand:
    cost = 1 if limit in (REQUESTS, SLOTS) else cost
    return demand_of(limit, f"{{search}}:{limit.name}:{limit.counts}:team=search", cost, ManualClock().now())


def set_aside(slices: Slices) -> Hold:
    """A slice of the dollars."""
    slices.use(demand(DOLLARS))
    (hold,) = slices.wanted([demand(DOLLARS)], [Look(0)], HALF.of)
    slices.granted(hold)
    return hold


def granted(away: AwayLimiter, hold: Hold) -> Grant:
    decision = away.reserve(hold)
    assert isinstance(decision, Grant)
    return decision


def refused(away: AwayLimiter, hold: Hold) -> Refusal:
    decision = away.reserve(hold)
    assert isinstance(decision, Refusal)
    return decision


def charges(spents: Sequence[Spent]) -> list[tuple[str, int]]:
    """Limits, and what Redis is charged of them."""
    return [
        (each.limit.name, amount)
        for spent in spents
        for each, amount in zip(spent.hold.demands, spent.amounts, strict=True)
    ]


class TestRates:
    def test_the_credit_fits_at_once(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        granted(away, hold_of(MANY, cost=500))
        refused(away, hold_of(MANY, cost=1))

    def test_a_refusal_says_when_the_share_has_room(self, away: AwayLimiter, clock: ManualClock) -> None:
        away.begin(HALF)
        granted(away, hold_of(MANY, cost=500))
        refusal = refused(away, hold_of(MANY, cost=1000))
        assert refusal.deny.code is ErrorCode.RATE_LIMIT_EXCEEDED
        assert refusal.deny.retry_after == pytest.approx(3.0)
        clock.advance(3.0)
        granted(away, hold_of(MANY, cost=1000))

    def test_standings_are_of_the_share(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        (standing,) = granted(away, hold_of(MANY, cost=100)).standings
        assert (standing.amount, standing.remaining) == (40_000, 400)

    def test_a_share_that_is_larger_counts_from_the_next_outage(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.begin(Share(0, 1))
        refused(away, hold_of(MANY, cost=501))

    def test_a_cost_beyond_the_share_waits_until_nothing_is_owed(
        self, away: AwayLimiter, clock: ManualClock
    ) -> None:
        away.begin(HALF)
        refusal = refused(away, hold_of(MANY, cost=30_000))
        assert refusal.deny.code is ErrorCode.RATE_LIMIT_EXCEEDED
        assert refusal.deny.retry_after == pytest.approx(60.0)
        clock.advance(60.0)
        granted(away, hold_of(MANY, cost=30_000))

    @pytest.mark.parametrize("of", [1, 2])
    def test_a_cost_beyond_the_limit_never_fits(self, away: AwayLimiter, clock: ManualClock, of: int) -> None:
        away.begin(Share(0, of))
        clock.advance(3600.0)
        assert refused(away, hold_of(MANY, cost=40_001)).deny.code is ErrorCode.REQUEST_EXCEEDS_LIMIT

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
    def test_a_rate_that_does_not_refuse_notes(self, away: AwayLimiter, mode: Mode) -> None:
        away.begin(HALF)
        (note,) = granted(away, hold_of(replace(MANY, mode=mode), cost=501)).notes
        assert (note.mode, note.code) == (mode, ErrorCode.RATE_LIMIT_EXCEEDED)

    def test_what_is_only_noted_is_not_spent(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        noted = hold_of(replace(MANY, mode=Mode.WARN), cost=501)
        granted(away, noted)
        away.extend(More(noted, (100,)))
        away.settle(Spent(noted, (700,)))
        assert away.dues() == []
        assert granted(away, hold_of(replace(MANY, mode=Mode.WARN), cost=500)).notes == ()

    def test_a_refusal_takes_nothing_of_any_limit(self, away: AwayLimiter, slices: Slices) -> None:
        set_aside(slices)
        away.begin(HALF)
        refused(away, hold_of(DOLLARS, SLOTS, replace(MANY, name="other"), MANY, cost=501))
        assert slices.fits(demand(DOLLARS).bucket, SLICE)
        granted(away, hold_of(SLOTS, replace(MANY, name="other"), cost=500))
        assert charges(away.dues()) == [("other", 500)]


class TestSettlingRates:
    @pytest.mark.parametrize(("spent", "left"), [(100, 400), (40, 460), (300, 200), (0, 500)])
    def test_what_was_spent_takes_the_place_of_what_was_held(
        self, away: AwayLimiter, spent: int, left: int
    ) -> None:
        away.begin(HALF)
        hold = hold_of(MANY)
        granted(away, hold)
        assert away.settle(Spent(hold, (spent,))) is None
        assert granted(away, hold_of(MANY, cost=0)).standings[0].remaining == left
        assert [amount for _, amount in charges(away.dues())] == ([spent] if spent else [])

    def test_what_is_still_held_is_charged_on_return(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        granted(away, hold_of(MANY))
        assert charges(away.dues()) == [("key-tokens", 100)]

    def test_what_it_spent_beyond_that_is_charged_when_it_settles(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(MANY)
        granted(away, hold)
        away.dues()
        away.end(0.4)
        away.settle(Spent(hold, (130,)))
        assert charges(away.dues()) == [("key-tokens", 30)]

    def test_each_charge_has_an_id_of_its_own(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        ids = []
        for _ in range(3):
            granted(away, hold_of(MANY))
            ids += [spent.hold.exchange_id for spent in away.dues()]
        assert len(set(ids)) == 3

    def test_a_second_settlement_changes_nothing(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(MANY)
        granted(away, hold)
        away.settle(Spent(hold, (50,)))
        assert away.settle(Spent(hold, (500,))) is None
        assert charges(away.dues()) == [("key-tokens", 50)]

    def test_the_same_id_holds_once(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(MANY)
        granted(away, hold)
        granted(away, hold)
        assert charges(away.dues()) == [("key-tokens", 100)]

    def test_a_reservation_that_comes_after_its_settlement_holds_nothing(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(MANY)
        granted(away, hold)
        away.settle(Spent(hold, (0,)))
        granted(away, hold)
        assert away.dues() == []

    def test_what_redis_holds_is_for_redis(self, away: AwayLimiter) -> None:
        there = Spent(hold_of(MANY), (130,))
        assert away.settle(there) == there


class TestSlots:
    def test_a_replica_has_its_part(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        granted(away, hold_of(SLOTS))
        refusal = refused(away, hold_of(SLOTS))
        assert refusal.deny.code is ErrorCode.CONCURRENCY_LIMIT_EXCEEDED

    def test_a_settlement_frees_its_slot(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(SLOTS)
        granted(away, hold)
        away.settle(Spent(hold, (1,)))
        granted(away, hold_of(SLOTS))

    def test_what_runs_already_counts(self, away: AwayLimiter) -> None:
        there = hold_of(SLOTS)
        away.note(there, Grant(()))
        away.begin(HALF)
        refused(away, hold_of(SLOTS))
        away.settle(Spent(there, (1,)))
        granted(away, hold_of(SLOTS))

    def test_a_refusal_of_redis_is_no_slot(self, away: AwayLimiter) -> None:
        there = hold_of(SLOTS)
        away.note(there, Refusal(refused_by_redis(), (), there.demands[0]))
        away.begin(HALF)
        granted(away, hold_of(SLOTS))

    def test_the_odd_slot_is_for_the_lower_rank(self, away: AwayLimiter) -> None:
        away.begin(Share(1, 2))
        granted(away, hold_of(replace(SLOTS, amount=3)))
        refused(away, hold_of(replace(SLOTS, amount=3)))


def refused_by_redis() -> object:
    away = AwayLimiter(
        clock=ManualClock(),
        shares=Shares(margin=0.4),
        slices=Slices(replica="gateway-2", clock=ManualClock()),
    )
    away.begin(HALF)
    return refused(away, hold_of(MANY, cost=501)).deny


class TestBudgets:
    def test_an_enforced_one_is_spent_from_its_slice(self, away: AwayLimiter, slices: Slices) -> None:
        set_aside(slices)
        away.begin(HALF)
        granted(away, hold_of(DOLLARS, cost=SLICE))
        refused(away, hold_of(DOLLARS, cost=1))

    @pytest.mark.parametrize(("elapsed", "retry_after"), [(0.0, 1.0), (3.0, 3.0), (600.0, 5.0)])
    def test_without_one_it_is_unavailable_for_a_moment(
        self, away: AwayLimiter, clock: ManualClock, elapsed: float, retry_after: float
    ) -> None:
        away.begin(HALF)
        clock.advance(elapsed)
        deny = refused(away, hold_of(DOLLARS)).deny
        assert (deny.code, deny.mode) == (ErrorCode.BUDGET_UNAVAILABLE, Mode.ENFORCE)
        assert deny.rule == "budgets.team-month"
        assert deny.retry_after == retry_after

    def test_a_request_that_costs_nothing_goes_on(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        granted(away, hold_of(DOLLARS, cost=0))

    def test_what_was_spent_of_the_slice_is_its_settlement(self, away: AwayLimiter, slices: Slices) -> None:
        kept = set_aside(slices)
        away.begin(HALF)
        first, second = hold_of(DOLLARS, cost=1000), hold_of(DOLLARS, cost=1000)
        granted(away, first)
        granted(away, second)
        away.settle(Spent(first, (700,)))
        assert away.dues() == []
        away.settle(Spent(second, (1100,)))
        assert away.dues() == [Spent(kept, (1800,))]

    def test_what_nobody_expected_to_cost_anything_is_charged_later(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(DOLLARS, cost=0)
        granted(away, hold)
        away.settle(Spent(hold, (70,)))
        assert charges(away.dues()) == [("team-month", 70)]

    def test_one_that_does_not_refuse_goes_on(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        assert granted(away, hold_of(SOFT, cost=10**12)).notes == ()

    def test_what_was_spent_of_it_is_charged_later_as_one_sum(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        for amount in (700, 0, 1100):
            hold = hold_of(SOFT)
            granted(away, hold)
            away.settle(Spent(hold, (amount,)))
        assert charges(away.dues()) == [("team-soft", 1800)]
        assert away.dues() == []

    def test_the_sums_are_bounded(self, clock: ManualClock, slices: Slices) -> None:
        away = AwayLimiter(clock=clock, shares=Shares(margin=0.4), slices=slices, most=2)
        away.begin(HALF)
        for name in ("a", "b", "c"):
            hold = hold_of(replace(SOFT, name=name))
            granted(away, hold)
            away.settle(Spent(hold, (10,)))
        assert charges(away.dues()) == [("b", 10), ("c", 10)]


class TestExtending:
    def test_rates_always_give(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(MANY, cost=500)
        granted(away, hold)
        assert away.extend(More(hold, (300,))) is None
        assert charges(away.dues()) == [("key-tokens", 800)]
        away.settle(Spent(hold, (850,)))
        assert charges(away.dues()) == [("key-tokens", 50)]

    def test_a_slice_gives_what_it_has(self, away: AwayLimiter, slices: Slices) -> None:
        set_aside(slices)
        away.begin(HALF)
        hold = hold_of(DOLLARS)
        granted(away, hold)
        assert away.extend(More(hold, (SLICE - 100,))) is None
        assert away.extend(More(hold, (1,))) == hold.demands[0]

    def test_of_several_budgets_all_give_or_none(self, away: AwayLimiter, slices: Slices) -> None:
        set_aside(slices)
        away.begin(HALF)
        hold = hold_of(MANY, DOLLARS)
        granted(away, hold)
        assert away.extend(More(hold, (300, SLICE))) == hold.demands[1]
        assert charges(away.dues()) == [("key-tokens", 100)]

    def test_what_redis_holds_grows_from_the_slice(self, away: AwayLimiter, slices: Slices) -> None:
        kept = set_aside(slices)
        away.begin(HALF)
        there = hold_of(MANY, DOLLARS, cost=1000)
        assert away.extend(More(there, (300, 500))) is None
        assert not slices.fits(demand(DOLLARS).bucket, SLICE - 499)
        assert away.settle(Spent(there, (1400, 1400))) == Spent(there, (1400, 1000))
        assert away.dues() == [Spent(kept, (400,))]

    @pytest.mark.parametrize(
        ("spent", "in_redis", "of_slice"), [(800, 800, 0), (1200, 1000, 200), (1700, 1200, 500)]
    )
    def test_what_redis_holds_is_spent_there_first(
        self, away: AwayLimiter, slices: Slices, spent: int, in_redis: int, of_slice: int
    ) -> None:
        set_aside(slices)
        away.begin(HALF)
        there = hold_of(DOLLARS, cost=1000)
        away.extend(More(there, (500,)))
        assert away.settle(Spent(there, (spent,))) == Spent(there, (in_redis,))
        assert [amount for _, amount in charges(away.dues())] == ([of_slice] if of_slice else [])

    def test_a_budget_that_does_not_refuse_gives(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(SOFT)
        granted(away, hold)
        assert away.extend(More(hold, (10**12,))) is None


class TestAfterTheReturn:
    def test_what_runs_is_known_to_redis_by_another_id(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(SLOTS, MANY, SOFT)
        granted(away, hold)
        alias = away.in_redis(hold)
        assert alias.exchange_id != hold.exchange_id
        assert [each.cost for each in alias.demands] == [0, 0, 0]
        assert away.settle(Spent(hold, (1, 100, 100))) == Spent(alias, (0, 0, 0))

    def test_what_redis_was_never_told_of_it_needs_no_settlement(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        hold = hold_of(SLOTS)
        granted(away, hold)
        assert away.settle(Spent(hold, (1,))) is None

    def test_what_redis_holds_keeps_its_id(self, away: AwayLimiter) -> None:
        there = hold_of(SLOTS)
        assert away.in_redis(there) == there

    def test_an_empty_redis_is_told_of_what_runs_as_if_it_had_held_it(
        self, away: AwayLimiter, slices: Slices
    ) -> None:
        set_aside(slices)
        away.begin(HALF)
        hold = hold_of(SLOTS, DOLLARS, SOFT)
        granted(away, hold)
        away.forget()
        assert away.in_redis(hold) == hold
        assert away.settle(Spent(hold, (1, 90, 90))) == Spent(hold, (1, 90, 90))

    def test_an_empty_redis_is_told_what_it_may_have_been_loaded_without(
        self, away: AwayLimiter, slices: Slices
    ) -> None:
        set_aside(slices)
        away.begin(HALF)
        hold = hold_of(DOLLARS, SOFT)
        granted(away, hold)
        away.settle(Spent(hold, (90, 80)))
        assert charges(away.forget()) == [(SOFT.name, 80), (DOLLARS.name, 90)]
        assert away.dues() == []


class TestWithinTheShare:
    def test_what_the_share_has_is_claimed(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.end(0.4)
        hold = hold_of(MANY, SLOTS, DOLLARS, cost=500)
        assert away.claim(hold, 0.4) == list(hold.demands[:2])
        assert isinstance(away.claim(hold_of(MANY, cost=1), 0.4), Refusal)

    @pytest.mark.parametrize(
        ("limit", "cost", "retry_after"), [(MANY, 2000, 0.4), (MANY, 510, 0.03), (SLOTS, 1, 0.4)]
    )
    def test_nobody_is_told_to_wait_longer_than_it_counts(
        self, away: AwayLimiter, limit: Limit, cost: int, retry_after: float
    ) -> None:
        away.begin(HALF)
        granted(away, hold_of(SLOTS))
        away.end(0.4)
        refusal = away.claim(hold_of(limit, cost=cost), 0.4)
        assert isinstance(refusal, Refusal)
        assert refusal.deny.retry_after == pytest.approx(retry_after)

    def test_what_can_never_fit_is_no_matter_of_waiting(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.end(0.4)
        refusal = away.claim(hold_of(MANY, cost=40_001), 0.4)
        assert isinstance(refusal, Refusal)
        assert refusal.deny.retry_after is None

    def test_it_is_not_charged_since_redis_counts_it(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.end(0.4)
        away.claim(hold_of(MANY), 0.4)
        assert away.dues() == []

    def test_what_redis_refuses_is_given_up(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.end(0.4)
        hold = hold_of(MANY, SLOTS, cost=500)
        claimed = away.claim(hold, 0.4)
        assert not isinstance(claimed, Refusal)
        away.give_up(hold, claimed)
        assert not isinstance(away.claim(hold_of(MANY, SLOTS, cost=500), 0.4), Refusal)

    def test_budgets_are_for_redis(self, away: AwayLimiter) -> None:
        away.begin(HALF)
        away.end(0.4)
        assert away.claim(hold_of(DOLLARS, cost=SLICE), 0.4) == []


class TestNoting:
    def test_rates_are_restored_from_what_redis_last_said(
        self, away: AwayLimiter, clock: ManualClock
    ) -> None:
        shadow = replace(MANY, name="shadow", mode=Mode.SHADOW)
        hold = hold_of(shadow, REQUESTS, SLOTS, MANY)
        standings = tuple(
            Standing(limit.name, limit.counts, limit.amount, 0, reset)
            for limit, reset in ((REQUESTS, 30.0), (MANY, 6.0))
        )
        away.note(hold, Grant(standings))
        clock.advance(3.0)
        assert [(each.limit.name, debt) for each, debt in away.debts()] == [
            ("team-requests", 27_000_000),
            ("key-tokens", 2_000_000_000),
        ]

    def test_enforced_budgets_are_in_use(self, away: AwayLimiter, slices: Slices) -> None:
        hold = hold_of(SOFT, DOLLARS)
        away.note(hold, Grant(()))
        assert slices.in_use() == [hold.demands[1]]
