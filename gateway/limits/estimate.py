"""How many tokens a call is expected to use, before it is sent. Pure, and rough: settling puts it right.

Expected, not the worst: to reserve every caller's `max_tokens` would starve agents that name a large one
and use little of it. What a key and a model typically answer may be learnt later; it comes in as
`typical_output`.
"""

from typing import Final

from gateway.core.call import Call
from gateway.core.endpoint import Dialect

TYPICAL_OUTPUT: Final = 256
"""Tokens of an answer, while nothing better is known."""

_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of")
_TELLING: Final = frozenset((*_CAPS, *_CHOICES))
_ANSWERS_WITH_TEXT: Final = frozenset({Dialect.CHAT, Dialect.RESPONSES})


def output_tokens(call: Call, typical_output: int = TYPICAL_OUTPUT) -> int:
    """Tokens of the answer: what is typical, but at most what the caller allows, for each choice."""
    if call.endpoint.dialect not in _ANSWERS_WITH_TEXT:
        return 0
    if _TELLING.isdisjoint(call.members) and _TELLING.isdisjoint(call.changes):
        return typical_output
    caps = [cap for member in _CAPS if (cap := _whole(call, member)) is not None]
    choices = max([1, *(number for member in _CHOICES if (number := _whole(call, member)) is not None)])
    return min([typical_output, *caps]) * choices


def _whole(call: Call, member: str) -> int | None:
    value = call.get(member)
    return value if isinstance(value, int) and value >= 0 else None
