"""Facts about `gateway/policies/limit_rules.py`."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.decision import Mode
from gateway.core.policy import Counted, Limit, Scope
from gateway.policies.counting import UNITS
from gateway.policies.limit_rules import LimitSpelling

MOST = 10**9


def spelled(**rule: Any) -> Any:
    return TypeAdapter(LimitSpelling).validate_python(rule)


def compiled(**rule: Any) -> tuple[Limit, ...]:
    return spelled(**rule).compiled("it")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("every", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)]
)
def test_a_window_is_named_in_words(every: str, seconds: float) -> None:
    assert compiled(per="team", tokens=5, every=every)[0].seconds == seconds


def test_a_rate_comes_back_over_a_minute_unless_it_says_otherwise() -> None:
    expected = Limit(
        name="it", counts=Counted.REQUESTS, per=(Scope.KEY,), amount=9, seconds=60, burst=9, models=("*",)
    )

    assert compiled(per="key", requests=9) == (expected,)


@pytest.mark.parametrize("unit", UNITS)
def test_a_rate_counts_any_unit(unit: str) -> None:
    limit = compiled(per=["user", "model"], **{unit: 9})[0]

    assert (limit.counts, limit.per, limit.amount, limit.burst) == (unit, (Scope.USER, Scope.MODEL), 9, 9)


def test_a_burst_may_be_smaller_or_larger_than_the_amount() -> None:
    assert [compiled(per="team", tokens=5, burst=burst)[0].burst for burst in (1, 50)] == [1, 50]


def test_what_buckets_can_count_exactly_can_be_said() -> None:
    limit = compiled(per="team", tokens=MOST, burst=MOST)[0]

    assert (limit.amount, limit.burst) == (MOST, MOST)


def test_a_concurrency_limit_has_slots_only() -> None:
    limit = compiled(per="model", concurrent=20, models=["gpt-4o*"], mode="warn")[0]

    assert (limit.counts, limit.per, limit.amount) == (Counted.CONCURRENT, (Scope.MODEL,), 20)
    assert (limit.models, limit.mode, limit.burst) == (("gpt-4o*",), Mode.WARN, 0)


def test_a_limit_that_is_off_is_no_limit() -> None:
    assert compiled(per="team", tokens=5, mode="off") == ()
    assert compiled(mode="off") == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"tokens": 5},
        {"per": "team"},
        {"per": "team", "tokens": 5, "requests": 5},
        {"per": "team", "tokens": 5, "concurrent": 5},
        {"per": "team", "dollars": 5},
        {"per": "team", "words": 5},
        {"per": "team", "tokens": 0},
        {"per": "team", "tokens": -1},
        {"per": "team", "tokens": True},
        {"per": "team", "tokens": "5"},
        {"per": "team", "tokens": 1.0},
        {"per": "team", "tokens": MOST + 1},
        {"per": "team", "concurrent": MOST + 1},
        {"per": "team", "tokens": 5, "burst": 0},
        {"per": "team", "tokens": 5, "burst": -5},
        {"per": "team", "tokens": 5, "burst": MOST + 1},
        {"per": "team", "tokens": 5, "every": "week"},
        {"per": "team", "tokens": 5, "every": 0},
        {"per": "team", "tokens": 5, "models": []},
        {"per": "team", "concurrent": 5, "every": "minute"},
        {"per": "team", "concurrent": 5, "burst": 5},
        {"per": "team", "mode": "off"},
        {"per": ["organization", "team"], "tokens": 5},
    ],
)
def test_an_impossible_limit_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compiled(**rule)


@pytest.mark.parametrize(
    ("rule", "pace"),
    [
        ({"tokens": 5, "every": "day", "burst": 2}, {"tokens": 5, "every": "day"}),
        ({"concurrent": 5}, {}),
    ],
)
def test_those_who_share_a_bucket_must_fill_it_alike(rule: dict[str, Any], pace: dict[str, Any]) -> None:
    assert spelled(per="team", **rule).pace == pace
