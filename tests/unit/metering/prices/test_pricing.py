"""Money: exact, whole, never negative, never invented."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Meter
from gateway.core.policy import Price
from gateway.core.usage import Usage, UsageSource
from gateway.metering.prices.pricing import cost

GPT = Price(input=2_500_000, cached_input=1_250_000, output=10_000_000)
AUDIO = Price(input=2_500_000, output=10_000_000, audio_input=40_000_000, audio_output=80_000_000)


def used(**units: int) -> Usage:
    return Usage(UsageSource.PROVIDER, **units)


@pytest.mark.parametrize(
    ("usage", "price", "meter", "micro_dollars"),
    [
        (used(input_tokens=1_000_000), GPT, Meter.TOKENS, 2_500_000),
        (used(output_tokens=1_000_000), GPT, Meter.TOKENS, 10_000_000),
        (used(input_tokens=1000, cached_tokens=400), GPT, Meter.TOKENS, 1500 + 500),
        (used(output_tokens=100, reasoning_tokens=90), GPT, Meter.TOKENS, 1000),
        (used(input_tokens=100, audio_input_tokens=60), AUDIO, Meter.TOKENS, 100 + 2400),
        (used(output_tokens=100, audio_output_tokens=60), AUDIO, Meter.TOKENS, 400 + 4800),
        (used(input_tokens=100, image_input_tokens=60), AUDIO, Meter.TOKENS, 250),
        (used(input_tokens=1000, cached_tokens=400), AUDIO, Meter.TOKENS, 2500),
        (used(images=3), Price(image=40_000), Meter.IMAGES, 120_000),
        (used(audio_milliseconds=90_000), Price(audio_minute=6_000), Meter.AUDIO, 9_000),
        (used(characters=1000), Price(characters=15_000_000), Meter.CHARACTERS, 15_000),
        (used(), GPT, Meter.TOKENS, 0),
        (used(), None, Meter.IMAGES, 0),
    ],
)
def test_usage_costs_its_units_at_their_prices(
    usage: Usage, price: Price | None, meter: Meter, micro_dollars: int
) -> None:
    assert cost(usage, price, meter) == micro_dollars


@pytest.mark.parametrize(
    ("tokens", "micro_dollars"), [(1, 0), (4, 0), (5, 1), (6, 1), (14, 1), (15, 2), (25, 3)]
)
def test_half_a_micro_dollar_is_rounded_up(tokens: int, micro_dollars: int) -> None:
    """100,000 for a million tokens: a tenth of a micro-dollar each."""
    assert cost(used(input_tokens=tokens), Price(input=100_000), Meter.TOKENS) == micro_dollars


def test_an_attempt_is_rounded_once_and_not_part_by_part() -> None:
    usage = used(input_tokens=4, output_tokens=4)
    assert cost(usage, Price(input=100_000, output=100_000), Meter.TOKENS) == 1


@pytest.mark.parametrize(
    ("usage", "price", "meter"),
    [
        (used(input_tokens=1), None, Meter.TOKENS),
        (used(input_tokens=1), Price(), Meter.TOKENS),
        (used(input_tokens=1, output_tokens=1), Price(input=1), Meter.TOKENS),
        (used(output_tokens=1, audio_output_tokens=1), Price(input=1), Meter.TOKENS),
        (used(images=1), GPT, Meter.IMAGES),
        (used(audio_milliseconds=1), GPT, Meter.AUDIO),
        (used(characters=1), GPT, Meter.CHARACTERS),
        (used(input_tokens=1), Price(image=1), Meter.IMAGES),
    ],
)
def test_what_was_used_without_a_price_is_unpriced_and_never_free(
    usage: Usage, price: Price | None, meter: Meter
) -> None:
    assert cost(usage, price, meter) is None


def test_a_price_of_zero_is_a_price() -> None:
    assert cost(used(input_tokens=9, output_tokens=9), Price(input=0, output=0), Meter.TOKENS) == 0


def test_a_part_may_have_a_price_of_zero() -> None:
    price = Price(input=1_000_000, cached_input=0)
    assert cost(used(input_tokens=10, cached_tokens=4), price, Meter.TOKENS) == 6


def test_what_is_free_costs_nothing_even_without_a_price() -> None:
    assert cost(used(input_tokens=1_000_000), None, Meter.FREE) == 0


@pytest.mark.parametrize("meter", [Meter.IMAGES, Meter.AUDIO, Meter.CHARACTERS])
def test_an_answer_that_counts_tokens_is_billed_by_tokens(meter: Meter) -> None:
    price = Price(input=1_000_000, output=1_000_000, image=9, audio_minute=9, characters=9)
    usage = used(input_tokens=10, output_tokens=5, images=3, audio_milliseconds=3000, characters=3)
    assert cost(usage, price, meter) == 15


def test_a_model_with_a_price_for_images_alone_is_billed_by_images() -> None:
    usage = used(input_tokens=10, output_tokens=500, images=2)
    assert cost(usage, Price(image=40_000), Meter.IMAGES) == 80_000


def test_parts_that_exceed_their_total_are_charged_within_it() -> None:
    usage = used(input_tokens=10, audio_input_tokens=8, cached_tokens=8)
    assert cost(usage, Price(input=1_000_000, cached_input=0, audio_input=2_000_000), Meter.TOKENS) == 16


@pytest.mark.parametrize("unit", [f for f in Usage._fields if f != "source"])
@pytest.mark.parametrize("meter", list(Meter))
def test_a_negative_count_is_never_a_credit(unit: str, meter: Meter) -> None:
    price = Price(*[1_000_000] * 10)
    assert cost(used(**{unit: -5}), price, meter) == 0


counts = st.integers(0, 10**9)
prices = st.none() | st.integers(0, 10**9)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts within their totals, as a sane upstream counts them."""
    texts = [draw(counts) for _ in range(7)]
    return used(
        input_tokens=sum(texts[:4]),
        audio_input_tokens=texts[0],
        image_input_tokens=texts[1],
        cached_tokens=texts[2],
        output_tokens=sum(texts[4:]),
        audio_output_tokens=texts[4],
        image_output_tokens=texts[5],
    )


