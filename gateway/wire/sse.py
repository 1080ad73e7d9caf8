"""Server-sent events: bytes to events and back. The only SSE decoder of the house; it never waits.

Where an event ends (`Cutter`) and what it says (`read_event`) are two questions, because the relay passes the
very bytes on and only looks at some of them. A line ends in LF, CRLF or a lone CR and in nothing else: U+2028
and U+0085 are text. An event longer than `LONGEST` goes by in pieces, unread, so that no stream can fill the
memory.
"""

import re
from typing import Final, NamedTuple

LONGEST: Final = 1 << 20
"""Bytes of the longest event that is put together to be read."""

# A CR ends a line only when the next byte is known, since an LF after it belongs to the same line end.
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
_NAME_REACH: Final = 256
"""Bytes of an event in which its name is expected, when only that is asked for."""
_REACH: Final = 3
"""Bytes of a blank line (`\\r\\n\\r\\n` is the longest) that can have come before its last one."""


class Piece(NamedTuple):
    """Consecutive bytes of a stream, line ends and blank lines included: one whole event in most cases."""

    raw: bytes
    first: bool = True
    """An event begins with these bytes."""
    last: bool = True
    """An event ends with these bytes, its blank line included (at the end of the stream, perhaps without)."""

    @property
    def whole(self) -> bool:
        """Whether this is one event, to be read."""
        return self.first and self.last


class Cutter:
    """Cuts a stream into events, however it was portioned. The pieces, put together, are the stream.

    Blank lines that end nothing are pieces of their own. At most `longest` bytes are held between portions.
    """

    __slots__ = ("_carriage", "_held", "_longest", "_scanned", "clean", "inside")

    def __init__(self, *, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = bytearray()
        self._scanned = 0
        self._carriage = False
        """Whether a CR was ever seen; without one, the blank line is known to be two LFs."""
        self.inside = False
        """Whether pieces were given out of an event whose end is still to come."""
        self.clean = True
        """Whether the bytes fed so far end where an event ends."""

    def feed(self, data: bytes) -> list[Piece]:
        """What these bytes complete; the start of an event is held until its end has come."""
        self._held += data
        self._carriage = self._carriage or b"\r" in data
        pieces: list[Piece] = []
        start = 0
        while (stop := self._stop(start)) >= 0:
            pieces += self._finish(bytes(memoryview(self._held)[start:stop]))
            start = stop
        del self._held[:start]
        self._scanned = max(0, len(self._held) - _REACH)
        if len(self._held) > self._longest or self.inside:
            pieces += self._let_go()
        self.clean = not self._held and not self.inside
        return pieces

    def end(self) -> list[Piece]:
        """What is left when the stream is over: an event without its blank line."""
        rest, self._held = bytes(self._held), bytearray()
        return self._finish(rest) if rest else []

    def _stop(self, start: int) -> int:
        """Where the event that begins at `start` ends, or -1 while that cannot be told."""
        held = self._held
        if not self.inside and start < len(held) and held[start] in b"\r\n":
            found = _LINE_END.match(held, start)
            return found.end() if found else -1
        if self._carriage:
            found = _BLANK_LINE.search(held, max(start, self._scanned))
            return found.end() if found else -1
        at = held.find(b"\n\n", max(start, self._scanned))
        return at + 2 if at >= 0 else -1

    def _finish(self, raw: bytes) -> list[Piece]:
        first, self.inside = not self.inside, False
        if first and len(raw) > self._longest:
            return [Piece(raw[:-1], last=False), Piece(raw[-1:], first=False)]
        return [Piece(raw, first)]

    def _let_go(self) -> list[Piece]:
        """Give out the start of an event that is too long, but for the bytes that its blank line may begin
        with.
        """
        ready = bytes(self._held[:-_REACH])
        if not ready:
            return []
        del self._held[:-_REACH]
        self._scanned = 0
        first, self.inside = not self.inside, True
        return [Piece(ready, first, last=False)]


class Event(NamedTuple):
    """What one event says. Ids, retry times, comments and unknown fields are no concern of a relay."""

    name: str
    """The last `event` field; empty when there is none."""
    data: bytes
    """The values of the `data` fields, joined by LF."""


def read_event(raw: bytes) -> Event | None:
    """Read one whole piece. None when it carries no data, which means that nothing is dispatched."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Event("", raw[len(b"data: ") : -2])
    name, data = b"", None
    for line in raw.splitlines():  # of bytes: at CR, LF and CRLF alone
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value.removeprefix(b" ")
    return None if data is None else Event(name.decode("utf-8", "replace"), data)


def peek_name(raw: bytes) -> str:
    """The event's name when its first line says it, without looking at the rest; else empty."""
    if not raw.startswith(b"event:"):
        return ""
    first = raw[:_NAME_REACH].splitlines()[0]
    return first.removeprefix(b"event:").removeprefix(b" ").decode("utf-8", "replace")


def with_data(raw: bytes, data: bytes) -> bytes:
    """The same event with other data, spelled as it was; its other lines stay where they are."""
    lines: list[bytes] = []
    placed = False
    for line in raw.splitlines(keepends=True):
        text = line.rstrip(b"\r\n")
        field, colon, value = text.partition(b":")
        if field != b"data":
            lines.append(line)
        elif not placed:
            placed = True
            lead = field + colon + (b" " if value.startswith(b" ") else b"")
            lines += [lead + part + line[len(text) :] for part in data.split(b"\n")]
    return b"".join(lines)
