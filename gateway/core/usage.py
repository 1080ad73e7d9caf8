"""What an attempt consumed, in the units in which it is billed, and how we know."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class UsageSource(StrEnum):
    """How we know. An auditor asks this first."""

    PROVIDER = "provider"
    """The provider's own count, complete."""
    ESTIMATED = "estimated"
    """Our own count: the provider gave none."""
    PARTIAL = "partial"
    """Our own count of what passed before the answer was cut."""


class Usage(NamedTuple):
    """Whole units only. The parts (`cached`, `audio`, `reasoning` …) are contained in their totals."""

    source: UsageSource
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Doubt(StrEnum):
    """Why a provider's own count is not believed, and ours is used. A label in metrics, so a closed list."""

    ABSENT = "absent"
    """A whole answer said nothing of it, and should have."""
    UNREADABLE = "unreadable"
    """No whole numbers, or a shape that nobody knows."""
    NEGATIVE = "negative"
    INCONSISTENT = "inconsistent"
    """A part is larger than its total, or the total smaller than what it is made of."""
    ABSURD = "absurd"
    """More than the model and the request allow."""
    ZERO = "zero"
    """Nothing, for an answer that visibly had something."""
    LATE = "late"
    """It came after the end of the answer."""


UNITS: Final = tuple(name for name in Usage._fields if name != "source")
TOTALS: Final = "input_tokens", "output_tokens", "images", "audio_milliseconds", "characters"
"""The units that are no part of another: something was used when one of these is above zero."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read off an answer as it passed. `usage` is None when it said nothing of it, or nothing that
    can be believed.
    """

    usage: Usage | None = None
    model: str | None = None
    service_tier: str | None = None
    finished: bool = False
    """The answer came to its proper end, as its own dialect tells."""
    error: str | None = None
    """The code (or type) of an error that the upstream reported inside a good status."""
    doubt: Doubt | None = None
    """What was wrong with the usage that it told."""
