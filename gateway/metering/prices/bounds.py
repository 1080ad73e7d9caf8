"""The most that usage can cost, before anybody knows which line of the price book it will be reckoned by.

The answer names the tier, whatever was asked for; the provider counts the input; the ceiling may be charged;
and the last try of a request can be admitted after the prices have changed. So the bound is by the dearest of
all rates that can come to hold, of each side the highest.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.core.endpoint import Meter
from gateway.core.policy import Model, Policy, Rates, Unpriced
from gateway.core.usage import Usage
from gateway.metering.prices.pricing import cost

HORIZON: Final = 3_600.0
"""Seconds in which every try of a request has been admitted."""


def possible_rates(
    model: Model, policy: Policy, at: float, input_tokens: int | None = None
) -> Sequence[Rates]:
    """All rates by which an attempt can be reckoned that is made from `at` on (seconds since 1970).

    `input_tokens`: how many it can have at most; None when nobody bounds them.
    """
    lines = (
        line.rates
        for line in model.prices
        if line.since <= at + HORIZON
        and at < line.until
        and (not line.above or input_tokens is None or line.above < input_tokens)
    )
    ceiling = policy.catalogue.ceiling if policy.unpriced is Unpriced.CEILING else None
    return [*lines, *([ceiling] if ceiling else [])]


def highest_cost(most: Usage, rates: Iterable[Rates], meter: Meter) -> int:
    """Micro-dollars that usage within `most` costs at most by whichever of these rates: whatever it is billed
    by, and of whatever kind its tokens turn out to be.
    """
    dearest = _dearest(rates)
    units = most._replace(input_tokens=0, output_tokens=0)
    return max(cost(each, dearest, meter) or 0 for each in (most, units))


def has_token_prices(rates: Iterable[Rates]) -> bool:
    """Whether answers may be billed by tokens."""
    return any(each.input is not None or each.output is not None for each in rates)


def _dearest(rates: Iterable[Rates]) -> Rates:
    """Of each side the highest price; 0 where there is none, since nothing is charged then."""
    each = list(rates)
    asked = [
        price
        for one in each
        for price in (one.input, one.cached_input, one.cache_write, one.audio_input, one.image_input)
    ]
    answered = [price for one in each for price in (one.output, one.audio_output, one.image_output)]
    return Rates(
        input=_highest(asked),
        output=_highest(answered),
        image=_highest([one.image for one in each]),
        audio_minute=_highest([one.audio_minute for one in each]),
        characters=_highest([one.characters for one in each]),
    )


def _highest(prices: Iterable[int | None]) -> int:
    return max((price for price in prices if price is not None), default=0)
