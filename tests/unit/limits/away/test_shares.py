"""A replica's part of a rate; and what all replicas let through together, however Redis comes and goes."""

from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.decision import Mode
from gateway.core.policy import Counted, Limit, Scope
from gateway.limits.away.shares import Shares
from gateway.limits.bucket import MICRO, Rate, rate_of
from gateway.limits.interfaces import Demand

MARGIN: Final = 0.4
TOKENS: Final = Limit("team-tokens", Counted.TOKENS, (Scope.TEAM,), 6000, 60.0, 4000)
"""A hundred come back each second; 4000 at once."""


def demand_on(limit: Limit, bucket: str = "{search}:team-tokens:tokens:team=search") -> Demand:
    return Demand(limit, bucket, 0, rate_of(limit))


DEMAND: Final = demand_on(TOKENS)
RATE: Final = rate_of(TOKENS)


def micro(seconds: float) -> int:
    return round(seconds * MICRO)


@pytest.fixture
def shares() -> Shares:
    return Shares(margin=MARGIN)


def room(shares: Shares, at: float, demand: Demand = DEMAND) -> int:
    """Whole tokens that a share gives at this second."""
    rate = rate_of(demand.limit)
    return (shares.part(rate, 0).size - shares.level(demand, rate, micro(at))) // MICRO


def dues(shares: Shares, at: float) -> list[int]:
    return [amount for _, amount in shares.dues(micro(at))]


