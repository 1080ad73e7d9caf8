"""The token bucket, whatever is asked of it and when."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.policy import Counted, Limit, Scope
from gateway.limits.bucket import MICRO, MOST_DEBT, Rate, rate_of, settled

LIMIT = Limit("requests", Counted.REQUESTS, (Scope.TEAM,), 60, 60.0, 10)

limits = st.builds(
    lambda amount, seconds, burst: replace(LIMIT, amount=amount, seconds=float(seconds), burst=burst),
    st.integers(1, 10**6),
    st.integers(1, 86_400),
    st.integers(1, 10**6),
)
asks = st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**4)), min_size=1, max_size=60)
"""Microseconds since the ask before, and whole tokens."""


def admitted(rate: Rate, asks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Time and tokens of every ask that fits, in order."""
    debt, at, now, passed = 0, 0, 0, []
    for pause, tokens in asks:
        now += pause
        left = rate.owed(debt, at, now)
        if tokens and rate.fits(left, tokens * MICRO):
            debt, at = left + tokens * MICRO, now
            passed.append((now, tokens))
    return passed


@given(limits, asks)
def test_no_window_ever_holds_more_than_the_burst_and_what_time_pays(
    limit: Limit, asks: list[tuple[int, int]]
) -> None:
    passed = admitted(rate_of(limit), asks)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            tokens = sum(tokens for _, tokens in passed[first : last + 1])
            elapsed = passed[last][0] - passed[first][0]
            window = round(limit.seconds * MICRO)
            assert tokens * window <= limit.burst * window + limit.amount * elapsed


@given(limits, st.integers(0, 10**15), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_debt_never_grows_by_waiting(limit: Limit, debt: int, sooner: int, longer: int) -> None:
    rate = rate_of(limit)
    early, late = sorted((sooner, longer))
    assert rate.owed(debt, 0, late) <= rate.owed(debt, 0, early) <= debt


@given(limits, st.integers(0, 10**15), st.lists(st.integers(0, 10**9), max_size=20))
def test_looking_often_pays_no_more_than_looking_once(limit: Limit, debt: int, pauses: list[int]) -> None:
    rate, often, now = rate_of(limit), debt, 0
    for pause in pauses:
        often, now = rate.owed(often, now, now + pause), now + pause
    once = rate.owed(debt, 0, now)
    assert once <= often <= once + len(pauses)


@given(limits, st.integers(1, 10**12), st.integers(1, 10**6))
def test_it_fits_when_the_time_that_was_told_has_passed(limit: Limit, short: int, tokens: int) -> None:
    rate, cost = rate_of(limit), min(tokens, limit.burst) * MICRO
    debt = rate.size - cost + short
    wait = round(rate.seconds_until_fits(debt, cost) * MICRO)
    assume(wait < 2**50)
    assert rate.fits(rate.owed(debt, 0, wait), cost)
    assert not rate.fits(rate.owed(debt, 0, wait - 2), cost)


@given(limits, st.integers(0, 10**12))
def test_it_is_full_when_the_time_that_was_told_has_passed(limit: Limit, debt: int) -> None:
    rate = rate_of(limit)
    full_in = round(rate.seconds_to_pay(debt) * MICRO)
    assume(full_in < 2**50)
    assert rate.owed(debt, 0, full_in) == 0


@given(limits)
def test_a_full_bucket_takes_its_burst_one_by_one(limit: Limit) -> None:
    rate = rate_of(replace(limit, burst=min(limit.burst, 50)))
    asks = [(0, 1)] * 51
    assert len(admitted(rate, asks)) == min(limit.burst, 50)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_settling_what_was_held_changes_nothing(debt: int, held: int, spent: int) -> None:
    assert settled(debt, held, held) == debt
    assert settled(debt + held, held, 0) == debt
    assert settled(debt + held, held, spent) == debt + spent


def test_a_refund_makes_no_bucket_fuller_than_full() -> None:
    assert settled(5, held=10, spent=0) == 0


def test_debts_have_a_bound() -> None:
    assert settled(MOST_DEBT, held=0, spent=10**18) == MOST_DEBT


def test_a_clock_that_goes_back_pays_nothing() -> None:
    assert rate_of(LIMIT).owed(5 * MICRO, 1_000_000, 0) == 5 * MICRO


@pytest.mark.parametrize(
    ("debt", "left"), [(0, 10), (1, 9), (MICRO, 9), (MICRO + 1, 8), (10 * MICRO, 0), (11 * MICRO, 0)]
)
def test_remaining_counts_whole_tokens(debt: int, left: int) -> None:
    assert rate_of(LIMIT).remaining(debt) == left


@pytest.mark.parametrize(
    ("debt", "seconds"), [(0, 0.0), (-5, 0.0), (MICRO, 1.0), (1, 1e-6), (90 * MICRO, 90.0)]
)
def test_the_time_to_pay_is_exact_to_the_microsecond(debt: int, seconds: float) -> None:
    assert rate_of(LIMIT).seconds_to_pay(debt) == seconds


@pytest.mark.parametrize(
    ("amount", "seconds", "gain", "per"),
    [
        (60, 60.0, 1, 1),
        (1, 60.0, 1, 60),
        (150_000_000, 60.0, 2_500_000, 1),
        (7, 0.5, 14, 1),
        (3, 86_400.0, 1, 28_800),
    ],
)
def test_a_rate_is_kept_in_lowest_terms(amount: int, seconds: float, gain: int, per: int) -> None:
    rate = rate_of(replace(LIMIT, amount=amount, seconds=seconds))
    assert (rate.gain, rate.per) == (gain, per)


@pytest.mark.parametrize("seconds", [1, 7, 60, 3600, 86_400, 31 * 86_400])
@pytest.mark.parametrize("amount", [1, 999_999_937, 10**9])
def test_within_its_bounds_no_number_passes_what_lua_counts_exactly(amount: int, seconds: int) -> None:
    rate = rate_of(replace(LIMIT, amount=amount, burst=amount, seconds=float(seconds)))
    assert rate.gain * rate.per < 2**53
    assert rate.size < MOST_DEBT
