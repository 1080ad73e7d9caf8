from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.reconciliation.amounts import NOTHING, Amounts, Counted, Lines, Place, Recorded
from gateway.metering.reconciliation.compare import Comparison, line_up
from gateway.metering.reconciliation.explain import Reason, Share, explain_all
from tests.unit.metering.reconciliation.books import (
    AMOUNTS,
    DAY,
    PLACE,
    comparison,
    counted_books,
    line_books,
    more,
    recorded_books,
)

LATER = DAY + 10
BOUND = Amounts(requests=1, input_tokens=50, cached_tokens=50, output_tokens=20, cost=300)


def shares(*comparisons: Comparison, today: int = LATER) -> list[Share]:
    """Of the first."""
    return list(explain_all(comparisons, today=today)[0].shares)


@given(counted_books, recorded_books, line_books, st.integers(DAY, DAY + 9))
def test_a_difference_is_shared_out_whole(
    counted: dict[Place, Counted], recorded: dict[Place, Recorded], lines: dict[Place, Lines], today: int
) -> None:
    for each in explain_all(line_up(counted, recorded, lines), today=today):
        total = NOTHING
        for share in each.shares:
            assert share.amounts != NOTHING
            total = total.plus(share.amounts)
        assert total == each.comparison.difference
        assert len({share.reason for share in each.shares}) == len(each.shares)


@given(counted_books, recorded_books, line_books)
def test_no_reason_explains_more_than_it_can(
    counted: dict[Place, Counted], recorded: dict[Place, Recorded], lines: dict[Place, Lines]
) -> None:
    for each in explain_all(line_up(counted, recorded, lines), today=LATER):
        before = each.comparison.lines.from_before if each.comparison.lines else NOTHING
        shifted = each.of(Reason.MIDNIGHT)
        assert shifted.above().within(each.comparison.into_next) == shifted.above()
        assert shifted.below().within(before) == shifted.below()
        told = each.comparison.lines.bound if each.comparison.lines else NOTHING
        attempts = each.comparison.recorded.amounts.requests if each.comparison.recorded else 0
        assert each.of(Reason.ESTIMATES).within(told) == each.of(Reason.ESTIMATES)
        assert abs(each.of(Reason.ROUNDING).cost) <= (attempts + 1) // 2
        assert each.of(Reason.LATE) == NOTHING
        assert each.of(Reason.OUTSIDE).below() == NOTHING


def test_books_that_agree_need_no_reason() -> None:
    assert shares(comparison()) == []


def test_what_the_gateway_has_no_line_for_is_an_unmetered_path() -> None:
    assert shares(comparison(recorded=None)) == [Share(Reason.UNMETERED_PATH, AMOUNTS)]


def test_a_model_that_the_gateway_knows_from_another_day_is_no_unmetered_path() -> None:
    other = comparison(place=PLACE._replace(day=DAY + 1))
    assert shares(comparison(recorded=None), other) == [Share(Reason.OUTSIDE, AMOUNTS)]


def test_more_requests_are_traffic_outside_the_gateway() -> None:
    extra = Amounts(requests=3, input_tokens=90, cached_tokens=20, output_tokens=30, cost=700)
    assert shares(comparison(counted=AMOUNTS.plus(extra))) == [Share(Reason.OUTSIDE, extra)]


def test_what_was_under_way_at_the_days_end_may_be_counted_before_it() -> None:
    carried = Amounts(requests=2, input_tokens=50, output_tokens=9, cost=200)
    each = comparison(counted=AMOUNTS.plus(carried), into_next=carried)
    assert shares(each) == [Share(Reason.MIDNIGHT, carried)]


def test_what_was_under_way_at_the_days_beginning_may_be_counted_before_it() -> None:
    carried = Amounts(requests=2, input_tokens=50, output_tokens=9, cost=200)
    each = comparison(counted=AMOUNTS.minus(carried), lines=Lines(10, from_before=carried))
    assert shares(each) == [Share(Reason.MIDNIGHT, NOTHING.minus(carried))]


def test_midnight_explains_no_more_than_was_under_way() -> None:
    each = comparison(
        counted=more(requests=3, output_tokens=90), into_next=Amounts(requests=1, output_tokens=9)
    )
    assert shares(each) == [
        Share(Reason.MIDNIGHT, Amounts(requests=1, output_tokens=9)),
        Share(Reason.OUTSIDE, Amounts(requests=2, output_tokens=81)),
    ]


def test_midnight_explains_nothing_where_the_requests_agree() -> None:
    each = comparison(counted=more(output_tokens=9), into_next=Amounts(requests=1, output_tokens=9))
    assert [share.reason for share in shares(each)] == [Reason.UNEXPLAINED]


