"""When budgets begin anew, in the zones that people live in; and what fits until then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.policy import Increase, Period
from gateway.limits.budget import (
    Edges,
    State,
    carried,
    crossed,
    edges_of,
    holds_until,
    start_at,
    window_of,
)
from tests.unit.limits.conftest import DOLLARS

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Pacific/Kiritimati"),
    *("Pacific/Pago_Pago", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu"),
    # Their clocks go forward or back at midnight, or across it.
    *("Africa/Cairo", "America/Asuncion", "America/Havana", "America/Santiago", "America/Nuuk"),
    *("Asia/Beirut", "Asia/Gaza", "Atlantic/Azores", "America/Scoresbysund"),
    # Ramadan: forward and back twice a year.
    *("Africa/Casablanca",),
)
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2024, 2050))

zones = st.sampled_from(ZONES)
periods = st.sampled_from(Period)
moments = st.floats(FIRST, LAST)


def transitions(zone: str) -> list[int]:
    """The moments of some years at which the zone's clocks are put forward or back."""
    tz = ZoneInfo(zone)
    offset = [
        datetime.fromtimestamp(hour, tz).utcoffset() for hour in range(FIRST, FIRST + 6 * 31_622_400, 1800)
    ]
    return [FIRST + 1800 * at for at in range(1, len(offset)) if offset[at] != offset[at - 1]]


TRANSITIONS = {zone: found for zone in ZONES if (found := transitions(zone))}
around_transitions = st.sampled_from(sorted(TRANSITIONS)).flatmap(
    lambda zone: st.tuples(
        st.just(zone), st.sampled_from(TRANSITIONS[zone]), st.integers(-90_000, 90_000) | st.integers(-2, 2)
    )
)


