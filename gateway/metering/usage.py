"""What an attempt used when the provider did not say, or said what cannot be. Numbers in, a Usage out."""

from operator import attrgetter
from typing import Final

from gateway.core.endpoint import Meter
from gateway.core.usage import Usage, UsageSource

MOST: Final = 10**12
"""Of any unit in one attempt. More is a fault of the upstream, and once priced would not fit its column."""

AUDIO_BYTES_PER_MILLISECOND: Final = 8
"""The assumption by which a file's size becomes a duration: speech at 64 kbit/s."""

_UNITS: Final = tuple(name for name in Usage._fields if name != "source")
_counts: Final = attrgetter(*_UNITS)


def estimate(
    meter: Meter,
    *,
    source: UsageSource = UsageSource.ESTIMATED,
    input_tokens: int = 0,
    output_tokens: int = 0,
    images: int = 0,
    characters: int = 0,
    audio_bytes: int = 0,
) -> Usage:
    """Our own count, in the one unit by which the endpoint is billed when its answer counts no tokens.

    `input_tokens` as counted before sending, `output_tokens` as generated so far, `images` as asked for,
    `characters` of the input text, `audio_bytes` of the uploaded file. Nothing for a free endpoint.
    """
    match meter:
        case Meter.TOKENS:
            return Usage(source, input_tokens=input_tokens, output_tokens=output_tokens)
        case Meter.IMAGES:
            return Usage(source, images=images)
        case Meter.CHARACTERS:
            return Usage(source, characters=characters)
        case Meter.AUDIO:
            return Usage(source, audio_milliseconds=-(-audio_bytes // AUDIO_BYTES_PER_MILLISECOND))
        case Meter.FREE:
            return Usage(source)


def bounded(usage: Usage) -> Usage:
    """The same, unless a count is below zero or beyond `MOST`: then within bounds, and called an estimate."""
    counts = _counts(usage)
    if min(counts) >= 0 and max(counts) <= MOST:
        return usage
    within = {unit: min(max(count, 0), MOST) for unit, count in zip(_UNITS, counts, strict=True)}
    return usage._replace(source=UsageSource.ESTIMATED, **within)
