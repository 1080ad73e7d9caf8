"""What providers call usage, in our words. The numbers come from outside and become money: a report in which
one of them is no sane whole number is a doubt and not believed at all, so that nobody is ever given credit.

Five shapes are in use (chat, embeddings, responses and images, speech and transcription, durations). They
differ in names only, so one table of names reads them all.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.usage import UNITS, Doubt, Observed, Usage, UsageSource

LARGEST: Final = 1 << 53
"""No answer has more tokens than this; a larger number is nonsense."""

_LONGEST_AUDIO: Final = 10_000_000
"""Seconds: four months."""

TAIL: Final = 64 * 1024
"""Bytes kept of the end of what is too long to be read whole; usage stands near the end."""

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""Everything that msgspec raises for bytes that are not the JSON we look for."""

_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_INPUT_DETAILS: Final = ("input_tokens_details", "input_token_details", "prompt_tokens_details")
_OUTPUT_DETAILS: Final = ("output_tokens_details", "output_token_details", "completion_tokens_details")
_INPUT_PARTS: Final = {
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_input_tokens": "audio_tokens",
    "image_input_tokens": "image_tokens",
}
_OUTPUT_PARTS: Final = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_output_tokens": "audio_tokens",
    "image_output_tokens": "image_tokens",
}
Told = Usage | Doubt | None
"""What an answer told of its usage: a count, something unusable, or nothing."""

_LOOKS: Final = 16
"""How many places in a tail are tried before it is given up."""


def read_usage(found: object) -> Told:
    """The provider's own count, from a decoded `usage` member. Null and absent are the same."""
    if found is None or found is msgspec.UNSET:
        return None
    if not isinstance(found, dict):
        return Doubt.UNREADABLE
    if found.get("type") == "duration":
        return read_duration(found.get("seconds")) or Doubt.UNREADABLE
    consumed, produced = _first(found, _INPUT), _first(found, _OUTPUT)
    produced = 0 if produced is None else produced
    taken = _parts(consumed, _first(found, _INPUT_DETAILS), _INPUT_PARTS)
    given = _parts(produced, _first(found, _OUTPUT_DETAILS), _OUTPUT_PARTS)
    if isinstance(taken, Doubt):
        return taken
    if isinstance(given, Doubt):
        return given
    wrong_total = _wrong_total(found.get("total_tokens"), consumed + produced)
    if wrong_total is not None:
        return wrong_total
    return Usage(UsageSource.PROVIDER, input_tokens=consumed, output_tokens=produced, **taken, **given)


def read_duration(seconds: object) -> Told:
    """Usage of so many seconds of audio, as the provider states them."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:
        return Doubt.UNREADABLE
    if not 0 <= seconds <= _LONGEST_AUDIO:
        return Doubt.NEGATIVE if seconds < 0 else Doubt.ABSURD
    return Usage(UsageSource.PROVIDER, audio_milliseconds=round(seconds * 1000))


def read_image_usage(found: object, *, images: int) -> Told:
    """Usage of an answer with so many images; the output is images unless its details say otherwise."""
    if isinstance(found, dict) and _first(found, _OUTPUT_DETAILS) is None:
        found = {**found, "output_tokens_details": {"image_tokens": _first(found, _OUTPUT)}}
    told = read_usage(found)
    if images and isinstance(told, Usage) and not told.output_tokens:
        return Doubt.ZERO
    return add_usage(told, Usage(UsageSource.PROVIDER, images=images) if images else None)


def find_usage(tail: bytes) -> object:
    """The last usage object, decoded, that stands in the end of a JSON text; None when there is none.

    A quote inside a JSON string is escaped, so `"usage"` with bare quotes is never part of somebody's words.
    """
    at = len(tail)
    for _ in range(_LOOKS):
        at = tail.rfind(b'"usage"', 0, at)
        if at < 0:
            return None
        found = _object_after(tail, at + len(b'"usage"'))
        if isinstance(read_usage(found), Usage):
            return found
    return None


class Tail:
    """The last `TAIL` bytes of something that passes in portions."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * TAIL:
            del self._kept[:-TAIL]

    def take(self) -> bytes:
        """The tail of what passed so far; then something else may pass."""
        kept, self._kept = bytes(self._kept[-TAIL:]), bytearray()
        return kept


def add_usage(one: Told, other: Told) -> Told:
    """Both together; what is absent adds nothing, and to something unusable nothing can be added."""
    if isinstance(one, Doubt) or isinstance(other, Doubt):
        return one if isinstance(one, Doubt) else other
    if one is None or other is None:
        return one or other
    return Usage(one.source, **{name: getattr(one, name) + getattr(other, name) for name in UNITS})


def observed(
    told: Told,
    *,
    model: str | None = None,
    service_tier: str | None = None,
    finished: bool = False,
    error: str | None = None,
) -> Observed:
    """What was read off an answer that told this of its usage."""
    usage, doubt = (None, told) if isinstance(told, Doubt) else (told, None)
    return Observed(usage, model, service_tier, finished, error, doubt)


def error_code(error: object) -> str | None:
    """What an error that stands in a good answer is to be called. None when it is none (`"error": null`)."""
    if not error:
        return None
    said = error if isinstance(error, dict) else {}
    for name in (said.get("code"), said.get("type")):
        if isinstance(name, str | int) and name:
            return str(name)[:64]
    return "error"


def name_or_none(value: object) -> str | None:
    """A model's or service tier's name; None for an empty one and for what is no text."""
    return value if isinstance(value, str) and value else None


def _wrong(number: object) -> Doubt | None:
    """What is the matter with something that should be a number of tokens."""
    if type(number) is not int:
        return Doubt.UNREADABLE
    if number < 0:
        return Doubt.NEGATIVE
    return Doubt.ABSURD if number > LARGEST else None


def _wrong_total(total: object, parts: int) -> Doubt | None:
    """A larger total is let pass: some count in it what they bill nobody for."""
    if total is None:
        return None
    wrong = _wrong(total)
    return Doubt.INCONSISTENT if wrong is None and total < parts else wrong  # type: ignore[operator]


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if (value := found.get(name)) is not None:
            return value
    return None


def _parts(total: object, details: object, names: Mapping[str, str]) -> dict[str, int] | Doubt:
    """The parts that are told of a total, by our names."""
    wrong = _wrong(total)
    if wrong is not None:
        return wrong
    if not isinstance(details, dict):
        return {} if details is None else Doubt.UNREADABLE
    parts = {ours: value for ours, theirs in names.items() if (value := details.get(theirs)) is not None}
    for value in parts.values():
        wrong = _wrong(value)
        if wrong is not None:
            return wrong
        if value > total:
            return Doubt.INCONSISTENT
    return parts


def _object_after(tail: bytes, at: int) -> object:
    """The JSON object that is the value of the member whose name ends at `at`."""
    if not tail[at : at + 64].lstrip(b" \t\r\n:").startswith(b"{"):
        return None
    start = stop = tail.index(b"{", at)
    for _ in range(_LOOKS):
        stop = tail.find(b"}", stop) + 1
        if stop <= 0:
            return None
        try:
            return msgspec.json.decode(tail[start:stop])
        except UNREADABLE:
            continue
    return None
