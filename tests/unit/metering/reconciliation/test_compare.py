from collections.abc import Mapping

import pytest
from hypothesis import given

from gateway.metering.reconciliation.amounts import NOTHING, Amounts, Counted, Lines, Place, Recorded
from gateway.metering.reconciliation.compare import common_names, line_up
from tests.unit.metering.reconciliation.books import (
    AMOUNTS,
    DAY,
    PLACE,
    comparison,
    counted_books,
    line_books,
    recorded_books,
)


def at(*models: str) -> list[Place]:
    return [Place(DAY, "openai", model) for model in models]


@pytest.mark.parametrize(
    ("counted", "recorded", "names"),
    [
        (["gpt-4o"], ["gpt-4o"], {"gpt-4o": "gpt-4o"}),
        (["gpt-4o-2024-08-06"], ["gpt-4o"], dict.fromkeys(["gpt-4o-2024-08-06", "gpt-4o"], "gpt-4o")),
        (
            ["gpt-4o-2024-08-06", "gpt-4o-2024-11-20"],
            ["gpt-4o-2024-11-20", "gpt-4o-2024-08-06"],
            {name: name for name in ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20")},
        ),
        (
            ["gpt-4o-2024-08-06"],
            ["gpt-4o", "gpt-4o-2024-08-06"],
            dict.fromkeys(["gpt-4o", "gpt-4o-2024-08-06"], "gpt-4o"),
        ),
        (["gpt-4-0613"], ["gpt-4"], dict.fromkeys(["gpt-4-0613", "gpt-4"], "gpt-4")),
        (["gpt-4o-2024-08-06"], [], {"gpt-4o-2024-08-06": "gpt-4o-2024-08-06"}),
        ([], ["o3"], {"o3": "o3"}),
        (["gpt-4o"], ["gpt-4o-mini"], {"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini"}),
        (["web search tool calls"], [], {"web search tool calls": "web search tool calls"}),
    ],
)
def test_snapshots_are_told_apart_where_both_books_do(
    counted: list[str], recorded: list[str], names: Mapping[str, str]
) -> None:
    assert common_names(at(*counted), at(*recorded)) == {("openai", own): name for own, name in names.items()}


def test_the_names_of_one_upstream_are_not_those_of_another() -> None:
    counted = [Place(DAY, "openai", "gpt-4o-2024-08-06"), Place(DAY, "other", "gpt-4o-2024-08-06")]
    names = common_names(counted, [Place(DAY, "other", "gpt-4o")])
    assert names["openai", "gpt-4o-2024-08-06"] == "gpt-4o-2024-08-06"
    assert names["other", "gpt-4o-2024-08-06"] == "gpt-4o"


@given(counted_books, recorded_books, line_books)
def test_nothing_is_lost_when_books_are_lined_up(
    counted: dict[Place, Counted], recorded: dict[Place, Recorded], lines: dict[Place, Lines]
) -> None:
    lined_up = line_up(counted, recorded, lines)
    theirs = [each.counted.amounts for each in lined_up if each.counted]
    ours = [each.recorded.amounts for each in lined_up if each.recorded]
    assert added(theirs) == added([each.amounts for each in counted.values()])
    assert added(ours) == added([each.amounts for each in recorded.values()])
    assert len({each.place for each in lined_up}) == len(lined_up)
    assert [each.place for each in lined_up] == sorted(each.place for each in lined_up)


@given(recorded_books)
def test_a_book_agrees_with_itself(recorded: dict[Place, Recorded]) -> None:
    counted = {place: Counted(each.amounts, tells_tokens=True) for place, each in recorded.items()}
    assert all(each.difference == NOTHING for each in line_up(counted, recorded))


def test_the_difference_is_the_providers_less_the_ledgers() -> None:
    assert comparison(recorded=None).difference == AMOUNTS
    assert comparison(counted=None).difference == NOTHING.minus(AMOUNTS)


def test_tokens_that_the_provider_does_not_tell_are_taken_to_be_the_ledgers() -> None:
    each = comparison(counted=Amounts(requests=9, cost=3000), tells_tokens=False)
    assert each.difference == Amounts(requests=-1, cost=-250)


def test_what_is_carried_into_the_next_day_is_told_by_its_lines() -> None:
    carried = Amounts(requests=1, output_tokens=5)
    lines = {PLACE._replace(day=DAY + 1): Lines(4, from_before=carried)}
    (each,) = line_up({PLACE: Counted()}, {}, lines)
    assert (each.into_next, each.lines) == (carried, None)


def test_attempts_that_failed_are_no_requests() -> None:
    each = comparison(recorded=AMOUNTS._replace(requests=13), lines=Lines(13, failed=3))
    assert (each.ledger.requests, each.difference) == (10, NOTHING)


def test_attempts_whose_lines_are_gone_may_have_failed() -> None:
    each = comparison(recorded=AMOUNTS._replace(requests=13), lines=Lines(0))
    assert (each.gone, each.difference) == (13, NOTHING)


def test_attempts_whose_lines_are_gone_hide_no_request_that_the_ledger_lacks() -> None:
    each = comparison(recorded=AMOUNTS._replace(requests=7), lines=Lines(0))
    assert each.difference == Amounts(requests=3)


def test_without_lines_every_attempt_is_a_request() -> None:
    assert comparison(recorded=AMOUNTS._replace(requests=13)).difference == Amounts(requests=-3)


def test_a_place_without_requests_of_the_provider_is_all_difference() -> None:
    each = comparison(counted=None, recorded=Amounts(requests=2), lines=Lines(2, failed=2), place=PLACE)
    assert each.difference == NOTHING


def added(books: list[Amounts]) -> Amounts:
    total = NOTHING
    for each in books:
        total = total.plus(each)
    return total
