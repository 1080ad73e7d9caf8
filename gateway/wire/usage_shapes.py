"""What providers call usage, in our words. The numbers come from outside and become money: what is not a sane
whole number is treated as if it had not been said, so that nobody is ever given credit.

Five shapes are in use (chat, embeddings, responses and images, speech and transcription, durations). They
differ in names only, so one table of names reads them all.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import msgspec

from gateway.core.usage import Usage, UsageSource

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
_AMOUNTS: Final = tuple(name for name in Usage._fields if name != "source")
_LOOKS: Final = 16
"""How many places in a tail are tried before it is given up."""


def read_usage(found: object) -> Usage | None:
    """The provider's own count, from a decoded `usage` member; None when it says nothing reliable.

    A part (cached, audio …) that is no sane number, or exceeds its total, is left out: it then costs what the
    total costs.
    """
    if not isinstance(found, dict):
        return None
    if found.get("type") == "duration":
        return read_duration(found.get("seconds"))
    consumed = _first(found, _INPUT)
    produced = _first(found, _OUTPUT)
    produced = 0 if produced is None else produced
    if not _sane(consumed) or not _sane(produced):
        return None
    return Usage(
        UsageSource.PROVIDER,
        input_tokens=consumed,
        output_tokens=produced,
        **_parts(_first(found, _INPUT_DETAILS), _INPUT_PARTS, consumed),
        **_parts(_first(found, _OUTPUT_DETAILS), _OUTPUT_PARTS, produced),
    )


def read_duration(seconds: object) -> Usage | None:
    """Usage of so many seconds of audio, as the provider states them."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds <= _LONGEST_AUDIO:  # false for NaN too
        return None
    return Usage(UsageSource.PROVIDER, audio_milliseconds=round(seconds * 1000))


def read_image_usage(found: object, *, images: int) -> Usage | None:
    """Usage of an answer with so many images; the output is images unless its details say otherwise."""
    if isinstance(found, dict) and _first(found, _OUTPUT_DETAILS) is None:
        found = {**found, "output_tokens_details": {"image_tokens": _first(found, _OUTPUT)}}
    counted = Usage(UsageSource.PROVIDER, images=images) if images else None
    return add_usage(read_usage(found), counted)


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
        if read_usage(found) is not None:
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


def add_usage(one: Usage | None, other: Usage | None) -> Usage | None:
    """Both together; what is absent adds nothing."""
    if one is None or other is None:
        return one or other
    return Usage(one.source, **{name: getattr(one, name) + getattr(other, name) for name in _AMOUNTS})


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


def _sane(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= LARGEST


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if (value := found.get(name)) is not None:
            return value
    return None


def _parts(details: object, names: Mapping[str, str], total: int) -> dict[str, int]:
    if not isinstance(details, dict):
        return {}
    said = {ours: details.get(theirs) for ours, theirs in names.items()}
    return {ours: value for ours, value in said.items() if _sane(value) and value <= total}


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
