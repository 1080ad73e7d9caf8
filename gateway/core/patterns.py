"""Names by pattern, as policy files write them: `*` stands for any run of characters, all else for itself."""

from functools import lru_cache
from typing import Final

_REMEMBERED: Final = 4096
_LONGEST: Final = 256
"""Characters of a name that is remembered: clients choose names too, and may choose megabytes."""


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns is about this name. Case counts."""
    return _remembered(patterns, name) if len(name) <= _LONGEST else _matches(patterns, name)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(_is_about(pattern, name) for pattern in patterns)


_remembered: Final = lru_cache(maxsize=_REMEMBERED)(_matches)


def _is_about(pattern: str, name: str) -> bool:
    head, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, tail = rest
    at, end = len(head), len(name) - len(tail)
    if at > end or not name.startswith(head) or not name.endswith(tail):
        return False
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
