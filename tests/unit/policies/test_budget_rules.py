"""Facts about `gateway/policies/budget_rules.py`."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Counted, Increase, Period, Scope
from gateway.policies.budget_rules import BudgetSpelling
from gateway.policies.counting import UNITS

REQUESTS: dict[str, Any] = {"per": "team", "requests": 5, "every": "day"}


def spelled(**rule: Any) -> Any:
    return TypeAdapter(BudgetSpelling).validate_python(rule)


def compiled(**rule: Any) -> tuple[Budget, ...]:
    return spelled(**rule).compiled("it")  # type: ignore[no-any-return]


def until(text: str, zone: str = "UTC") -> datetime:
    """The moment at which an increase ends."""
    budget = compiled(**REQUESTS, zone=zone, increases=[{"requests": 1, "until": text}])[0]
    return datetime.fromtimestamp(budget.increases[0].until, UTC)


def test_a_budget_is_enforced_by_the_calendar_of_utc_unless_it_says_otherwise() -> None:
    expected = Budget(
        name="it",
        counts=Counted.DOLLARS,
        per=(Scope.TEAM,),
        amount=2_000_000_000,
        period=Period.MONTH,
        zone="UTC",
        mode=Mode.ENFORCE,
        models=("*",),
        strict=False,
        alert_at=(80, 100),
        increases=(),
    )

    assert compiled(per="team", dollars=2_000, every="month") == (expected,)


def test_everything_can_be_said() -> None:
    budget = compiled(
        per=["model", "user"],
        output_tokens=10**12,
        every="week",
        zone="Europe/Berlin",
        mode="warn",
        models=["gpt-*"],
        strict=True,
        alert_at=[1, 50, 100],
        increases=[{"output_tokens": 7, "until": "2026-12-24", "reason": "launch week"}],
    )[0]

    assert budget == Budget(
        name="it",
        counts=Counted.OUTPUT_TOKENS,
        per=(Scope.USER, Scope.MODEL),
        amount=10**12,
        period=Period.WEEK,
        zone="Europe/Berlin",
        mode=Mode.WARN,
        models=("gpt-*",),
        strict=True,
        alert_at=(1, 50, 100),
        increases=(Increase(7, int(datetime(2026, 12, 23, 23, tzinfo=UTC).timestamp())),),
    )


@pytest.mark.parametrize(
    ("dollars", "micro"),
    [
        (2_000, 2_000_000_000),
        (0.000001, 1),
        ("0.10", 100_000),
        (1234.567891, 1_234_567_891),
        (10**9, 10**15),
        (999_999_999.999999, 10**15 - 1),
    ],
)
def test_dollars_become_whole_micro_dollars(dollars: Any, micro: int) -> None:
    budget = compiled(
        per="team", dollars=dollars, every="day", increases=[{"dollars": dollars, "until": "2026-12-24"}]
    )[0]

    assert (budget.amount, budget.increases[0].amount) == (micro, micro)


@pytest.mark.parametrize("unit", UNITS)
def test_a_budget_counts_any_unit(unit: str) -> None:
    budget = compiled(per="key", every="month", **{unit: 9, "increases": [{unit: 4, "until": "2026-12-24"}]})[
        0
    ]

    assert (budget.counts, budget.amount, budget.increases[0].amount) == (unit, 9, 4)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-12-24", "UTC", datetime(2026, 12, 24, tzinfo=UTC)),
        ("2026-12-24", "Europe/Berlin", datetime(2026, 12, 23, 23, tzinfo=UTC)),
        ("2026-07-01", "Europe/Berlin", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("2026-12-24T18:00", "Europe/Berlin", datetime(2026, 12, 24, 17, tzinfo=UTC)),
        ("2026-12-24 18:00:30", "Asia/Kolkata", datetime(2026, 12, 24, 12, 30, 30, tzinfo=UTC)),
        ("2026-12-24T18:00Z", "Europe/Berlin", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24T18:00-05:00", "Europe/Berlin", datetime(2026, 12, 24, 23, tzinfo=UTC)),
        ("2026-04-24", "Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
        ("1999-01-01", "UTC", datetime(1999, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_an_increase_ends_at_a_moment_of_its_budgets_calendar(text: str, zone: str, moment: datetime) -> None:
    """In Cairo the day begins at one o'clock on 24 April 2026: clocks go forward at midnight."""
    assert until(text, zone) == moment


