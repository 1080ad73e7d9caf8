"""What is left, as tables for people."""

from typing import Any

import pytest

from gateway.cli.limits_table import print_limits
from gateway.core.decision import Mode
from gateway.core.policy import Scope
from gateway.limits.left import BudgetLeft, Held, Left, Raised, RateLeft, SlotsLeft, TeamLimits

COMMON: dict[str, Any] = {
    "per": (Scope.TEAM,),
    "models": ("*",),
    "mode": Mode.ENFORCE,
    "keys": (),
    "whose": {"team": "search"},
    "key_name": None,
    "unused": False,
}


def rate(**changes: Any) -> RateLeft:
    numbers = {
        "amount": 1_200,
        "left": 1_180,
        "burst": 1_200,
        "window_seconds": 60.0,
        "full_in_seconds": 1.04,
    }
    return RateLeft(**{**COMMON, **numbers, "limit": "team-requests", "unit": "requests", **changes})


def slots(**changes: Any) -> SlotsLeft:
    numbers = {"amount": 50, "taken": 2, "holders": ()}
    return SlotsLeft(**{**COMMON, **numbers, "limit": "team-slots", "unit": "concurrent", **changes})


def budget(**changes: Any) -> BudgetLeft:
    own: dict[str, Any] = {
        "limit": "team-month",
        "unit": "microdollars",
        "amount": 2_500_000_000,
        "spent": 1_640_204_000,
        "held": 3_120_000,
        "set_aside": 0,
        "left": 856_676_000,
        "percent": 65.6,
        "period": "month",
        "zone": "Europe/Berlin",
        "begins_at": "2026-11-01T00:00:00+01:00",
        "ends_at": "2026-12-01T00:00:00+01:00",
        "strict": False,
        "alert_at": (80,),
        "increases": (),
        "holders": (),
    }
    return BudgetLeft(**{**COMMON, **own, **changes})


def limits(*lefts: Left, **changes: Any) -> TeamLimits:
    asked = {"team": "search", "key": None, "user": None, "model": None, "at": "2026-11-20T14:03:05+00:00"}
    kinds = {
        name: tuple(left for left in lefts if isinstance(left, kind))
        for name, kind in (("rates", RateLeft), ("concurrency", SlotsLeft), ("budgets", BudgetLeft))
    }
    return TeamLimits(**{**asked, **kinds, "not_shown": 0, **changes})


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def printed(*lefts: Left, **changes: Any) -> list[str]:
        """The lines, without what makes them align."""
        print_limits(limits(*lefts, **changes))
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return printed


def test_it_says_what_was_asked_and_when(printed: Any) -> None:
    assert printed()[0] == "team search 2026-11-20 14:03 UTC"
    asked = printed(key="k1", user="alice", model="gpt-5")[0]
    assert asked == "team search, key k1, user alice, model gpt-5 2026-11-20 14:03 UTC"


def test_a_rate_has_its_row(printed: Any) -> None:
    _, _, title, heading, row = printed(rate())
    assert title == "Rates"
    assert heading == "limit whose left burst unit full in used"
    assert row == ("team-requests team search 1,180 1,200 requests, 1,200 a minute 1.0 s ░░░░░░░░░░ 1.7 %")


def test_requests_at_once_have_their_row(printed: Any) -> None:
    _, _, title, heading, row = printed(slots())
    assert (title, heading) == ("At once", "limit whose taken of used")
    assert row == "team-slots team search 2 50 ░░░░░░░░░░ 4.0 %"


def test_a_budget_has_its_row(printed: Any) -> None:
    _, _, title, heading, row = printed(budget())
    assert title == "Budgets"
    assert heading == "budget whose spent held set aside left of unit used begins anew"
    assert row == (
        "team-month team search 1,640.20 3.12 0.00 856.68 2,500.00 USD ██████░░░░ 65.6 % "
        "2026-12-01 00:00 Europe/Berlin"
    )


def test_a_small_budget_is_told_to_the_micro_dollar(printed: Any) -> None:
    row = printed(budget(amount=9_000_000, spent=1_230, held=15, left=8_998_755))[-1]
    assert "0.001230 0.000015 0.000000 8.998755 9.000000 USD" in row


def test_a_budget_of_tokens_is_in_whole_numbers(printed: Any) -> None:
    row = printed(budget(unit="output_tokens", amount=9_000, spent=7_000, held=0, left=2_000))[-1]
    assert "7,000 0 0 2,000 9,000 output tokens" in row


