"""The price book, as tables for people."""

from typing import Any

import pytest

from gateway.cli.prices_table import print_outlook
from gateway.metering.prices.outlook import Change, Gap, Line, ModelPrices, Outlook

CHANGE = Change("2027-01-01", "gpt-5", "", 0, "", {"input": 2_000_000, "output": 5}, None)


def line(rates: dict[str, int], **changes: Any) -> Line:
    facts: dict[str, Any] = {"tier": "", "above": 0, "upstream": "", "since": None, "until": None}
    return Line(rates=rates, **{**facts, **changes})


def an_outlook(*lines: Line, next_change: str | None = None, **changes: Any) -> Outlook:
    facts: dict[str, Any] = {
        "at": "2026-12-24",
        "price_version": "77d1c0ffee00",
        "ceiling": None,
        "models": (ModelPrices("gpt-5", lines, next_change),),
        "without_price": (),
        "gaps": (),
        "changes": (),
    }
    return Outlook(**{**facts, **changes})


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """The rows that are printed, each a list of its words."""

    def show(found: Outlook) -> list[list[str]]:
        print_outlook(found)
        return [row.split() for row in capsys.readouterr().out.splitlines() if row]

    return show


def test_it_says_which_book_it_is(shown: Any) -> None:
    assert shown(an_outlook())[0] == ["price", "book", "77d1c0ffee00", "2026-12-24", "UTC"]


def test_a_line_is_a_row_with_its_prices_in_dollars(shown: Any) -> None:
    rates = {"input": 2_000_000, "cached_input": 200_000, "cache_write": 62_500, "output": 1_234_500_000}
    assert shown(an_outlook(line(rates)))[2:] == [
        ["model", "tier", "input", "cached", "write", "output"],
        ["gpt-5", "standard", "2.00", "0.20", "0.0625", "1,234.50"],
    ]


def test_other_units_are_named(shown: Any) -> None:
    rows = shown(an_outlook(line({"image": 40_000, "audio_minute": 1})))
    assert rows[-1] == ["gpt-5", "standard", "image", "0.04,", "audio", "minute", "0.000001"]


def test_a_model_is_named_once(shown: Any) -> None:
    rows = shown(an_outlook(line({"input": 1}), line({"input": 2}, tier="flex")))
    assert [row[0] for row in rows[3:]] == ["gpt-5", "flex"]


def test_a_line_says_for_what_it_holds_and_since_when(shown: Any) -> None:
    kind = {"tier": "flex", "above": 272_000, "upstream": "azure"}
    rows = shown(
        an_outlook(
            line({"input": 0}, **kind, since="2026-12-01", until="2027-01-01"), next_change="2026-12-31"
        )
    )
    assert rows[2:] == [
        ["model", "tier", "above", "upstream", "input", "since", "until", "next", "change"],
        ["gpt-5", "flex", "272,000", "azure", "0.00", "2026-12-01", "2027-01-01", "2026-12-31"],
    ]


def test_of_a_change_what_stays_is_not_repeated(shown: Any) -> None:
    change = Change(
        "2027-01-01", "gpt-5", "", 0, "", {"input": 2_000_000, "output": 5}, {"input": 1, "output": 5}
    )
    assert shown(an_outlook(changes=(change,)))[-1] == [
        *("2027-01-01", "gpt-5", "standard", "input", "2.00", "input", "0.000001"),
    ]


def test_a_price_that_ends_is_told_in_full(shown: Any) -> None:
    rows = shown(an_outlook(changes=(CHANGE,)))
    assert rows[-1] == ["2027-01-01", "gpt-5", "standard", "input", "2.00,", "output", "0.000005", "none"]


def test_gaps_are_told(shown: Any) -> None:
    gaps = (Gap("gpt-5", "", "2026-12-25", "2027-01-01"), Gap("gpt-5", "flex", "2026-12-25", None))
    assert shown(an_outlook(gaps=gaps))[-2:] == [
        ["gpt-5", "standard", "2026-12-25", "2027-01-01"],
        ["gpt-5", "flex", "2026-12-25", "no", "end"],
    ]


def test_what_has_no_price_is_named(shown: Any) -> None:
    assert shown(an_outlook(without_price=("o3", "[bold]")))[-3:] == [
        ["Without", "a", "price"],
        ["o3"],
        ["[bold]"],
    ]


def test_the_ceiling_is_shown(shown: Any) -> None:
    assert shown(an_outlook(ceiling={"input": 100_000_000}))[-2:] == [["Ceiling"], ["input", "100.00"]]


def test_where_nothing_is_to_be_told_there_is_no_heading(shown: Any) -> None:
    assert len(shown(an_outlook())) == 1


def test_units_are_explained_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    print_outlook(an_outlook())
    assert capsys.readouterr().err.startswith("US dollars: tokens")
