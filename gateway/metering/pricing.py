"""What usage costs, in whole micro-dollars. Integers only; rounded once for each attempt, half up.

Every price is a number of micro-dollars for so many units (see `core/policy.py`), so all are brought to one
common denominator, summed, and divided at the end.
"""

from collections.abc import Sequence
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

_Charge = tuple[int, int | None, int]
"""Units, their price as it stands in the price book, and the factor that brings it to the denominator."""


def cost(usage: Usage, price: Price | None, meter: Meter) -> int | None:
    """Micro-dollars; None (`unpriced`) when something was used that has no price, never 0 for it.

    Billed by tokens when the answer counted tokens and the model has token prices, else by the meter's own
    unit. What used nothing costs 0, and so does a free endpoint.
    """
    if meter is Meter.FREE:
        return 0
    price = price or _NO_PRICE
    total = _sum(_tokens(usage, price))
    unit = _units(usage, price, meter)
    if unit[0] > 0 and (total is None or usage.total_tokens <= 0):
        total = _sum((unit,))
    return None if total is None else (total + _DENOMINATOR // 2) // _DENOMINATOR


def _tokens(usage: Usage, price: Price) -> Sequence[_Charge]:
    """Each part at its own price or its total's. Tokens that are of two parts count once, as the dearer."""
    left = max(usage.input_tokens, 0)
    left -= (audio := _part(usage.audio_input_tokens, left))
    left -= (image := _part(usage.image_input_tokens, left))
    left -= (cached := _part(usage.cached_tokens, left))
    spoken = max(usage.output_tokens, 0)
    spoken -= (audio_output := _part(usage.audio_output_tokens, spoken))
    spoken -= (image_output := _part(usage.image_output_tokens, spoken))
    return (
        (audio, _own(price.audio_input, price.input), _PER_MILLION),
        (image, _own(price.image_input, price.input), _PER_MILLION),
        (cached, _own(price.cached_input, price.input), _PER_MILLION),
        (left, price.input, _PER_MILLION),
        (audio_output, _own(price.audio_output, price.output), _PER_MILLION),
        (image_output, _own(price.image_output, price.output), _PER_MILLION),
        (spoken, price.output, _PER_MILLION),
    )


def _units(usage: Usage, price: Price, meter: Meter) -> _Charge:
    """The meter's own unit. Tokens have none besides tokens."""
    match meter:
        case Meter.IMAGES:
            return usage.images, price.image, _EACH
        case Meter.AUDIO:
            return usage.audio_milliseconds, price.audio_minute, _PER_MINUTE
        case Meter.CHARACTERS:
            return usage.characters, price.characters, _PER_MILLION
        case _:
            return 0, None, 0


def _sum(charges: Sequence[_Charge]) -> int | None:
    """In parts of the denominator; None when something was used that has no price."""
    total = 0
    for units, price, factor in charges:
        if units > 0:
            if price is None:
                return None
            total += units * price * factor
    return total


def _part(tokens: int, whole: int) -> int:
    """A part is never more than what is left of its whole, whatever the upstream says."""
    return min(max(tokens, 0), whole)


def _own(price: int | None, whole: int | None) -> int | None:
    return whole if price is None else price