def test_fewer_requests_of_a_day_that_is_not_final_are_late() -> None:
    less = Amounts(requests=-3, input_tokens=-90, output_tokens=-30, cost=-700)
    assert shares(comparison(counted=AMOUNTS.plus(less)), today=DAY + 1) == [Share(Reason.LATE, less)]


def test_a_cost_that_is_not_there_yet_is_late() -> None:
    assert shares(comparison(counted=AMOUNTS._replace(cost=0)), today=DAY) == [
        Share(Reason.LATE, Amounts(cost=-3250))
    ]


def test_fewer_requests_of_a_final_day_are_unexplained() -> None:
    less = Amounts(requests=-3, input_tokens=-90)
    assert shares(comparison(counted=AMOUNTS.plus(less)), today=DAY + 2) == [Share(Reason.UNEXPLAINED, less)]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_estimates_may_be_off_is_theirs(sign: int) -> None:
    off = Amounts(input_tokens=sign * 40, output_tokens=sign * 20, cost=sign * 250)
    each = comparison(counted=AMOUNTS.plus(off), lines=Lines(10, bound=BOUND), estimated=1)
    assert shares(each) == [Share(Reason.ESTIMATES, off)]


def test_what_estimates_cannot_be_off_is_unexplained() -> None:
    each = comparison(counted=more(output_tokens=25), lines=Lines(10, bound=BOUND), estimated=1)
    assert shares(each) == [
        Share(Reason.ESTIMATES, Amounts(output_tokens=20)),
        Share(Reason.UNEXPLAINED, Amounts(output_tokens=5)),
    ]


def test_an_estimated_attempt_may_be_one_that_the_provider_never_saw() -> None:
    each = comparison(counted=more(requests=-1), lines=Lines(10, bound=BOUND), estimated=1)
    assert shares(each) == [Share(Reason.ESTIMATES, Amounts(requests=-1))]


def test_a_cost_that_is_missing_in_the_ledger_is_unpriced() -> None:
    each = comparison(counted=more(cost=900), unpriced=2)
    assert shares(each) == [Share(Reason.UNPRICED, Amounts(cost=900))]


def test_what_is_unpriced_makes_the_ledgers_cost_no_higher() -> None:
    each = comparison(counted=more(cost=-900), unpriced=2)
    assert [share.reason for share in shares(each)] == [Reason.PRICE_CHANGE]


def test_tokens_that_agree_at_another_cost_are_a_price_change() -> None:
    each = comparison(counted=AMOUNTS._replace(cost=6500))
    assert shares(each) == [Share(Reason.PRICE_CHANGE, Amounts(cost=3250), Decimal(2))]


def test_the_price_is_that_of_what_the_ledger_has() -> None:
    """Of a lower price, beside traffic past the gateway that nobody can tell apart from it by cost."""
    each = comparison(counted=AMOUNTS.plus(Amounts(requests=1, input_tokens=7))._replace(cost=1625))
    assert shares(each) == [
        Share(Reason.OUTSIDE, Amounts(requests=1, input_tokens=7)),
        Share(Reason.PRICE_CHANGE, Amounts(cost=-1625), Decimal("0.5")),
    ]


def test_of_a_model_that_the_book_has_for_nothing_no_ratio_can_be_told() -> None:
    each = comparison(recorded=AMOUNTS._replace(cost=0))
    assert shares(each) == [Share(Reason.PRICE_CHANGE, Amounts(cost=3250), None)]


@pytest.mark.parametrize(
    ("cost", "reason"), [(5, Reason.ROUNDING), (-5, Reason.ROUNDING), (6, Reason.PRICE_CHANGE)]
)
def test_half_a_micro_dollar_for_each_attempt_is_rounding(cost: int, reason: Reason) -> None:
    assert [share.reason for share in shares(comparison(counted=more(cost=cost)))] == [reason]


def test_rounding_is_nothing_that_estimates_have_to_explain() -> None:
    each = comparison(counted=more(cost=-5), lines=Lines(10, bound=BOUND), estimated=1)
    assert [share.reason for share in shares(each)] == [Reason.ROUNDING]


def test_a_cost_that_differs_with_the_tokens_is_unexplained() -> None:
    off = Amounts(output_tokens=500, cost=5000)
    assert shares(comparison(counted=AMOUNTS.plus(off))) == [Share(Reason.UNEXPLAINED, off)]


def test_a_reason_that_has_no_share_has_nothing() -> None:
    (each,) = explain_all([comparison(counted=more(cost=3))], today=LATER)
    assert (each.of(Reason.ROUNDING), each.of(Reason.LATE)) == (Amounts(cost=3), NOTHING)
