"""What a corrected price book changes about one attempt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import PricedBy, Reason
from gateway.metering.prices.pricing import Charge
from gateway.metering.prices.rerating import Rated, keeps_its_cost, rerated

NOW = 99
COSTS = st.none() | st.integers(0, 10**12)


def rated(**changes: Any) -> Rated:
    values: dict[str, Any] = {
        "attempt_id": "att_1",
        "admitted_at": 1,
        "settled_at": 2,
        "team": "search",
        "key_id": "k1",
        "model": "gpt-4o",
        "endpoint": "chat_completions",
        "upstream": "openai",
        "tier": None,
        "usage": Usage(UsageSource.PARTIAL, input_tokens=7),
        "cost": 340,
    }
    return Rated(**(values | changes))


def charged(cost: int | None) -> Charge:
    return Charge(cost, PricedBy.NOTHING if cost is None else PricedBy.BOOK, "88e2")


def test_a_difference_is_a_line_of_its_own() -> None:
    line = rerated(rated(), charged(400), NOW)
    assert line is not None
    assert (line.id, line.attempt_id, line.reason) == ("rerated_1_att_1", "att_1", Reason.RERATED)
    assert (line.settled_at, line.adjusted_at) == (2, NOW)
    assert (line.cost, line.unpriced, line.estimated) == (60, 0, 0)
    assert line.usage == Usage(UsageSource.PARTIAL)
    assert (line.priced_by, line.price_version) == (PricedBy.BOOK, "88e2")


@pytest.mark.parametrize("cost", [0, 340])
def test_a_cost_that_becomes_known_is_no_longer_unpriced(cost: int) -> None:
    line = rerated(rated(cost=None), charged(cost), NOW)
    assert line is not None
    assert (line.cost, line.unpriced) == (cost, -1)


def test_what_costs_the_same_is_left_alone() -> None:
    assert rerated(rated(), charged(340), NOW) is None
    assert rerated(rated(cost=None), charged(None), NOW) is None


def test_a_known_cost_never_becomes_unknown() -> None:
    assert rerated(rated(), charged(None), NOW) is None
    assert keeps_its_cost(rated(), charged(None))
    assert not keeps_its_cost(rated(cost=None), charged(None))


def test_corrections_before_count() -> None:
    before = rated(cost=None).corrected(cost=300, unpriced=-1, corrections=2)
    line = rerated(before, charged(340), NOW)
    assert line is not None
    assert (line.id, line.cost, line.unpriced) == ("rerated_3_att_1", 40, 0)


@given(COSTS, st.lists(COSTS, max_size=6))
def test_after_any_re_ratings_the_cost_is_that_of_the_last_known(
    settled: int | None, books: list[int | None]
) -> None:
    first = rated(cost=settled)
    cost = unpriced = number = 0
    ids = []
    for book in books:
        line = rerated(first.corrected(cost, unpriced, number), charged(book), NOW)
        if line is not None:
            cost, unpriced, number = cost + line.cost, unpriced + line.unpriced, number + 1
            ids.append(line.id)
    known = [each for each in (settled, *books) if each is not None]
    assert first.corrected(cost, unpriced, number).cost == (known[-1] if known else None)
    assert len(set(ids)) == len(ids)


@given(COSTS, COSTS)
def test_re_rating_twice_is_re_rating_once(settled: int | None, book: int | None) -> None:
    first = rated(cost=settled)
    line = rerated(first, charged(book), NOW)
    after = first if line is None else first.corrected(line.cost, line.unpriced, 1)
    assert rerated(after, charged(book), NOW) is None
