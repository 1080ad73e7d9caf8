"""What the book holds on a day, and what is about to change."""

from datetime import UTC, datetime
from typing import Any

from gateway.core.policy import Catalogue, Model, Price, Rates
from gateway.metering.prices.outlook import Change, Gap, Line, Outlook, outlook, units_of


def day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = "2026-12-24"
DECEMBER, CHRISTMAS, JANUARY, MARCH = (
    day(text) for text in ("2026-12-01", "2026-12-25", "2027-01-01", "2027-03-01")
)


def line(amount: int, **kind: Any) -> Price:
    return Price(Rates(input=amount), **kind)


def look(*lines: Price, at: str = NOW, days: int = 30, **book: Any) -> Outlook:
    model = Model("m", "openai", "m", prices=lines)
    return outlook(Catalogue({"m": model}, **book), day(at), days)


def held(found: Outlook) -> list[tuple[int, str | None, str | None]]:
    (model,) = found.models
    return [(line.rates["input"], line.since, line.until) for line in model.lines]


def test_it_says_which_book_and_which_day_it_is() -> None:
    found = look(price_version="77d1", ceiling=Rates(input=100, output=500))
    assert (found.at, found.price_version) == (NOW, "77d1")
    assert found.ceiling == {"input": 100, "output": 500}


def test_a_line_that_always_holds_has_no_days() -> None:
    assert held(look(line(1))) == [(1, None, None)]


def test_lines_that_hold_on_the_day_are_shown_and_no_others() -> None:
    lines = (line(1, until=DECEMBER), line(2, since=DECEMBER, until=JANUARY), line(3, since=JANUARY))
    assert held(look(*lines)) == [(2, "2026-12-01", "2027-01-01")]
    assert held(look(*lines, at="2026-11-30")) == [(1, None, "2026-12-01")]
    assert held(look(*lines, at="2027-01-01")) == [(3, "2027-01-01", None)]


def test_the_standard_tier_comes_first_and_short_context_before_long() -> None:
    found = look(line(4, tier="flex", above=9), line(2, above=9), line(3, tier="flex"), line(1))
    assert [rate for rate, _, _ in held(found)] == [1, 2, 3, 4]


def test_a_line_says_whom_it_is_for_and_what_it_prices() -> None:
    found = look(Price(Rates(input=5, image=0), tier="flex", above=9, upstream="azure"))
    wanted = Line("flex", 9, "azure", {"input": 5, "image": 0}, None, None)
    assert found.models[0].lines == (wanted,)


def test_the_next_change_is_told_however_far_away() -> None:
    assert look(line(1)).models[0].next_change is None
    assert look(line(1, until=MARCH)).models[0].next_change == "2027-03-01"
    assert look(line(1, until=MARCH), line(2, since=MARCH)).models[0].next_change == "2027-03-01"
    assert look(line(1), line(2, tier="flex", since=JANUARY)).models[0].next_change == "2027-01-01"


def test_what_has_no_price_in_the_standard_tier_is_told() -> None:
    for lines in ([], [line(1, until=DECEMBER)], [line(1, since=JANUARY)], [line(1, tier="flex")]):
        assert look(*lines).without_price == ("m",)
    assert look(line(1)).without_price == ()


def test_another_upstream_s_line_is_no_price() -> None:
    assert look(line(1, upstream="azure")).without_price == ("m",)
    assert look(line(1, upstream="openai")).without_price == ()


def test_a_model_that_the_book_does_not_name_has_no_gap_but_no_price() -> None:
    assert look().gaps == ()


def test_a_gap_between_two_lines_is_told() -> None:
    found = look(line(1, until=CHRISTMAS), line(2, since=JANUARY))
    assert found.gaps == (Gap("m", "", "2026-12-25", "2027-01-01"),)


def test_a_gap_that_is_there_is_told_and_one_that_is_over_is_not() -> None:
    lines = (line(1, until=DECEMBER), line(2, since=JANUARY))
    assert look(*lines).gaps == (Gap("m", "", "2026-12-24", "2027-01-01"),)
    assert look(*lines, at="2027-01-01").gaps == ()


def test_a_gap_without_end_is_told() -> None:
    assert look(line(1, until=CHRISTMAS)).gaps == (Gap("m", "", "2026-12-25", None),)


def test_a_gap_that_begins_later_than_asked_for_is_not() -> None:
    assert look(line(1, until=MARCH)).gaps == ()
    assert look(line(1, until=MARCH), days=90).gaps == (Gap("m", "", "2027-03-01", None),)


def test_each_tier_has_gaps_of_its_own() -> None:
    found = look(line(1), line(2, tier="flex", until=CHRISTMAS), line(3, tier="flex", since=JANUARY))
    assert found.gaps == (Gap("m", "flex", "2026-12-25", "2027-01-01"),)


def test_several_gaps_are_told_one_by_one() -> None:
    moments = [day(f"2026-12-{number}") for number in (25, 26, 27, 28)]
    found = look(
        line(1, until=moments[0]), line(1, since=moments[1], until=moments[2]), line(1, since=moments[3])
    )
    assert [(gap.since, gap.until) for gap in found.gaps] == [
        ("2026-12-25", "2026-12-26"),
        ("2026-12-27", "2026-12-28"),
    ]


def test_where_an_upstream_s_own_line_ends_that_of_all_holds() -> None:
    found = look(line(1, upstream="openai", until=CHRISTMAS), line(2))
    assert found.gaps == ()
    assert [(change.upstream, change.before, change.after) for change in found.changes] == [
        ("openai", {"input": 1}, None)
    ]


def test_a_price_that_gives_way_to_another_is_one_change() -> None:
    found = look(line(1, until=JANUARY), line(2, since=JANUARY))
    assert found.changes == (Change("2027-01-01", "m", "", 0, "", {"input": 1}, {"input": 2}),)


def test_a_price_that_stays_the_same_is_none() -> None:
    assert look(line(1, until=JANUARY), line(1, since=JANUARY)).changes == ()


def test_what_begins_and_what_ends_is_a_change_too() -> None:
    found = look(line(1), line(2, tier="flex", since=JANUARY), line(3, above=9, until=CHRISTMAS))
    assert [
        (change.day, change.tier, change.above, change.before, change.after) for change in found.changes
    ] == [
        ("2026-12-25", "", 9, {"input": 3}, None),
        ("2027-01-01", "flex", 0, None, {"input": 2}),
    ]


def test_changes_that_are_farther_away_are_not_told() -> None:
    lines = (line(1, until=MARCH), line(2, since=MARCH))
    assert look(*lines).changes == ()
    assert len(look(*lines, days=70).changes) == 1


def test_changes_come_in_the_order_of_their_days() -> None:
    models = {
        name: Model(name, "openai", name, prices=(line(1, until=until),))
        for name, until in (("a", JANUARY), ("b", CHRISTMAS))
    }
    found = outlook(Catalogue(models), day(NOW))
    assert [(change.day, change.model) for change in found.changes] == [
        ("2026-12-25", "b"),
        ("2027-01-01", "a"),
    ]


def test_units_come_in_the_order_in_which_the_book_has_them() -> None:
    lines = [
        Line("", 0, "", {"image": 1, "output": 2}, None, None),
        Line("", 0, "", {"input": 1, "output": 2}, None, None),
    ]
    assert units_of(lines) == ["input", "output", "image"]
    assert units_of([]) == []
