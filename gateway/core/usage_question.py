"""A question to the ledger about what was used, by time and by whose it was; and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Whose(StrEnum):
    """By what sums can be told apart, and picked."""

    TEAM = "team"
    SUBJECT = "subject"
    KEY = "key_id"
    MODEL = "model"
    """As the answer named it; as the catalogue calls it where there was no answer, or it named none."""
    ENDPOINT = "endpoint"
    SERVICE_TIER = "service_tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """Sums over the attempts settled from `since` on and before `until` (seconds since 1970)."""

    since: int
    until: int
    width: int
    """Seconds of a bucket: a day, an hour, a minute. Buckets begin by the clock, in UTC."""
    by: tuple[Whose, ...] = ()
    only: Mapping[Whose, frozenset[str]]
    """What is picked. Nothing at all, when one of the sets is empty."""


class Sums(NamedTuple):
    """Of settlements and their corrections. Units as in `core/usage.py`."""

    attempts: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    audio_input_tokens: int
    image_input_tokens: int
    output_tokens: int
    audio_output_tokens: int
    image_output_tokens: int
    images: int
    audio_milliseconds: int
    characters: int
    cost: int
    """Micro-dollars of the attempts whose cost is known."""
    unpriced: int
    """Attempts whose cost is not known."""


@dataclass(frozen=True, slots=True)
class UsageSum:
    """One group of one bucket."""

    bucket: int
    """Seconds since 1970: the bucket's beginning by the clock, even if the question begins later."""
    group: tuple[str, ...]
    """In the order of the question's `by`; what is not known is an empty text."""
    sums: Sums
