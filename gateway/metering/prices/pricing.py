"""What usage costs, in whole micro-dollars. Integers only; rounded once for each attempt, half up.

An attempt is reckoned by one line of the price book: that of its upstream, of the service tier that its
answer named, of its own number of input tokens, in force when it was admitted. Every price is a number of
micro-dollars for so many units (see `core/policy.py`), so all are brought to one common denominator, summed,
and divided at the end.
"""

from typing import Final, NamedTuple

from gateway.core.call import Call
from gateway.core.endpoint import Meter
from gateway.core.policy import Catalogue, Model, Price, Rates, Unpriced
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import PricedBy

STANDARD: Final = frozenset({None, "", "auto", "default", "standard"})
"""How answers name the tier whose lines say no `tier`."""
_ANSWERED_AS: Final = {"fast": "priority"}
"""Tiers that answers name otherwise than requests."""

_DENOMINATOR: Final = 3_000_000
"""The least common multiple of a million (tokens, characters) and 60,000 (milliseconds in a minute)."""
_PER_MILLION: Final = _DENOMINATOR // 1_000_000
_PER_MINUTE: Final = _DENOMINATOR // 60_000
_EACH: Final = _DENOMINATOR
_HALF: Final = _DENOMINATOR // 2

_Parts = tuple[tuple[int, int | None], ...]
"""Tokens of each special kind within a total, and their own price."""


class Charge(NamedTuple):
    """What an attempt costs, and by what."""

    cost: int | None
    """Micro-dollars; None is `unpriced`, and never 0."""
    by: PricedBy
    version: str
    """Of the price book; empty when it was not asked."""


_FREE: Final = Charge(0, PricedBy.FREE, "")
_NOTHING_USED: Final = Usage(UsageSource.ESTIMATED)


def charge(
    usage: Usage,
    model: Model | None,
    meter: Meter,
    *,
    catalogue: Catalogue,
    at: float,
    tier: str | None = None,
    upstream: str = "",
    unpriced: Unpriced = Unpriced.ALARM,
) -> Charge:
    """What an attempt costs that was admitted `at` (seconds since 1970) and answered in this `tier`.

    `upstream`: the one that was asked; the model's own unless it is said. When anything was used that the
    line does not price, all of the attempt is unpriced; with `Unpriced.CEILING` all of it costs the ceiling.
    """
    if meter is Meter.FREE:
        return _FREE
    line = line_for(model, at, tier, usage.input_tokens, upstream)
    amount = None if line is None else cost(usage, line.rates, meter)
    if amount:
        return Charge(amount, PricedBy.BOOK, catalogue.price_version)
    if max(usage[1:]) <= 0:
        return _FREE
    if amount is not None:
        return Charge(amount, PricedBy.BOOK, catalogue.price_version)
    if unpriced is Unpriced.CEILING and catalogue.ceiling is not None:
        amount = cost(usage, catalogue.ceiling, meter)
    by = PricedBy.NOTHING if amount is None else PricedBy.CEILING
    return Charge(amount, by, catalogue.price_version)


def line_for(
    model: Model | None, at: float, tier: str | None = None, input_tokens: int = 0, upstream: str = ""
) -> Price | None:
    """The line of the price book by which such an attempt is reckoned; None when there is none."""
    if model is None:
        return None
    wanted = "" if tier in STANDARD else tier
    asked = upstream or model.upstream
    highest = input_tokens - 1 if input_tokens > 0 else 0
    for line in model.prices:  # the more particular stand first
        if (
            line.tier == wanted
            and line.above <= highest
            and line.since <= at < line.until
            and (not line.upstream or line.upstream == asked)
        ):
            return line
    return None


def asked_tier(call: Call) -> str | None:
    """The service tier in which an answer is expected: the one that is asked for, as answers name it."""
    tier = call.get("service_tier")
    return _ANSWERED_AS.get(tier, tier) if isinstance(tier, str) else None


def cost(usage: Usage, rates: Rates, meter: Meter) -> int | None:
    """Micro-dollars at these rates; None when something was used that has no price, never 0 for it.

    Billed by tokens when the answer counted tokens and there are prices for them, else by the meter's own
    unit. What used nothing costs 0, and so does a free endpoint.
    """
    if meter is Meter.FREE:
        return 0
    total = _by_tokens(usage, rates)
    if meter is not Meter.TOKENS:
        units, unit_price, factor = _units(usage, rates, meter)
        if units > 0 and (total is None or usage.total_tokens <= 0):
            total = None if unit_price is None else units * unit_price * factor
    return None if total is None else (total + _HALF) // _DENOMINATOR


def has_price(rates: Rates, meter: Meter) -> bool:
    """Whether an attempt that is billed like this can cost anything by these rates."""
    if meter is Meter.FREE or rates.input is not None or rates.output is not None:
        return True
    return _units(_NOTHING_USED, rates, meter)[1] is not None


def _by_tokens(usage: Usage, rates: Rates) -> int | None:
    _, given, cached, written, heard, seen, answered, _, spoken, drawn, _, _, _ = usage
    asked = _side(
        given,
        rates.input,
        (
            (heard, rates.audio_input),
            (seen, rates.image_input),
            (cached, rates.cached_input),
            (written, rates.cache_write),
        )
        if heard or seen or cached or written
        else (),
    )
    told = _side(
        answered,
        rates.output,
        ((spoken, rates.audio_output), (drawn, rates.image_output)) if spoken or drawn else (),
    )
    return None if asked is None or told is None else (asked + told) * _PER_MILLION


def _side(total: int, price: int | None, parts: _Parts) -> int | None:
    """Each part at its own price, the rest at the total's. None when one that counts has neither.

    A part is never more than what is left of the total, whatever the upstream says: tokens that are of two
    parts (cached audio) count once, as the part that stands first.
    """
    amount, left = 0, total
    for tokens, own in parts:
        if tokens > 0 and left > 0:
            part = min(tokens, left)
            left -= part
            rate = price if own is None else own
            if rate is None:
                return None
            amount += part * rate
    if left > 0:
        if price is None:
            return None
        amount += left * price
    return amount


def _units(usage: Usage, rates: Rates, meter: Meter) -> tuple[int, int | None, int]:
    """How many of the meter's own unit (tokens apart), their price, and the factor to the denominator."""
    match meter:
        case Meter.IMAGES:
            return usage.images, rates.image, _EACH
        case Meter.AUDIO:
            return usage.audio_milliseconds, rates.audio_minute, _PER_MINUTE
        case Meter.CHARACTERS:
            return usage.characters, rates.characters, _PER_MILLION
        case _:
            return 0, None, 0