def at(text: str, zone: str = "UTC") -> int:
    """The moment of which that zone's clocks first say this."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def edges(period: Period, zone: str, now: str) -> list[str]:
    """The edges as that zone's clocks say them. `now`: in UTC."""
    found = edges_of(period, zone, at(now))
    return [datetime.fromtimestamp(edge, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") for edge in found]


def check(period: Period, zone: str, now: float) -> None:
    """What is true of every moment of every calendar."""
    last, this, following, after = found = edges_of(period, zone, now)
    assert last < this <= now < following < after
    assert edges_of(period, zone, this) == edges_of(period, zone, following - 1) == found, (
        "one window, one answer"
    )
    assert edges_of(period, zone, this - 1)[1:3] == (last, this), "the last window ends where this one begins"
    assert edges_of(period, zone, following)[:3] == (this, following, after), "and the next one follows"
    assert calendar(period, zone, now) == calendar(period, zone, this)
    assert calendar(period, zone, this) != calendar(period, zone, this - 1)


def calendar(period: Period, zone: str, now: float) -> tuple[int, ...]:
    """The day, week or month that the wall calendar shows: counted in another way than the code does."""
    date = datetime.fromtimestamp(int(now), ZoneInfo(zone)).date()
    match period:
        case Period.DAY:
            return (date.toordinal(),)
        case Period.WEEK:
            return tuple(date.isocalendar())[:2]
        case Period.MONTH:
            return date.year, date.month


class TestEdges:
    @given(periods, zones, moments)
    def test_windows_follow_the_calendar_without_a_gap(self, period: Period, zone: str, now: float) -> None:
        check(period, zone, now)

    def test_the_last_moment_of_a_window_is_not_rounded_into_the_next(self) -> None:
        check(Period.DAY, "UTC", at("2050-01-01T00:00") - 0.0000005)

    @given(periods, around_transitions)
    def test_so_they_do_where_clocks_are_put_forward_or_back(
        self, period: Period, place: tuple[str, int, int]
    ) -> None:
        zone, transition, seconds = place
        check(period, zone, transition + seconds)

    @pytest.mark.parametrize(
        ("period", "now", "expected"),
        [
            (Period.DAY, "2026-12-31T12:00", ["12-30", "12-31", "01-01", "01-02"]),
            (Period.WEEK, "2026-12-31T12:00", ["12-21", "12-28", "01-04", "01-11"]),
            (Period.WEEK, "2026-12-28T00:00", ["12-21", "12-28", "01-04", "01-11"]),
            (Period.WEEK, "2026-12-27T23:59:59", ["12-14", "12-21", "12-28", "01-04"]),
            (Period.MONTH, "2026-12-31T23:59:59", ["11-01", "12-01", "01-01", "02-01"]),
            (Period.MONTH, "2027-01-01T00:00", ["12-01", "01-01", "02-01", "03-01"]),
            (Period.MONTH, "2028-02-29T12:00", ["01-01", "02-01", "03-01", "04-01"]),
            (Period.DAY, "2028-02-29T12:00", ["02-28", "02-29", "03-01", "03-02"]),
        ],
    )
    def test_the_ends_of_weeks_months_years(self, period: Period, now: str, expected: list[str]) -> None:
        assert [edge[5:10] for edge in edges(period, "UTC", now)] == expected

    def test_a_day_begins_at_midnight_of_the_zone(self) -> None:
        assert edges(Period.DAY, "Europe/Berlin", "2026-07-01T22:30")[1] == "2026-07-02 00:00"
        assert edges(Period.DAY, "Asia/Kolkata", "2026-07-01T18:30")[1] == "2026-07-02 00:00"

    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [
            ("Europe/Berlin", "2026-03-29T12:00", 23),
            ("Europe/Berlin", "2026-10-25T12:00", 25),
            ("Africa/Cairo", "2026-04-24T12:00", 23),
            ("Africa/Cairo", "2026-10-29T12:00", 25),
            ("Australia/Lord_Howe", "2026-10-03T20:00", 23.5),
        ],
    )
    def test_a_day_lasts_as_long_as_it_does(self, zone: str, day: str, hours: float) -> None:
        _, begun, ends, _ = edges_of(Period.DAY, zone, at(day))
        assert (ends - begun) / 3600 == hours

    def test_a_day_without_a_midnight_begins_with_its_first_moment(self) -> None:
        assert edges(Period.DAY, "Africa/Cairo", "2026-04-24T12:00")[1:3] == [
            "2026-04-24 01:00",
            "2026-04-25 00:00",
        ]

    def test_a_day_with_two_midnights_begins_with_the_first(self) -> None:
        begun = edges_of(Period.DAY, "America/Havana", at("2026-11-01T12:00"))[1]
        assert begun == at("2026-11-01T00:00", "America/Havana")
        assert (
            datetime.fromtimestamp(begun + 3600, ZoneInfo("America/Havana")).strftime("%d %H:%M")
            == "01 00:00"
        )

    def test_a_day_that_begins_twice_is_not_begun_again(self) -> None:
        zone, first = "America/St_Johns", at("2009-11-01T00:00", "America/St_Johns")
        assert datetime.fromtimestamp(first + 60, ZoneInfo(zone)).strftime("%d %H:%M") == "31 23:01"
        assert start_at(edges_of(Period.DAY, zone, first - 1), first)[0] == first
        assert start_at(edges_of(Period.DAY, zone, first + 60), first + 60)[0] == first


EDGES: Edges = (1000, 2000, 3000, 4000)


class TestWindow:
    def test_increases_add_up_until_they_end(self) -> None:
        more = replace(
            DOLLARS, amount=100, increases=(Increase(20, 1_800_000_000), Increase(3, 1_800_000_100))
        )
        amounts = [window_of(more, 1_800_000_000 + later).amount for later in (-0.001, 0, 99.9, 100)]
        assert amounts == [123, 103, 103, 100]

    def test_the_edges_are_those_of_the_budget_s_zone(self) -> None:
        budget = replace(DOLLARS, period=Period.WEEK, zone="Asia/Tokyo")
        assert window_of(budget, FIRST).edges == edges_of(Period.WEEK, "Asia/Tokyo", FIRST)

    @given(moments, st.lists(st.builds(Increase, st.integers(1, 9), st.integers(FIRST, LAST)), max_size=3))
    def test_it_holds_until_it_does_not(self, now: float, increases: list[Increase]) -> None:
        budget = replace(DOLLARS, increases=tuple(increases))
        window = window_of(budget, now)
        until = holds_until(budget, window, now)
        assert now < until
        assert window_of(budget, until - 0.001) == window
        assert window_of(budget, until) != window


class TestStart:
    @pytest.mark.parametrize(
        ("now", "start", "before"),
        [
            (2000, 2000, 1000),
            (2999.9, 2000, 1000),
            (3000, 3000, 2000),
            (3999, 3000, 2000),
            (4000, 4000, 3000),
            (1999.9, 1000, None),
        ],
    )
    def test_the_edges_tell_the_window_of_another_clock(
        self, now: float, start: int, before: int | None
    ) -> None:
        assert start_at(EDGES, now) == (start, before)

    @given(periods, zones, st.integers(FIRST, LAST), st.integers(-3600, 3600))
    def test_clocks_that_differ_agree_on_the_window(
        self, period: Period, zone: str, now: int, ahead: int
    ) -> None:
        """A replica whose clock is wrong by some minutes hands edges to a store whose clock is right."""
        assert start_at(edges_of(period, zone, now + ahead), now)[0] == edges_of(period, zone, now)[1]


class TestCarried:
    STATE = State(2000, spent=70, held=20, set_aside=5)

    def test_in_its_window_a_state_is_as_it_is(self) -> None:
        assert carried(self.STATE, EDGES, 2500) == self.STATE

    def test_in_the_next_window_nothing_is_spent_and_holds_go_on(self) -> None:
        assert carried(self.STATE, EDGES, 3000) == State(3000, 0, held=20, set_aside=5)

    def test_the_edges_of_the_next_window_say_the_same(self) -> None:
        assert carried(self.STATE, (2000, 3000, 4000, 5000), 3000) == carried(self.STATE, EDGES, 3000)

    def test_edges_of_a_clock_that_is_ahead_begin_no_window_early(self) -> None:
        assert carried(self.STATE, (2000, 3000, 4000, 5000), 2999) == self.STATE

    def test_a_window_that_has_begun_is_not_left_by_a_clock_that_is_put_back(self) -> None:
        assert carried(self.STATE, EDGES, 1999) == self.STATE

    @pytest.mark.parametrize(
        ("start", "now"),
        [(1000, 3500), (500, 2500), (1500, 2500), (3000, 2500), (9000, 2500)],
        ids=["two windows ago", "long ago", "another zone's", "of a clock ahead", "of a clock far ahead"],
    )
    def test_a_state_of_another_window_says_nothing(self, start: int, now: int) -> None:
        assert carried(State(start, 70), EDGES, now) is None

    def test_what_is_not_known_stays_unknown(self) -> None:
        assert carried(None, EDGES, 2500) is None


class TestFits:
    @pytest.mark.parametrize(
        ("state", "cost", "fits", "without_slices", "without_holds"),
        [
            (State(0, spent=60, held=30), 10, True, True, True),
            (State(0, spent=60, held=30), 11, False, False, True),
            (State(0, spent=60, held=30), 40, False, False, True),
            (State(0, spent=60, held=30), 41, False, False, False),
            (State(0, spent=60, held=30, set_aside=5), 15, False, True, True),
            (State(0, spent=60, held=30, set_aside=5), 16, False, False, True),
            (State(0, spent=500), 0, True, False, False),
            (State(0), 100, True, True, True),
            (State(0), 101, False, False, False),
        ],
    )
    def test_what_is_spent_held_and_asked_for_is_no_more_than_the_amount(
        self, state: State, cost: int, fits: bool, without_slices: bool, without_holds: bool
    ) -> None:
        assert state.fits(cost, 100) == fits
        assert state.fits_without_slices(cost, 100) == without_slices
        assert state.fits_without_holds(cost, 100) == without_holds


class TestCrossed:
    @pytest.mark.parametrize(
        ("before", "after", "thresholds"),
        [
            (0, 499, []),
            (0, 500, [50]),
            (499, 500, [50]),
            (500, 501, []),
            (0, 1000, [50, 80, 100]),
            (799, 2000, [80, 100]),
            (1000, 1001, []),
            (700, 700, []),
        ],
    )
    def test_a_threshold_is_crossed_by_reaching_it(
        self, before: int, after: int, thresholds: list[int]
    ) -> None:
        assert crossed(before, after, 1000, (50, 80, 100)) == thresholds

    @given(
        st.lists(st.integers(0, 40), max_size=30),
        st.lists(st.integers(1, 200), unique=True),
        st.integers(1, 99),
    )
    def test_each_is_crossed_once_however_it_was_spent(
        self, charges: list[int], percents: list[int], amount: int
    ) -> None:
        spent, told = 0, []
        for charge in charges:
            told += crossed(spent, spent + charge, amount, percents)
            spent += charge
        assert sorted(told) == sorted(percent for percent in percents if spent * 100 >= percent * amount)


def test_a_year_of_days_is_a_chain() -> None:
    now, seen = at("2026-01-01T00:00"), []
    while now < at("2027-01-01T00:00"):
        _, begun, now, _ = edges_of(Period.DAY, "Europe/Berlin", now)
        seen.append(begun)
    assert len(set(seen)) == 366, "the last day of 2025 has still an hour to go"
    assert timedelta(seconds=now - seen[0]) == timedelta(days=366)