def test_holders_have_their_rows(printed: Any) -> None:
    lines = printed(
        slots(holders=(Held("req_1", 1, 11.2),)),
        budget(holders=(Held("req_1", 3_000_340, 11.2), Held("slice:r1:7", 100_000_000, 590.0))),
    )
    assert lines[-5:] == [
        "Held",
        "limit whose request amount unit lease ends in",
        "team-slots team search req_1 1 concurrent 11.2 s",
        "team-month team search req_1 3.000340 USD 11.2 s",
        "team-month team search set aside by a replica 100.000000 USD 9 min 50 s",
    ]


@pytest.mark.parametrize(
    ("percent", "bar"),
    [
        (0.0, "░░░░░░░░░░ 0.0 %"),
        (50.0, "█████░░░░░ 50.0 %"),
        (99.9, "█████████░ 99.9 %"),
        (100.0, "██████████ 100.0 %"),
        (1_234.5, "██████████ 1,234.5 %"),
    ],
)
def test_a_bar_is_full_when_all_is_spent(printed: Any, percent: float, bar: str) -> None:
    assert bar in printed(budget(percent=percent))[-1]


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({"whose": {}}, "all teams"),
        ({"whose": {"team": "search"}}, "team search"),
        ({"whose": {"team": "search", "user": "a", "model": "m"}}, "user a, model m"),
        ({"whose": {"team": "search", "key": "k1"}, "key_name": "web"}, "key web"),
        ({"whose": {"team": "search", "key": "k1"}}, "key k1"),
        ({"whose": {"team": "search", "model": None}}, "model (each)"),
    ],
)
def test_whose_it_is_is_told(printed: Any, changes: dict[str, Any], whose: str) -> None:
    assert printed(slots(**changes))[-1].startswith(f"team-slots {whose} 2 50")


@pytest.mark.parametrize(
    ("left", "remarks"),
    [
        (slots(unused=True), "unused"),
        (slots(mode=Mode.SHADOW), "shadow"),
        (slots(models=("gpt-5*", "o3")), "only gpt-5*, o3"),
        (slots(keys=("web", "batch")), "for key web, batch"),
        (budget(strict=True), "strict, Europe/Berlin"),
        (
            budget(increases=(Raised(500_000_000, "2026-12-24T00:00:00+01:00"),), mode=Mode.WARN),
            "+500.00 until 2026-12-24 00:00, Europe/Berlin, warn",
        ),
    ],
)
def test_what_is_unusual_is_remarked(printed: Any, left: Left, remarks: str) -> None:
    assert printed(left)[-1].endswith(remarks)


@pytest.mark.parametrize(
    ("seconds", "span"),
    [
        (0.0, "0.0 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min 0 s"),
        (60.0, "1 min 0 s"),
        (3_599.9, "1 h 0 min"),
        (93_784.0, "26 h 3 min"),
    ],
)
def test_a_span_is_told_in_its_largest_units(printed: Any, seconds: float, span: str) -> None:
    assert f" {span} ░" in printed(rate(full_in_seconds=seconds))[-1]


def test_a_window_of_no_name_is_told_in_seconds(printed: Any) -> None:
    assert "1,200 a 90 s" in printed(rate(window_seconds=90.0))[-1]


@pytest.mark.parametrize("name", ["[red]alice[/]", "[/]", "alice\\"])
def test_names_are_shown_as_they_are(printed: Any, name: str) -> None:
    assert f"user {name}" in printed(slots(whose={"team": "search", "user": name}))[-1]


def test_a_terminal_obeys_no_name(printed: Any) -> None:
    row = printed(slots(whose={"team": "search", "user": "\x1b[2Jalice\n"}))[-1]
    assert "user ?[2Jalice?" in row


def test_numbers_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_limits(limits(rate(left=7), rate(left=1_180)))
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.index(" 7 ") + 2 == second.index(" 1,180 ") + 6


def test_there_are_no_colours_where_nobody_sees_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_limits(limits(rate(), slots(), budget(strict=True, mode=Mode.WARN)))
    assert "\x1b" not in capsys.readouterr().out


def test_nothing_is_said_of_kinds_that_there_are_not(printed: Any) -> None:
    assert [line for line in printed(slots()) if line in ("Rates", "At once", "Budgets", "Held")] == [
        "At once"
    ]


def test_what_is_left_out_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_limits(limits(rate(), not_shown=1_250))
    told = capsys.readouterr().err
    assert told == "1,250 more are not shown. Narrow it with --key, --user or --model.\n"