class TestBeginning:
    def test_only_the_credit_is_there_at_once(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        assert room(shares, 100) == 25

    def test_a_part_of_the_rate_is_paid_back(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        assert room(shares, 110) == 25 + 250

    def test_a_share_grows_no_larger_than_its_part_and_the_credit(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        assert room(shares, 1000) == 1025

    def test_what_redis_was_overdrawn_by_is_owed_in_parts(self, shares: Shares) -> None:
        shares.saw(DEMAND, reset=60.0, now=micro(90))
        shares.begin(4, micro(100))
        assert room(shares, 100) == 25 - (60 - 10 - 40) * 100 // 4

    def test_what_redis_has_left_is_perhaps_gone_by_now(self, shares: Shares) -> None:
        shares.saw(DEMAND, reset=1.0, now=micro(100))
        shares.begin(4, micro(100))
        assert room(shares, 100) == 25

    def test_a_bucket_that_is_first_used_later_has_been_paid_since_the_outage_began(
        self, shares: Shares
    ) -> None:
        shares.begin(4, micro(100))
        assert room(shares, 140) == 1025


class TestSpending:
    def test_what_is_spent_is_owed(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        assert room(shares, 100) == 5

    def test_what_is_given_back_is_there_again(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        shares.spend(DEMAND, RATE, -15, micro(100))
        assert (room(shares, 100), dues(shares, 100)) == (20, [5])

    def test_a_cost_beyond_the_share_fits_when_nothing_is_owed(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        part = shares.part(RATE, 3000 * MICRO)
        assert not part.fits(shares.level(DEMAND, RATE, micro(139)), 3000 * MICRO)
        assert part.fits(shares.level(DEMAND, RATE, micro(140)), 3000 * MICRO)

    def test_a_cost_beyond_the_share_is_paid_back_at_the_shares_rate(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 3000, micro(140))
        assert shares.part(RATE, 0).seconds_to_pay(shares.level(DEMAND, RATE, micro(140))) == 120.0


class TestReturning:
    def test_what_was_spent_is_charged(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        assert dues(shares, 105) == [20]

    def test_it_is_told_once(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        assert (dues(shares, 105), dues(shares, 105)) == ([20], [])

    def test_what_was_paid_back_in_the_outage_is_not_charged(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        for second in range(200):
            shares.spend(DEMAND, RATE, 25, micro(101 + second))
        gained_while_others_return = 10
        assert dues(shares, 300) == [1000 + gained_while_others_return]

    def test_the_credit_that_was_spent_is_charged(self, shares: Shares) -> None:
        shares.begin(1, micro(100))
        shares.spend(DEMAND, RATE, 100, micro(100))
        for second in range(100):
            shares.spend(DEMAND, RATE, 100, micro(101 + second))
        assert dues(shares, 200) == [4100 + 40]

    def test_there_is_no_credit_right_after_a_return(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.end(micro(105))
        shares.begin(4, micro(105))
        assert room(shares, 105) == 0

    def test_the_credit_comes_back_with_the_rate(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.end(micro(105))
        shares.begin(4, micro(105.5))
        assert room(shares, 105.5) == 12

    def test_what_is_spent_in_redis_too_is_not_charged(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100), charged=True)
        assert (room(shares, 100), dues(shares, 100)) == (5, [])

    def test_what_an_exchange_spent_less_is_set_off_against_what_others_spent_more(
        self, shares: Shares
    ) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        assert dues(shares, 100) == [20]
        shares.spend(DEMAND, RATE, -15, micro(101))
        assert dues(shares, 101) == []
        shares.spend(DEMAND, RATE, 18, micro(102))
        assert dues(shares, 102) == [3]

    def test_it_is_not_set_off_in_the_next_outage(self, shares: Shares) -> None:
        shares.begin(4, micro(100))
        shares.spend(DEMAND, RATE, 20, micro(100))
        assert dues(shares, 100) == [20]
        shares.spend(DEMAND, RATE, -15, micro(101))
        shares.end(micro(102))
        shares.begin(4, micro(1000))
        shares.spend(DEMAND, RATE, 18, micro(1000))
        assert dues(shares, 1000) == [18]


class TestRestoring:
    def test_what_was_owed_is_told_as_time_has_left_it(self, shares: Shares) -> None:
        shares.saw(DEMAND, reset=30.0, now=micro(100))
        assert shares.debts(micro(110)) == [(DEMAND, 2000 * MICRO)]

    def test_what_is_paid_is_not_told(self, shares: Shares) -> None:
        shares.saw(DEMAND, reset=30.0, now=micro(100))
        assert shares.debts(micro(130)) == []

    def test_of_a_limit_in_shadow_mode_nobody_knows(self, shares: Shares) -> None:
        shadow = demand_on(replace(TOKENS, mode=Mode.SHADOW))
        shares.begin(4, micro(100))
        shares.spend(shadow, RATE, 20, micro(100))
        assert shares.debts(micro(100)) == []

    @given(st.integers(1, 30 * MICRO), st.integers(1, 10**8), st.integers(1, 31 * 86_400))
    def test_a_debt_is_known_from_when_it_will_be_paid(self, part: int, amount: int, seconds: int) -> None:
        demand = demand_on(replace(TOKENS, amount=amount, seconds=float(seconds)))
        rate, debt = rate_of(demand.limit), part * amount
        shares = Shares(margin=MARGIN)
        shares.saw(demand, rate.seconds_to_pay(debt), now=micro(100))
        ((_, known),) = shares.debts(micro(100))
        assert debt <= known <= debt + rate.gain // rate.per + 1


class TestForgetting:
    def test_the_bucket_longest_unused_is_forgotten(self) -> None:
        shares = Shares(margin=MARGIN, most=2)
        shares.begin(4, micro(100))
        for name in ("one", "two", "three"):
            shares.spend(demand_on(TOKENS, name), RATE, 20, micro(100))
        assert shares.size == 2
        assert [demand.bucket for demand, _ in shares.dues(micro(100))] == ["two", "three"]

    def test_what_was_forgotten_begins_with_the_credit_alone(self) -> None:
        shares = Shares(margin=MARGIN, most=1)
        shares.begin(4, micro(100))
        shares.spend(demand_on(TOKENS, "one"), RATE, 25, micro(100))
        shares.spend(demand_on(TOKENS, "two"), RATE, 25, micro(100))
        assert room(shares, 1000, demand_on(TOKENS, "one")) == 25


# However Redis comes and goes.


@dataclass
class Exact:
    """A bucket that everything is charged to."""

    rate: Rate
    debt: int = 0
    at: int = 0

    def owed(self, now: int) -> int:
        return self.rate.owed(self.debt, self.at, now)

    def charge(self, micro_tokens: int, now: int) -> None:
        self.debt, self.at = max(0, self.owed(now) + micro_tokens), now


@dataclass
class Replica:
    shares: Shares
    is_away: bool = False
    within_share_until: int = 0


@dataclass
class World:
    """Some replicas, and the Redis that they share: as resilient.py uses shares."""

    demand: Demand
    replicas: list[Replica]
    now: int = micro(1000)
    is_there: bool = True
    redis: Exact = field(init=False)
    everything: Exact = field(init=False)
    """What was let through, anywhere. At the end of each span it owes at least what was let through in it,
    less what was paid back."""
    most: int = 0

    def __post_init__(self) -> None:
        self.redis, self.everything = Exact(self.rate), Exact(self.rate)

    @property
    def rate(self) -> Rate:
        return rate_of(self.demand.limit)

    def ask(self, number: int, cost: int, times: int) -> None:
        """As often as it fits, and no more than so many times."""
        for _ in range(times):
            if not self._ask(self.replicas[number % len(self.replicas)], cost):
                return
            self.everything.charge(cost * MICRO, self.now)
            self.most = max(self.most, self.everything.owed(self.now))

    def lose(self, *, is_emptied: bool) -> None:
        self.is_there = False
        if is_emptied:
            self.redis.charge(-self.redis.owed(self.now), self.now)

    def come_back(self, lags: list[int], asked: list[tuple[int, int, int]]) -> None:
        """Each replica notices so many microseconds later; in between, things are asked for."""
        if self.is_there:
            return
        self.is_there = True
        for replica in self.replicas:
            self._begin(replica)
            for _, debt in replica.shares.debts(self.now):  # with the first good probe
                self.redis.charge(max(0, debt - self.redis.owed(self.now)), self.now)
        began = self.now
        for lag, replica in sorted(zip(lags, self.replicas, strict=False), key=lambda pair: pair[0]):
            self.now = began + lag
            for each in asked:
                self.ask(*each)
            self._return(replica)

    def _begin(self, replica: Replica) -> None:
        if not replica.is_away:
            replica.is_away = True
            replica.shares.begin(len(self.replicas), self.now)

    def _return(self, replica: Replica) -> None:
        for _, amount in replica.shares.dues(self.now):
            self.redis.charge(amount * MICRO, self.now)
        replica.is_away = False
        replica.within_share_until = self.now + micro(MARGIN)
        replica.shares.end(replica.within_share_until)

    def _ask(self, replica: Replica, cost: int) -> bool:
        if not self.is_there:
            self._begin(replica)
        if replica.is_away:
            return self._ask_share(replica, cost, charged=False)
        if self.now < replica.within_share_until and not self._ask_share(replica, cost, charged=True):
            return False
        owed = self.redis.owed(self.now)
        fits = self.rate.fits(owed, cost * MICRO)
        if fits:
            self.redis.charge(cost * MICRO, self.now)
        elif self.now < replica.within_share_until:
            replica.shares.spend(self.demand, self.rate, -cost, self.now, charged=True)
        replica.shares.saw(self.demand, self.rate.seconds_to_pay(self.redis.owed(self.now)), self.now)
        return fits

    def _ask_share(self, replica: Replica, cost: int, *, charged: bool) -> bool:
        level = replica.shares.level(self.demand, self.rate, self.now)
        fits = replica.shares.part(self.rate, cost * MICRO).fits(level, cost * MICRO)
        if fits:
            replica.shares.spend(self.demand, self.rate, cost, self.now, charged=charged)
        return fits


REPLICAS: Final = st.integers(1, 5)
PASSING: Final = st.one_of(st.integers(0, micro(1)), st.integers(0, micro(120)))
ASKING: Final = st.tuples(st.integers(0, 4), st.integers(1, 40), st.sampled_from([1, 3, 30, 1000]))
STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), PASSING),
        st.tuples(st.just("ask"), ASKING),
        st.tuples(st.just("ask"), ASKING),
        st.tuples(st.just("lose"), st.booleans()),
        st.tuples(
            st.just("back"),
            st.lists(st.integers(0, micro(MARGIN)), min_size=5, max_size=5),
            st.lists(ASKING, max_size=3),
        ),
    ),
    min_size=10,
    max_size=60,
)


def happens(world: World, steps: list[tuple]) -> None:
    for kind, *what in steps:
        match kind:
            case "pass":
                world.now += what[0]
            case "ask":
                world.ask(*what[0])
            case "lose":
                world.lose(is_emptied=what[0])
            case "back":
                world.come_back(*what)


@given(REPLICAS, st.sampled_from([400, 4000]), st.sampled_from([1.0, 10.0, 60.0, 3600.0]), STEPS)
@settings(max_examples=200)
def test_no_span_lets_through_more_than_105_percent_of_the_size_and_what_is_paid_back(
    replicas: int, size: int, seconds: float, steps: list[tuple]
) -> None:
    limit = replace(TOKENS, amount=400, seconds=seconds, burst=size)
    world = World(demand_on(limit), [Replica(Shares(margin=MARGIN)) for _ in range(replicas)])
    happens(world, steps)
    assert world.most <= size * MICRO * 105 // 100


def everything_asked(replicas: int) -> list[tuple[int, int, int]]:
    return [(number, 5, 1000) for number in range(replicas)]


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize("away", [0.3, 59.0, 200.0])
@pytest.mark.parametrize("there", [0.0, 0.2, 30.0])
@pytest.mark.parametrize("is_emptied", [False, True])
def test_however_often_it_comes_and_goes_under_full_load(
    replicas: int, away: float, there: float, is_emptied: bool
) -> None:
    world = World(DEMAND, [Replica(Shares(margin=MARGIN)) for _ in range(replicas)])
    lags = [micro(0.1) * number for number in range(replicas)]

    def load(seconds: float) -> None:
        until = world.now + micro(seconds)
        while True:
            for asked in everything_asked(replicas):
                world.ask(*asked)
            if world.now >= until:
                return
            world.now = min(until, world.now + micro(max(0.1, seconds / 7)))

    for _ in range(8):
        load(there)
        world.lose(is_emptied=is_emptied)
        load(away)
        world.come_back(lags, everything_asked(replicas))
    assert world.most <= RATE.size * 1025 // 1000 + MICRO
    assert world.most >= RATE.size - 5 * MICRO


class TestWhatIsRemembered:
    """A Redis that loses everything, and is asked before anybody notices, seems to owe nothing."""

    def test_what_an_emptied_redis_tells_does_not_count(self) -> None:
        shares = Shares(margin=0.0)
        shares.saw(DEMAND, reset=50.0, now=MICRO)
        shares.confirm()
        shares.saw(DEMAND, reset=0.1, now=2 * MICRO)
        shares.saw(DEMAND, reset=0.2, now=2 * MICRO)
        ((_, debt),) = shares.debts(2 * MICRO)
        assert debt == pytest.approx(49 * MICRO * DEMAND.limit.amount / 60)

    def test_what_was_told_before_a_beat_is_forgotten_for_what_came_after(self) -> None:
        shares = Shares(margin=0.0)
        shares.saw(DEMAND, reset=50.0, now=MICRO)
        shares.confirm()
        shares.saw(DEMAND, reset=10.0, now=2 * MICRO)
        shares.confirm()
        shares.saw(DEMAND, reset=5.0, now=3 * MICRO)
        ((_, debt),) = shares.debts(3 * MICRO)
        assert debt == pytest.approx(9 * MICRO * DEMAND.limit.amount / 60)
