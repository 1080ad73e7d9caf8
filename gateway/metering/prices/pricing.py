"""What usage costs, in whole micro-dollars. Integers only; rounded once for each attempt, half up.

Every price is a number of micro-dollars for so many units (see `core/policy.py`), so all are brought to one
common denominator, summed, and divided at the end.
"""

from typing import Final

from gateway.core.endpoint import Meter
from gateway.core.policy import Price
from gateway.core.usage import Usage

_DENOMINATOR: Final = 3_000_000
"""The least common multiple of a million (tokens, characters) and 60,000 (milliseconds in a minute)."""
_PER_MILLION: Final = _DENOMINATOR // 1_000_000
_PER_MINUTE: Final = _DENOMINATOR // 60_000
_EACH: Final = _DENOMINATOR

_NO_PRICE: Final = Price()

_Parts = tuple[tuple[int, int | None], ...]
"""Tokens of each special kind within a total, and their own price."""


def cost(usage: Usage, price: Price | None, meter: Meter) -> int | None:
    """Micro-dollars; None (`unpriced`) when something was used that has no price, never 0 for it.

    Billed by tokens when the answer counted tokens and the model has token prices, else by the meter's own
    unit. What used nothing costs 0, and so does a free endpoint.
    """
    if meter is Meter.FREE:
        return 0
    price = price or _NO_PRICE
    total = _by_tokens(usage, price)
    units, unit_price, factor = _units(usage, price, meter)
    if units > 0 and (total is None or usage.total_tokens <= 0):
        total = None if unit_price is None else units * unit_price * factor
    return None if total is None else (total + _DENOMINATOR // 2) // _DENOMINATOR


def _by_tokens(usage: Usage, price: Price) -> int | None:
    taken = _side(
        usage.input_tokens,
        price.input,
        (
            (usage.audio_input_tokens, price.audio_input),
            (usage.image_input_tokens, price.image_input),
            (usage.cached_tokens, price.cached_input),
        ),
    )
    given = _side(
        usage.output_tokens,
        price.output,
        (
            (usage.audio_output_tokens, price.audio_output),
            (usage.image_output_tokens, price.image_output),
        ),
    )
    return None if taken is None or given is None else (taken + given) * _PER_MILLION


def _side(total: int, price: int | None, parts: _Parts) -> int | None:
    """Each part at its own price, the rest at the total's. None when one that counts has neither.

    A part is never more than what is left of the total, whatever the upstream says: tokens that are of two
    parts (cached audio) count once, as the part that stands first.
    """
    amount, left = 0, max(total, 0)
    for tokens, own in parts:
        if tokens > 0 and left > 0:
            part = min(tokens, left)
            left -= part
            rate = price if own is None else own
            if rate is None:
                return None
            amount += part * rate
    if left:
        if price is None:
            return None
        amount += left * price
    return amount


def _units(usage: Usage, price: Price, meter: Meter) -> tuple[int, int | None, int]:
    """How many of the meter's own unit (tokens apart), their price, and the factor to the denominator."""
    match meter:
        case Meter.IMAGES:
            return usage.images, price.image, _EACH
        case Meter.AUDIO:
            return usage.audio_milliseconds, price.audio_minute, _PER_MINUTE
        case Meter.CHARACTERS:
            return usage.characters, price.characters, _PER_MILLION
        case _:
            return 0, None, 0
