r"""All patterns of all filter rules over all strings of a request, in one pass.

The strings are joined by a byte that occurs in no UTF-8 text, 0xFF. RE2 matches whole characters, so no
pattern can cross it: `(?s)password.*hunter2` does not begin in one message and end in another. (`\C`, which
matches a byte, is refused when policies are read.) Line feeds around it let `^` and `$` stand at the ends of
every string; to a pattern, each string begins and ends with one.

Long base64 (pictures, sound, files) is not scanned, and never decoded: there is nothing to read in it, and
short patterns would be found in it by chance.

A scan that fails must not look like a scan that found nothing: one pattern of the set is the empty one, which
always matches. When it is not among the matches, RE2 has given up, and everything counts as found.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import re2

SEPARATOR: Final = b"\n\xff\n"
LONGEST_BLOB: Final = 4096
"""Characters. Base64 up to this length is scanned like any other text."""
SET_MEMORY: Final = 64 << 20
"""Bytes that a compiled set and its automaton may take at most; a typical one takes far less."""

_BLOB: Final = re2.compile(r"(?:data:[0-9A-Za-z/.+;=_-]{0,256};base64,)?[0-9A-Za-z+/=_\r\n-]*")
_ALWAYS: Final = ""


class Scanner:
    """A set of patterns, compiled. Scanning a text costs the same for one pattern as for hundreds."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._sets = _compiled(patterns, 0)
        self._count = len(patterns)

    def scan(self, texts: Iterable[str]) -> list[int]:
        """The numbers of the patterns that occur in the texts, in order. Texts have no lone surrogates."""
        data = SEPARATOR.join(
            [text.encode() for text in texts if len(text) <= LONGEST_BLOB or _BLOB.fullmatch(text) is None]
        )
        found: list[int] = []
        for first, count, compiled in self._sets:
            matches = compiled.Match(data) or ()
            if count not in matches:
                return list(range(self._count))
            found += [first + number for number in matches if number != count]
        return sorted(found)


def _compiled(patterns: Sequence[str], first: int) -> list[tuple[int, int, re2.Set]]:
    """Sets with the number of their first pattern: one, or more when that would be too large."""
    options = re2.Options()
    options.max_mem = SET_MEMORY
    options.log_errors = False
    compiled = re2.Set.SearchSet(options)
    try:
        for pattern in (*(f"(?m:{pattern})" for pattern in patterns), _ALWAYS):
            compiled.Add(pattern)
        compiled.Compile()
    except re2.error:
        if len(patterns) < 2:
            raise
        half = len(patterns) // 2
        return _compiled(patterns[:half], first) + _compiled(patterns[half:], first + half)
    return [(first, len(patterns), compiled)]
