"""The table of what was spent: it fits, and shows who spends most."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.usage_table import remarks_on, usage_tables
from gateway.metering.interfaces import UsageRow


def a_row(*group: str, **sums: Any) -> UsageRow:
    values = {"attempts": 10, "requests": 10, "input_tokens": 1200, "output_tokens": 300, "cost": 2_500_000}
    return UsageRow(group, **(values | sums))


def shown(groups: Sequence[str], rows: Sequence[UsageRow], width: int = 80, *, colour: bool = False) -> str:
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        soft_wrap=True,
        highlight=False,
    )
    for part in usage_tables(groups, rows, console=console):
        console.print(part)
    return text.getvalue()


TEAMS = [
    a_row("ads", "gpt-4o-mini", cost=1_000_000, cached_tokens=77),
    a_row("search", "gpt-4o", cost=3_000_000, input_tokens=4_567_890),
]


def test_at_eighty_columns_it_looks_so() -> None:
    assert [line.rstrip() for line in shown(("team", "model"), TEAMS).splitlines()] == [
        "team    model        requests  input  cached  output     USD  of USD",
        "search  gpt-4o             10  4.57M       0     300  3.0000  ██████████  75.0 %",
        "ads     gpt-4o-mini        10  1,200      77     300  1.0000  ███▍        25.0 %",
        "total                      20  4.57M      77     600  4.0000",
    ]


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 100, 120, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    rows = [
        a_row(f"team-{number}", "gpt-4o-mini", cost=10**number, unpriced=number, estimated=3)
        for number in range(9)
    ]
    lines = shown(("team", "model"), rows, width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "USD" in lines[0]


def test_the_narrower_the_less_is_said() -> None:
    headings = [shown(("team", "model"), TEAMS, width).splitlines()[0] for width in (120, 66, 56, 30)]
    assert [heading.split()[2:] for heading in headings] == [
        ["requests", "input", "cached", "output", "USD", "of", "USD"],
        ["input", "output", "USD", "of", "USD"],
        ["USD", "of", "USD"],
        ["USD"],
    ]


def test_who_spends_most_comes_first() -> None:
    lines = shown(("team", "model"), TEAMS).splitlines()
    assert [line.split()[0] for line in lines] == ["team", "search", "ads", "total"]


@pytest.mark.parametrize("unit", ["day", "month"])
def test_time_stays_in_its_order(unit: str) -> None:
    rows = [
        a_row("2026-10-01"[: 10 if unit == "day" else 7], cost=1),
        a_row("2026-11-02"[: 10 if unit == "day" else 7]),
    ]
    lines = shown((unit,), rows).splitlines()
    assert [line.split()[0][:7] for line in lines[1:3]] == ["2026-10", "2026-11"]


def test_days_that_are_divided_have_a_line_of_all() -> None:
    rows = [
        a_row("2026-10-01", "ads", cost=1_000_000),
        a_row("2026-10-01", "search", cost=3_000_000),
        a_row("2026-10-03", "ads", cost=2_000_000),
    ]
    assert shown(("day", "team"), rows).splitlines()[0] == "USD by day  █ ▅  2026-10-01 to 2026-10-03"


def test_months_are_lines_too() -> None:
    rows = [a_row("2025-12", "ads"), a_row("2026-02", "ads")]
    assert shown(("month", "team"), rows).splitlines()[0] == "USD by month  █ █  2025-12 to 2026-02"


def test_a_line_that_does_not_fit_is_left_out() -> None:
    rows = [a_row("2026-01-01", "ads"), a_row("2026-10-01", "ads")]
    assert "by day" not in shown(("day", "team"), rows)
    assert "by day" in shown(("day", "team"), rows, 400)


@pytest.mark.parametrize("groups", [("day", "team"), ("day", "month", "team"), ("day",)])
def test_one_day_has_no_line(groups: tuple[str, ...]) -> None:
    row = a_row(*("2026-10-01" if name == "day" else "2026-10" for name in groups))
    assert shown(groups, [row]).splitlines()[0].split()[: len(groups)] == list(groups)


def test_the_sum_is_below() -> None:
    assert shown(("team",), [a_row("ads"), a_row("search")]).splitlines()[-1].split() == [
        *("total", "20", "2,400", "0", "600", "5.0000")
    ]


def test_one_row_is_its_own_sum() -> None:
    assert "total" not in shown(("team",), [a_row("ads")])


def test_where_nothing_has_a_price_the_bars_are_tokens() -> None:
    rows = [a_row("ads", cost=0, unpriced=10), a_row("search", cost=0, unpriced=10, input_tokens=4200)]
    text = shown(("team",), rows)
    assert "of tokens" in text
    assert "75.0 %" in text


def test_what_is_not_all_there_is_remarked() -> None:
    text = shown(("team",), [a_row("ads", unpriced=3, estimated=2, attempts=11)], 120)
    assert "3 unpriced, 2 estimated, 1 retries" in text


@pytest.mark.parametrize(
    ("cost", "shown_as"),
    [(340, "0.000340"), (1_234_567, "1.2346"), (1_234_567_890, "1,234.57"), (-340, "-0.000340")],
)
def test_a_little_money_has_more_digits(cost: int, shown_as: str) -> None:
    assert shown_as in shown(("team",), [a_row("ads", cost=cost)])


@pytest.mark.parametrize(
    ("number", "shown_as"),
    [
        (0, "0"),
        (99_999, "99,999"),
        (100_000, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (4_567_890, "4.57M"),
        (45_678_901, "45.7M"),
        (1_200_000_000, "1.20G"),
        (10**18, "1,000,000T"),
        (-4_567_890, "-4.57M"),
    ],
)
def test_large_figures_are_rounded(number: int, shown_as: str) -> None:
    assert f" {shown_as} " in shown(("team",), [a_row("ads", input_tokens=number)], 200)


def test_names_are_nothing_that_a_terminal_obeys() -> None:
    text = shown(("team", "tier"), [a_row("[red]ads\x1b[2J", "")])
    assert "[red]ads?[2J" in text
    assert "  -  " in text


def test_there_are_no_colours_where_nobody_sees_them() -> None:
    assert "\x1b" not in shown(("team",), [a_row("ads", unpriced=1)])
    assert "\x1b" in shown(("team",), [a_row("ads", unpriced=1)], colour=True)


def test_the_remarks_are_sentences() -> None:
    unpriced, estimated = remarks_on([a_row("ads", unpriced=3), a_row("search", estimated=2)])
    assert unpriced.startswith("The cost of 3 attempts is not known")
    assert estimated == "By our own count, since the provider told none: 2 attempts."
    assert list(remarks_on([a_row("ads")])) == []
