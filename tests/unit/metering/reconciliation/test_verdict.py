from decimal import Decimal

import pytest

from gateway.metering.reconciliation.amounts import Amounts
from gateway.metering.reconciliation.compare import Comparison
from gateway.metering.reconciliation.explain import explain_all
from gateway.metering.reconciliation.verdict import Verdict, judge
from tests.unit.metering.reconciliation.books import AMOUNTS, DAY, PLACE, comparison, more


def judged(*comparisons: Comparison) -> Verdict:
    return judge(explain_all(comparisons, today=DAY + 10))


def test_books_that_agree_are_not_off() -> None:
    verdict = judged(comparison())
    assert (verdict.provider, verdict.ledger, verdict.ratio) == (AMOUNTS, AMOUNTS, 0)
    assert verdict.holds(Decimal(0))


def test_nothing_at_all_agrees() -> None:
    assert judged().holds(Decimal(0))


@pytest.mark.parametrize(
    ("difference", "ratio"),
    [
        ({"requests": -1}, Decimal(1) / 10),
        ({"output_tokens": -11}, Decimal(11) / 1100),
        ({"cost": -325}, Decimal(325) / 3250),
        ({"requests": -1, "cost": -3250}, Decimal(1)),
    ],
)
def test_the_worst_of_requests_tokens_and_cost_counts(difference: dict[str, int], ratio: Decimal) -> None:
    assert judged(comparison(counted=more(**difference))).ratio == ratio


def test_too_much_here_does_not_make_up_for_too_little_there() -> None:
    verdict = judged(
        comparison(counted=more(output_tokens=50)),
        comparison(counted=more(output_tokens=-50), place=PLACE._replace(day=DAY + 1)),
    )
    assert (verdict.off.tokens, verdict.provider) == (100, verdict.ledger)


def test_a_small_difference_is_within_the_tolerance() -> None:
    verdict = judged(comparison(counted=more(output_tokens=5)))
    assert verdict.holds(Decimal("0.005"))
    assert not verdict.holds(Decimal("0.004"))


def test_rounding_is_not_off() -> None:
    assert judged(comparison(counted=more(cost=5))).ratio == 0


def test_what_one_book_alone_has_is_all_off() -> None:
    assert judged(comparison(recorded=None)).ratio == 1
    assert judged(comparison(counted=None, recorded=Amounts(requests=1))).ratio == 1
