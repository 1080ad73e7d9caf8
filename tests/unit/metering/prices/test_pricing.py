"""Money: exact, whole, never negative, never invented."""

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Call
from gateway.core.endpoint import Meter
from gateway.core.policy import Catalogue, Model, Price, Rates, Unpriced
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import PricedBy
from gateway.metering.prices.pricing import Charge, asked_tier, charge, cost, has_price, line_for
from gateway.wire.endpoints import CHAT_COMPLETIONS

GPT = Rates(input=2_500_000, cached_input=1_250_000, cache_write=3_125_000, output=10_000_000)
AUDIO = Rates(input=2_500_000, output=10_000_000, audio_input=40_000_000, audio_output=80_000_000)
NO_RATES = Rates()
CEILING = Rates(input=100_000_000, output=500_000_000)
UNITS = [unit for unit in Usage._fields if unit != "source"]
DAY = 86_400.0


def used(**units: int) -> Usage:
    return Usage(UsageSource.PROVIDER, **units)


# What usage costs at given rates.


@pytest.mark.parametrize(
    ("usage", "rates", "meter", "micro_dollars"),
    [
        (used(input_tokens=1_000_000), GPT, Meter.TOKENS, 2_500_000),
        (used(output_tokens=1_000_000), GPT, Meter.TOKENS, 10_000_000),
        (used(input_tokens=1000, cached_tokens=400), GPT, Meter.TOKENS, 1500 + 500),
        (used(input_tokens=1000, cache_write_tokens=400), GPT, Meter.TOKENS, 1500 + 1250),
        (used(input_tokens=1000, cached_tokens=500, cache_write_tokens=400), GPT, Meter.TOKENS, 2125),
        (used(output_tokens=100, reasoning_tokens=90), GPT, Meter.TOKENS, 1000),
        (used(input_tokens=100, audio_input_tokens=60), AUDIO, Meter.TOKENS, 100 + 2400),
        (used(output_tokens=100, audio_output_tokens=60), AUDIO, Meter.TOKENS, 400 + 4800),
        (used(input_tokens=100, image_input_tokens=60), AUDIO, Meter.TOKENS, 250),
        (used(input_tokens=1000, cached_tokens=400), AUDIO, Meter.TOKENS, 2500),
        (used(input_tokens=1000, cache_write_tokens=400), AUDIO, Meter.TOKENS, 2500),
        (used(images=3), Rates(image=40_000), Meter.IMAGES, 120_000),
        (used(audio_milliseconds=90_000), Rates(audio_minute=6_000), Meter.AUDIO, 9_000),
        (used(characters=1000), Rates(characters=15_000_000), Meter.CHARACTERS, 15_000),
        (used(), GPT, Meter.TOKENS, 0),
        (used(), NO_RATES, Meter.IMAGES, 0),
    ],
)
def test_usage_costs_its_units_at_their_prices(
    usage: Usage, rates: Rates, meter: Meter, micro_dollars: int
) -> None:
    assert cost(usage, rates, meter) == micro_dollars


@pytest.mark.parametrize(
    ("tokens", "micro_dollars"), [(1, 0), (4, 0), (5, 1), (6, 1), (14, 1), (15, 2), (25, 3)]
)
def test_half_a_micro_dollar_is_rounded_up(tokens: int, micro_dollars: int) -> None:
    """100,000 for a million tokens: a tenth of a micro-dollar each."""
    assert cost(used(input_tokens=tokens), Rates(input=100_000), Meter.TOKENS) == micro_dollars


def test_an_attempt_is_rounded_once_and_not_part_by_part() -> None:
    usage = used(input_tokens=4, output_tokens=4)
    assert cost(usage, Rates(input=100_000, output=100_000), Meter.TOKENS) == 1


@pytest.mark.parametrize(
    ("usage", "rates", "meter"),
    [
        (used(input_tokens=1), NO_RATES, Meter.TOKENS),
        (used(input_tokens=1, cached_tokens=1), Rates(output=1), Meter.TOKENS),
        (used(input_tokens=1, output_tokens=1), Rates(input=1), Meter.TOKENS),
        (used(output_tokens=1, audio_output_tokens=1), Rates(input=1), Meter.TOKENS),
        (used(images=1), GPT, Meter.IMAGES),
        (used(audio_milliseconds=1), GPT, Meter.AUDIO),
        (used(characters=1), GPT, Meter.CHARACTERS),
        (used(input_tokens=1), Rates(image=1), Meter.IMAGES),
    ],
)
def test_what_was_used_without_a_price_has_no_cost_and_is_never_free(
    usage: Usage, rates: Rates, meter: Meter
) -> None:
    assert cost(usage, rates, meter) is None


