"""Facts about `gateway/shaping/clamp.py`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import REMOVED
from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.clamp import clamp

ANYONE = Principal("s", "t", "k", "n")


def rule(at_least: float | None = None, at_most: float | None = None) -> ShapingRule:
    return ShapingRule("few", ShapingKind.CLAMP, member="n", at_least=at_least, at_most=at_most)


@pytest.mark.parametrize(
    ("value", "clamped"),
    [
        (9, 4),
        (4.5, 4),
        ("9", 4),
        ("4.01", 4),
        (" 9 ", 4),
        ("1e9", 4),
        (10**30, 4),
        (0, 1),
        ("-3", 1),
        (0.5, 1),
    ],
)
def test_a_number_beyond_a_bound_becomes_the_bound(value: Any, clamped: float) -> None:
    change = clamp(rule(1, 4), value, ANYONE)

    assert change is not None
    assert (change.value, type(change.value)) == (clamped, int)


@pytest.mark.parametrize("value", [1, 4, 2, 1.0, 3.99, "2", "4.0"])
def test_a_number_within_the_bounds_stays(value: Any) -> None:
    assert clamp(rule(1, 4), value, ANYONE) is None


@pytest.mark.parametrize("value", [REMOVED, None, True, "many", "", [9], {"n": 9}, "9" * 50, "nan", "0x99"])
def test_what_is_absent_or_no_number_is_left_to_the_upstream(value: Any) -> None:
    assert clamp(rule(1, 4), value, ANYONE) is None


def test_the_note_says_both_numbers() -> None:
    change = clamp(rule(at_most=4096), 9000, ANYONE)

    assert change is not None
    assert (change.code, change.reason) == (
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        "`n` is 9000; by the rule it would be 4096.",
    )


bounds = st.one_of(st.none(), st.integers(-100, 100))


@given(bounds, bounds, st.one_of(st.integers(-200, 200), st.floats(-200, 200)))
def test_the_result_is_always_within_the_bounds(low: int | None, high: int | None, value: float) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low

    change = clamp(rule(low, high), value, ANYONE)

    result = value if change is None else change.value
    assert low is None or result >= low
    assert high is None or result <= high
    assert change is None or result != value
