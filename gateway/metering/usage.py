"""What an attempt used when the provider did not say, or said what cannot be. Numbers in, a Usage out."""

from operator import attrgetter
from typing import Final

from gateway.core.endpoint import Meter
from gateway.core.usage import UNITS, Doubt, Usage, UsageSource

MOST: Final = 10**12
"""Of any unit in one attempt. More is a fault of the upstream, and once priced would not fit its column."""

AUDIO_BYTES_PER_MILLISECOND: Final = 8
"""The assumption by which a file's size becomes a duration: speech at 64 kbit/s."""

ALLOWED_FACTOR: Final = 2
ALLOWED_MORE: Final = 64
"""An output of more than twice what was allowed and 64 tokens is absurd. Some upstreams count a little more
than their caps bound: the marks at an answer's end, or reasoning."""

_counts: Final = attrgetter(*UNITS)


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


def doubt(
    usage: Usage | None,
    *,
    meter: Meter,
    whole: bool,
    asked: bool,
    answered: bool,
    most_input: int | None,
    most_output: int | None,
) -> Doubt | None:
    """What speaks against the provider's own count of a good answer; None when it can be believed.

    `whole`: the answer came to its end. `asked`, `answered`: whether there was any text to be counted, as far
    as that could be seen. `most_*`: tokens that the model and the request allow; None when nobody knows.
    """
    if meter is Meter.FREE:
        return None
    if usage is None:
        return Doubt.ABSENT if whole and meter is Meter.TOKENS else None
    if not any(_counts(usage)):
        return Doubt.ZERO
    if meter is not Meter.TOKENS:
        return None
    if (asked and not usage.input_tokens) or (answered and not usage.output_tokens):
        return Doubt.ZERO
    if most_input is not None and usage.input_tokens > most_input:
        return Doubt.ABSURD
    if most_output is not None and usage.output_tokens > most_output * ALLOWED_FACTOR + ALLOWED_MORE:
        return Doubt.ABSURD
    return None


def bounded(usage: Usage) -> Usage:
    """The same, unless a count is below zero or beyond `MOST`: then within bounds, and called an estimate."""
    counts = _counts(usage)
    if min(counts) >= 0 and max(counts) <= MOST:
        return usage
    within = {unit: min(max(count, 0), MOST) for unit, count in zip(UNITS, counts, strict=True)}
    return usage._replace(source=UsageSource.ESTIMATED, **within)