def test_a_price_of_zero_is_a_price() -> None:
    assert cost(used(input_tokens=9, output_tokens=9), Rates(input=0, output=0), Meter.TOKENS) == 0


def test_a_part_may_have_a_price_of_zero() -> None:
    rates = Rates(input=1_000_000, cached_input=0)
    assert cost(used(input_tokens=10, cached_tokens=4), rates, Meter.TOKENS) == 6


@pytest.mark.parametrize("meter", [Meter.IMAGES, Meter.AUDIO, Meter.CHARACTERS])
def test_an_answer_that_counts_tokens_is_billed_by_tokens(meter: Meter) -> None:
    rates = Rates(input=1_000_000, output=1_000_000, image=9, audio_minute=9, characters=9)
    usage = used(input_tokens=10, output_tokens=5, images=3, audio_milliseconds=3000, characters=3)
    assert cost(usage, rates, meter) == 15


def test_a_model_with_a_price_for_images_alone_is_billed_by_images() -> None:
    usage = used(input_tokens=10, output_tokens=500, images=2)
    assert cost(usage, Rates(image=40_000), Meter.IMAGES) == 80_000


def test_parts_that_exceed_their_total_are_charged_within_it() -> None:
    usage = used(input_tokens=10, audio_input_tokens=8, cached_tokens=8)
    assert cost(usage, Rates(input=1_000_000, cached_input=0, audio_input=2_000_000), Meter.TOKENS) == 16


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("meter", list(Meter))
def test_a_negative_count_is_never_a_credit(unit: str, meter: Meter) -> None:
    rates = Rates(*[1_000_000] * len(fields(Rates)))
    assert cost(used(**{unit: -5}), rates, meter) == 0


@pytest.mark.parametrize(
    ("rates", "priced"),
    [
        (Rates(input=1), {*Meter}),
        (Rates(output=0), {*Meter}),
        (Rates(image=1), {Meter.IMAGES, Meter.FREE}),
        (Rates(characters=1), {Meter.CHARACTERS, Meter.FREE}),
        (Rates(audio_minute=1), {Meter.AUDIO, Meter.FREE}),
    ],
)
def test_rates_are_good_for_tokens_everywhere_or_for_their_own_unit(rates: Rates, priced: set[Meter]) -> None:
    assert {meter for meter in Meter if has_price(rates, meter)} == priced


# Which line of the book holds.


def line(amount: int, **kind: Any) -> Price:
    return Price(Rates(input=amount * 1_000_000, output=amount * 1_000_000), **kind)


def a_model(*lines: Price) -> Model:
    """The lines in the order in which the book gives them: the more particular first."""
    return Model("m", "openai", "m", prices=lines)


STEPS = a_model(line(9, above=200), line(4, above=100), line(2, tier="flex"), line(3))


@pytest.mark.parametrize("tier", [None, "", "default", "auto", "standard"])
def test_an_answer_that_names_no_other_tier_is_of_the_standard_one(tier: str | None) -> None:
    assert line_for(STEPS, 0, tier) is STEPS.prices[3]


def test_another_tier_has_its_own_line() -> None:
    assert line_for(STEPS, 0, "flex") is STEPS.prices[2]


@pytest.mark.parametrize("tier", ["priority", "scale", "Flex", "nonsense"])
def test_a_tier_without_a_line_is_not_taken_for_the_standard_one(tier: str) -> None:
    assert line_for(STEPS, 0, tier) is None


@pytest.mark.parametrize(
    ("tokens", "number"), [(-5, 3), (0, 3), (1, 3), (100, 3), (101, 1), (200, 1), (201, 0)]
)
def test_the_highest_step_below_the_input_holds(tokens: int, number: int) -> None:
    assert line_for(STEPS, 0, None, tokens) is STEPS.prices[number]


def test_a_step_prices_the_whole_attempt() -> None:
    usage = used(input_tokens=101, output_tokens=10)
    assert charge(usage, STEPS, Meter.TOKENS, catalogue=Catalogue({}), at=0).cost == 111 * 4