any_price = st.builds(Price, *[prices] * 10)
full_price = st.builds(Price, *[st.integers(0, 10**9)] * 10)


def by_fractions(usage: Usage, price: Price) -> Fraction | None:
    """The same sum by another way: exact fractions, part by part."""
    text = usage.input_tokens - usage.audio_input_tokens - usage.image_input_tokens - usage.cached_tokens
    spoken = usage.output_tokens - usage.audio_output_tokens - usage.image_output_tokens
    lines = [
        (text, price.input, None),
        (usage.audio_input_tokens, price.audio_input, price.input),
        (usage.image_input_tokens, price.image_input, price.input),
        (usage.cached_tokens, price.cached_input, price.input),
        (spoken, price.output, None),
        (usage.audio_output_tokens, price.audio_output, price.output),
        (usage.image_output_tokens, price.image_output, price.output),
    ]
    total = Fraction(0)
    for tokens, own, whole in lines:
        rate = whole if own is None else own
        if tokens and rate is None:
            return None
        total += Fraction(tokens * (rate or 0), 1_000_000)
    return total


@given(usages(), any_price)
def test_tokens_cost_what_exact_fractions_say_rounded_half_up(usage: Usage, price: Price) -> None:
    exact = by_fractions(usage, price)
    expected = None if exact is None else int(exact + Fraction(1, 2))
    assert cost(usage, price, Meter.TOKENS) == expected


@given(counts, st.integers(0, 10**9))
def test_minutes_cost_what_exact_fractions_say_rounded_half_up(milliseconds: int, rate: int) -> None:
    exact = Fraction(milliseconds * rate, 60_000)
    assert cost(used(audio_milliseconds=milliseconds), Price(audio_minute=rate), Meter.AUDIO) == int(
        exact + Fraction(1, 2)
    )


@given(usages(), usages(), full_price)
def test_two_attempts_cost_what_one_of_both_would_but_for_rounding(
    first: Usage, second: Usage, price: Price
) -> None:
    both = used(
        **{unit: getattr(first, unit) + getattr(second, unit) for unit in Usage._fields if unit != "source"}
    )
    apart = (cost(first, price, Meter.TOKENS) or 0) + (cost(second, price, Meter.TOKENS) or 0)
    assert abs(apart - (cost(both, price, Meter.TOKENS) or 0)) <= 1


@given(st.builds(Usage, st.just(UsageSource.PROVIDER), *[st.integers(-100, 100)] * 12), full_price)
def test_whatever_an_upstream_says_is_never_a_credit(usage: Usage, price: Price) -> None:
    for meter in Meter:
        assert (cost(usage, price, meter) or 0) >= 0