@pytest.mark.parametrize(
    "text",
    [
        "Christmas",
        "",
        "2026-12",
        "2026-W52-4",
        "20261224",
        "2026-02-29",
        "2026-12-24T",
        "2026-12-24T18",
        "2026-12-24T24:00",
        "2026-12-24T18:00 CET",
        "2026-12-24\n",
        "0000-01-01",
        20261224,
        None,
        datetime(2026, 12, 24, tzinfo=UTC),
    ],
)
def test_what_is_no_date_ends_nothing(text: Any) -> None:
    with pytest.raises(ValidationError):
        until(text)


def test_the_last_moment_that_can_be_written_is_one() -> None:
    assert until("9999-12-31T23:59", "Asia/Tokyo") == datetime(9999, 12, 31, 14, 59, tzinfo=UTC)


def test_a_budget_that_is_off_is_no_budget() -> None:
    assert compiled(**REQUESTS, mode="off") == ()
    assert compiled(mode="off") == ()


def test_nobody_has_to_be_told() -> None:
    assert compiled(**REQUESTS, alert_at=[])[0].alert_at == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"dollars": 5, "every": "day"},
        {"per": "team", "dollars": 5},
        {"per": "team", "every": "day"},
        {"per": "team", "dollars": 5, "every": "year"},
        {"per": "team", "dollars": 5, "every": "hour"},
        {"per": "team", "dollars": 5, "tokens": 5, "every": "day"},
        {"per": "team", "concurrent": 5, "every": "day"},
        {"per": "team", "dollars": 0, "every": "day"},
        {"per": "team", "dollars": -1, "every": "day"},
        {"per": "team", "dollars": 0.0000001, "every": "day"},
        {"per": "team", "dollars": 10**9 + 1, "every": "day"},
        {"per": "team", "dollars": float("nan"), "every": "day"},
        {"per": "team", "dollars": float("inf"), "every": "day"},
        {"per": "team", "dollars": True, "every": "day"},
        {"per": "team", "dollars": "five", "every": "day"},
        {"per": "team", "requests": 0, "every": "day"},
        {"per": "team", "requests": 1.5, "every": "day"},
        {"per": "team", "requests": True, "every": "day"},
        {"per": "team", "requests": 10**12 + 1, "every": "day"},
        {**REQUESTS, "per": ["organization", "team"]},
        {**REQUESTS, "zone": "Europe/Berln"},
        {**REQUESTS, "zone": "../etc/passwd"},
        {**REQUESTS, "zone": ""},
        {**REQUESTS, "burst": 5},
        {**REQUESTS, "strict": "yes"},
        {**REQUESTS, "strict": 1},
        {**REQUESTS, "models": []},
        {**REQUESTS, "alert_at": 80},
        {**REQUESTS, "alert_at": [0]},
        {**REQUESTS, "alert_at": [101]},
        {**REQUESTS, "alert_at": [80, 50]},
        {**REQUESTS, "alert_at": [80, 80]},
        {**REQUESTS, "alert_at": [0.5]},
        {**REQUESTS, "increases": [{"requests": 5}]},
        {**REQUESTS, "increases": [{"until": "2026-12-24"}]},
        {**REQUESTS, "increases": [{"tokens": 5, "until": "2026-12-24"}]},
        {**REQUESTS, "increases": [{"requests": 5, "tokens": 5, "until": "2026-12-24"}]},
        {**REQUESTS, "increases": [{"requests": 0, "until": "2026-12-24"}]},
        {**REQUESTS, "increases": [{"requests": 5, "until": "2026-12-24", "reason": 5}]},
        {**REQUESTS, "increases": {"requests": 5, "until": "2026-12-24"}},
    ],
    ids=str,
)
def test_an_impossible_budget_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compiled(**rule)


def test_those_who_share_a_budget_must_go_by_one_calendar() -> None:
    budget = spelled(**REQUESTS, zone="Europe/Berlin", models=["gpt-*"], mode="warn")

    assert budget.pace == {"every": Period.DAY, "zone": "Europe/Berlin", "models": ("gpt-*",)}