@pytest.mark.parametrize(("at", "number"), [(0, None), (DAY - 0.001, None), (DAY, 0), (2 * DAY, 1)])
def test_a_line_holds_from_its_first_moment_until_just_before_its_last(at: float, number: int | None) -> None:
    model = a_model(line(1, since=DAY, until=2 * DAY), line(2, since=2 * DAY))
    assert line_for(model, at) is (None if number is None else model.prices[number])


def test_an_upstream_s_own_line_goes_before_that_of_all() -> None:
    model = a_model(line(1, upstream="azure"), line(2))
    assert line_for(model, 0, upstream="azure") is model.prices[0]
    assert line_for(model, 0, upstream="openai") is model.prices[1]
    assert line_for(model, 0) is model.prices[1]
    assert line_for(replace(model, upstream="azure"), 0) is model.prices[0]


def test_where_an_upstream_has_no_line_of_its_own_for_a_tier_that_of_all_holds() -> None:
    model = a_model(line(1, upstream="azure"), line(2, tier="flex"), line(3))
    assert line_for(model, 0, "flex", upstream="azure") is model.prices[1]


def test_without_a_model_there_is_no_line() -> None:
    assert line_for(None, 0) is None


@pytest.mark.parametrize(
    ("asked", "tier"),
    [("flex", "flex"), ("fast", "priority"), ("auto", "auto"), (None, None), (7, None), (["flex"], None)],
)
def test_the_tier_is_expected_by_the_name_that_the_answer_will_give_it(asked: Any, tier: str | None) -> None:
    assert asked_tier(Call(CHAT_COMPLETIONS, "application/json", b"", {"service_tier": asked})) == tier


# What an attempt costs, and by what.


def charged(usage: Usage, *lines: Price, meter: Meter = Meter.TOKENS, **how: Any) -> Charge:
    book = Catalogue({}, price_version="77d1", ceiling=how.pop("ceiling", None))
    return charge(usage, a_model(*lines), meter, catalogue=book, **{"at": 0.0, **how})


def test_what_the_book_prices_costs_that() -> None:
    assert charged(used(input_tokens=10), Price(GPT)) == Charge(25, PricedBy.BOOK, "77d1")


def test_what_rounds_to_nothing_is_priced_by_the_book_all_the_same() -> None:
    assert charged(used(input_tokens=1), Price(Rates(input=100_000))) == Charge(0, PricedBy.BOOK, "77d1")


@pytest.mark.parametrize("unpriced", Unpriced)
def test_what_used_nothing_is_free_even_without_a_price(unpriced: Unpriced) -> None:
    assert charged(used(), unpriced=unpriced, ceiling=CEILING) == Charge(0, PricedBy.FREE, "")
    assert charged(used(), Price(GPT), unpriced=unpriced) == Charge(0, PricedBy.FREE, "")


def test_a_free_endpoint_costs_nothing_even_without_a_price() -> None:
    assert charged(used(input_tokens=10**6), meter=Meter.FREE) == Charge(0, PricedBy.FREE, "")


@pytest.mark.parametrize("unpriced", [Unpriced.ALARM, Unpriced.REFUSE])
@pytest.mark.parametrize(
    ("lines", "how"),
    [
        ([], {}),
        ([Price(Rates(output=1))], {}),
        ([Price(GPT)], {"tier": "flex"}),
        ([Price(GPT, since=DAY)], {}),
        ([Price(GPT, until=-DAY)], {}),
        ([Price(GPT, upstream="azure")], {}),
    ],
)
def test_what_was_used_without_a_price_is_unpriced(
    lines: list[Price], how: dict[str, Any], unpriced: Unpriced
) -> None:
    found = charged(used(input_tokens=10), *lines, ceiling=CEILING, unpriced=unpriced, **how)
    assert found == Charge(None, PricedBy.NOTHING, "77d1")


def test_where_the_policy_says_so_it_costs_what_the_ceiling_says() -> None:
    usage = used(input_tokens=10, output_tokens=2)
    wanted = Charge(10 * 100 + 2 * 500, PricedBy.CEILING, "77d1")
    for lines in ([], [Price(Rates(input=1))], [Price(GPT, tier="flex")]):
        assert charged(usage, *lines, ceiling=CEILING, unpriced=Unpriced.CEILING) == wanted


