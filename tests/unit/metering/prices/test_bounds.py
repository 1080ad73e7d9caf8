"""Whatever an attempt turns out to be, it costs no more than was foreseen."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Meter
from gateway.core.policy import Catalogue, Model, Policy, Price, Rates, Unpriced
from gateway.core.usage import Usage, UsageSource
from gateway.metering.prices.bounds import HORIZON, has_token_prices, highest_cost, possible_rates
from gateway.metering.prices.pricing import charge

NOW = 1_000_000.0
CEILING = Rates(input=100, output=500)
UNITS = [unit for unit in Usage._fields if unit != "source"]


def priced(amount: int, **kind: Any) -> Price:
    return Price(Rates(input=amount, output=amount), **kind)


def possible(*lines: Price, at: float = NOW, tokens: int | None = None, **policy: Any) -> list[int | None]:
    model = Model("m", "openai", "m", prices=lines)
    rules = Policy("search", "5f3c", Catalogue({"m": model}, ceiling=CEILING), **policy)
    return [rates.input for rates in possible_rates(model, rules, at, tokens)]


def test_the_answer_may_name_any_tier() -> None:
    assert possible(priced(1), priced(2, tier="flex"), priced(3, tier="priority")) == [1, 2, 3]


def test_any_upstream_may_be_asked() -> None:
    assert possible(priced(1), priced(2, upstream="azure")) == [1, 2]


@pytest.mark.parametrize(("tokens", "rates"), [(0, [1]), (100, [1]), (101, [1, 2]), (None, [1, 2])])
def test_a_step_counts_that_the_input_can_reach(tokens: int | None, rates: list[int]) -> None:
    assert possible(priced(1), priced(2, above=100), tokens=tokens) == rates


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (priced(1, until=NOW), False),
        (priced(1, until=NOW + 1), True),
        (priced(1, since=NOW + HORIZON), True),
        (priced(1, since=NOW + HORIZON + 1), False),
    ],
)
def test_what_holds_before_the_last_try_is_made_counts(line: Price, counts: bool) -> None:
    assert possible(line) == [1] * counts


@pytest.mark.parametrize(
    ("unpriced", "rates"), [(Unpriced.ALARM, [1]), (Unpriced.REFUSE, [1]), (Unpriced.CEILING, [1, 100])]
)
def test_the_ceiling_counts_where_it_may_be_charged(unpriced: Unpriced, rates: list[int]) -> None:
    assert possible(priced(1), unpriced=unpriced) == rates


@pytest.mark.parametrize(
    ("rates", "by_tokens"),
    [([], False), ([Rates(image=1)], False), ([Rates(image=1), Rates(output=0)], True)],
)
def test_tokens_may_be_billed_where_any_line_prices_them(rates: list[Rates], by_tokens: bool) -> None:
    assert has_token_prices(rates) is by_tokens


@pytest.mark.parametrize("unit", ["cached_input", "cache_write", "audio_input", "image_input"])
def test_all_of_the_input_may_be_of_the_dearest_kind(unit: str) -> None:
    most = Usage(UsageSource.ESTIMATED, input_tokens=1_000_000)
    assert highest_cost(most, [Rates(input=1), Rates(input=1, **{unit: 9})], Meter.TOKENS) == 9


@pytest.mark.parametrize("unit", ["audio_output", "image_output"])
def test_all_of_the_output_may_be_of_the_dearest_kind(unit: str) -> None:
    most = Usage(UsageSource.ESTIMATED, output_tokens=1_000_000)
    assert highest_cost(most, [Rates(output=1), Rates(output=1, **{unit: 9})], Meter.TOKENS) == 9


def test_what_nothing_can_be_charged_for_costs_nothing() -> None:
    assert highest_cost(Usage(UsageSource.ESTIMATED, input_tokens=5), [], Meter.TOKENS) == 0


def test_an_answer_that_stays_away_is_charged_for_its_question() -> None:
    """The model has no price for output, so an answer would be unpriced; its absence is not."""
    most = Usage(UsageSource.ESTIMATED, input_tokens=1_000_000, output_tokens=100)
    assert highest_cost(most, [Rates(input=7)], Meter.TOKENS) == 7


amounts = st.integers(0, 10**7)
any_rates = st.builds(Rates, *[st.none() | amounts] * len(fields(Rates)))


@st.composite
def lines(draw: st.DrawFn) -> list[Price]:
    steps = [
        Price(draw(any_rates), tier=tier, above=above, upstream=upstream, since=since)
        for tier in ("", "flex", "priority")
        for above in (1000, 100, 0)
        for upstream in ("azure", "")
        for since in (NOW + 60, -1.0)
        if draw(st.booleans())
    ]
    return sorted(steps, key=lambda line: (not line.upstream, -line.above))


@st.composite
def within(draw: st.DrawFn, most: Usage) -> Usage:
    """Usage of which no total is more, and parts of whatever size."""
    totals = ("input_tokens", "output_tokens", "images", "audio_milliseconds", "characters")
    return Usage(
        UsageSource.PROVIDER,
        **{unit: draw(st.integers(0, getattr(most, unit) if unit in totals else 5000)) for unit in UNITS},
    )


@given(
    lines(),
    st.builds(Usage, st.just(UsageSource.ESTIMATED), *[st.integers(0, 2000)] * len(UNITS)),
    st.sampled_from(list(Meter)),
    st.sampled_from(list(Unpriced)),
    st.none() | any_rates,
    st.sampled_from([None, "flex", "priority", "scale"]),
    st.sampled_from(["openai", "azure"]),
    st.sampled_from([NOW, NOW + 59, NOW + 61, NOW + HORIZON]),
    st.data(),
)
def test_no_attempt_costs_more_than_was_foreseen(
    book: list[Price],
    most: Usage,
    meter: Meter,
    unpriced: Unpriced,
    ceiling: Rates | None,
    tier: str | None,
    upstream: str,
    at: float,
    data: st.DataObject,
) -> None:
    model = Model("m", "openai", "m", prices=tuple(book))
    catalogue = Catalogue({"m": model}, ceiling=ceiling)
    policy = Policy("search", "5f3c", catalogue, unpriced=unpriced)
    bound = highest_cost(most, possible_rates(model, policy, NOW, most.input_tokens), meter)

    found = charge(
        data.draw(within(most)),
        model,
        meter,
        catalogue=catalogue,
        at=at,
        tier=tier,
        upstream=upstream,
        unpriced=unpriced,
    )

    assert (found.cost or 0) <= bound