def test_the_ceiling_is_for_what_has_no_price_alone() -> None:
    found = charged(used(input_tokens=10), Price(GPT), ceiling=CEILING, unpriced=Unpriced.CEILING)
    assert found == Charge(25, PricedBy.BOOK, "77d1")


@pytest.mark.parametrize("ceiling", [None, CEILING])
def test_what_the_ceiling_does_not_price_either_is_unpriced(ceiling: Rates | None) -> None:
    found = charged(used(images=1), meter=Meter.IMAGES, ceiling=ceiling, unpriced=Unpriced.CEILING)
    assert found == Charge(None, PricedBy.NOTHING, "77d1")


# What holds for all of it.

amounts = st.integers(0, 10**9)
prices = st.none() | amounts
any_rates = st.builds(Rates, *[prices] * len(fields(Rates)))
full_rates = st.builds(Rates, *[amounts] * len(fields(Rates)))
meters = st.sampled_from(list(Meter))
any_usage = st.builds(Usage, st.just(UsageSource.PROVIDER), *[amounts] * len(UNITS))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts within their totals, as a sane upstream counts them."""
    asked = [draw(amounts) for _ in range(5)]
    answered = [draw(amounts) for _ in range(3)]
    return used(
        input_tokens=sum(asked),
        audio_input_tokens=asked[0],
        image_input_tokens=asked[1],
        cached_tokens=asked[2],
        cache_write_tokens=asked[3],
        output_tokens=sum(answered),
        audio_output_tokens=answered[0],
        image_output_tokens=answered[1],
    )


@st.composite
def books(draw: st.DrawFn, rates: st.SearchStrategy[Rates] = any_rates) -> Model:
    """Lines of some tiers, each with steps."""
    lines = []
    for tier in draw(st.sets(st.sampled_from(["flex", "priority"]))) | {""}:
        steps = draw(st.sets(st.integers(1, 10**9), max_size=3)) | {0}
        lines += [Price(draw(rates), tier=tier, above=step) for step in sorted(steps, reverse=True)]
    return a_model(*lines)


def split(usage: Usage, rates: Rates) -> list[tuple[int, int | None]]:
    """The tokens by parts that do not overlap, each with its price."""
    heard, seen = usage.audio_input_tokens, usage.image_input_tokens
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    spoken, drawn = usage.audio_output_tokens, usage.image_output_tokens

    def own(price: int | None, whole: int | None) -> int | None:
        return whole if price is None else price

    return [
        (usage.input_tokens - heard - seen - cached - written, rates.input),
        (heard, own(rates.audio_input, rates.input)),
        (seen, own(rates.image_input, rates.input)),
        (cached, own(rates.cached_input, rates.input)),
        (written, own(rates.cache_write, rates.input)),
        (usage.output_tokens - spoken - drawn, rates.output),
        (spoken, own(rates.audio_output, rates.output)),
        (drawn, own(rates.image_output, rates.output)),
    ]


def exactly(usage: Usage, rates: Rates) -> Fraction | None:
    """The same sum by another way: exact fractions, part by part. None: a part that was used has no price."""
    parts = [(tokens, price) for tokens, price in split(usage, rates) if tokens]
    if any(price is None for _, price in parts):
        return None
    return sum((Fraction(tokens * (price or 0), 1_000_000) for tokens, price in parts), Fraction(0))


def rounded(exact: Fraction | None) -> int | None:
    return None if exact is None else int(exact + Fraction(1, 2))


@given(usages(), any_rates)
def test_tokens_cost_what_exact_fractions_say_rounded_half_up(usage: Usage, rates: Rates) -> None:
    assert cost(usage, rates, Meter.TOKENS) == rounded(exactly(usage, rates))


@given(amounts, amounts)
def test_minutes_cost_what_exact_fractions_say_rounded_half_up(milliseconds: int, rate: int) -> None:
    found = cost(used(audio_milliseconds=milliseconds), Rates(audio_minute=rate), Meter.AUDIO)
    assert found == rounded(Fraction(milliseconds * rate, 60_000))


@given(amounts, amounts)
def test_characters_cost_what_exact_fractions_say_rounded_half_up(count: int, rate: int) -> None:
    found = cost(used(characters=count), Rates(characters=rate), Meter.CHARACTERS)
    assert found == rounded(Fraction(count * rate, 1_000_000))


@given(st.lists(usages(), max_size=20), full_rates)
def test_the_sum_of_many_attempts_is_off_by_their_roundings_and_no_more(
    attempts: list[Usage], rates: Rates
) -> None:
    """Each is off by half a micro-dollar at most, either way."""
    reckoned = sum(cost(usage, rates, Meter.TOKENS) or 0 for usage in attempts)
    exact = sum((exactly(usage, rates) or Fraction(0) for usage in attempts), Fraction(0))
    assert abs(reckoned - exact) <= Fraction(len(attempts), 2)


@given(usages(), full_rates)
def test_the_parts_add_up_to_the_whole(usage: Usage, rates: Rates) -> None:
    """Each part reckoned by itself, as if it were an attempt of its own, is rounded by itself."""
    apart = [cost(used(input_tokens=n), Rates(input=price), Meter.TOKENS) for n, price in split(usage, rates)]
    whole = cost(usage, rates, Meter.TOKENS)
    assert whole is not None
    assert abs(sum(part or 0 for part in apart) - whole) <= (len(apart) + 1) / 2


@given(any_usage, any_rates, st.sampled_from(UNITS), amounts, meters)
def test_whatever_is_used_of_whatever_is_never_a_credit(
    usage: Usage, rates: Rates, unit: str, amount: int, meter: Meter
) -> None:
    for each in (usage, usage._replace(**{unit: -amount})):
        assert (cost(each, rates, meter) or 0) >= 0


@given(usages(), full_rates, st.sampled_from(["input_tokens", "output_tokens"]), amounts)
def test_more_tokens_never_cost_less(usage: Usage, rates: Rates, total: str, more: int) -> None:
    larger = usage._replace(**{total: getattr(usage, total) + more})
    assert (cost(larger, rates, Meter.TOKENS) or 0) >= (cost(usage, rates, Meter.TOKENS) or 0)


@given(books(full_rates), st.integers(0, 10**9), st.integers(0, 10**9), amounts)
def test_where_longer_input_is_not_cheaper_more_input_never_costs_less(
    model: Model, one: int, other: int, output: int
) -> None:
    """A step reprices the whole attempt, so a book whose steps fall may well make more input cheaper."""
    rising = a_model(
        *(replace(each, rates=Rates(input=5_000_000 + each.above, output=7)) for each in model.prices)
    )
    less, more = sorted((one, other))
    costs = [
        charge(
            used(input_tokens=n, output_tokens=output),
            rising,
            Meter.TOKENS,
            catalogue=Catalogue({}),
            at=0,
        ).cost
        for n in (less, more)
    ]
    assert (costs[0] or 0) <= (costs[1] or 0)


@given(usages(), books(), st.sampled_from([None, "default", "flex", "priority", "scale"]))
def test_every_attempt_is_reckoned_by_one_line_and_by_that_alone(
    usage: Usage, model: Model, tier: str | None
) -> None:
    held = line_for(model, 0, tier, usage.input_tokens)
    found = charge(usage, model, Meter.TOKENS, catalogue=Catalogue({}), at=0, tier=tier)
    assert found.cost == (rounded(exactly(usage, held.rates)) if held else None if any(usage[1:]) else 0)


@given(usages(), books(), st.sampled_from(list(Unpriced)), st.none() | any_rates, meters)
def test_what_was_used_never_costs_nothing_unless_that_is_its_price(
    usage: Usage, model: Model, unpriced: Unpriced, ceiling: Rates | None, meter: Meter
) -> None:
    book = Catalogue({}, ceiling=ceiling)
    found = charge(usage, model, meter, catalogue=book, at=0, unpriced=unpriced)
    if found.by is PricedBy.FREE:
        assert meter is Meter.FREE or not any(usage[1:])
    elif found.by is PricedBy.NOTHING:
        assert found.cost is None
    elif meter is Meter.TOKENS:
        held = line_for(model, 0, None, usage.input_tokens)
        rates = ceiling if found.by is PricedBy.CEILING else held.rates if held else None
        assert rates is not None
        exact = exactly(usage, rates)
        assert exact is not None
        assert (found.cost == 0) == (exact < Fraction(1, 2))
