"""A changed JSON body: only the members that changed are written anew, all other bytes stay the client's.

Values are never searched for. msgspec cuts the object into its top-level values (`msgspec.Raw`), and the walk
over the bytes steps from one to the next: a name, then exactly that value's bytes. Each step passes one
member. When a name stands twice there are fewer steps than members, so the walk does not arrive at the last
brace, and the object is refused.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gateway.core.call import REMOVED, Call

_SPACE = rb"[ \t\n\r]*+"
_NAME: Final = re.compile(
    b"(" + _SPACE + b"[{,]" + _SPACE + rb')"(?:[^"\\]++|\\.)*+"' + _SPACE + b":" + _SPACE
)

_decode_values: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode

_Edits = Mapping[str, bytes | None]
"""Members by name, and the text of their new value; None for a member that goes."""
_Cut = tuple[int, int, bytes]
"""From, to, and what stands there instead."""


class Span(NamedTuple):
    """Where one member lies in the bytes of its object."""

    start: int
    """The opening quote of its name."""
    value: int
    """The first byte of its value."""
    end: int
    """One past the last byte of its value."""


def encode_json(call: Call) -> bytes:
    """The body to send: the very bytes that came when `changes` changes nothing, else a patched copy.

    Raises TypeError when the call's body is a form.
    """
    raw = call.body
    if not isinstance(raw, bytes):
        raise TypeError("the body of this call is a form")
    edits = _edits(call) if call.changes else None
    return _patched(raw, edits, call.members) if edits else raw


def find_members(raw: bytes) -> dict[str, Span]:
    """The top-level members of one JSON object, in order, by their decoded names.

    Raises ValueError when the bytes are not one JSON object or name a member twice, RecursionError when they
    are nested absurdly deep. Values are looked at only as far as it takes to find their ends.
    """
    spans: dict[str, Span] = {}
    at = 0
    for name, value in _decode_values(raw).items():
        head = _NAME.match(raw, at)
        if head is None or not raw.startswith(value, head.end()):
            raise ValueError("a member is named twice")
        start = head.end()
        at = start + len(value)
        spans[name] = Span(head.end(1), start, at)
    if spans and raw[at:].strip() != b"}":
        raise ValueError("a member is named twice")
    return spans


def without_member(raw: bytes, name: str) -> bytes:
    """The object without this top-level member; the same `bytes` when it has none or is not a JSON object."""
    if name.encode() not in raw and b"\\" not in raw:
        return raw
    try:
        spans = find_members(raw)
    except (ValueError, RecursionError):
        return raw
    return _spliced(raw, _cuts(spans, {name: None})) if name in spans else raw


def _edits(call: Call) -> _Edits:
    """What really changes. Values are compared as texts, because in Python `1 == True == 1.0`."""
    edits: dict[str, bytes | None] = {}
    for name, value in call.changes.items():
        new = None if value is REMOVED else _encode(value)
        old = _encode(call.members[name]) if name in call.members else None
        if new != old:
            edits[name] = new
    return edits


def _patched(raw: bytes, edits: _Edits, members: Mapping[str, Any]) -> bytes:
    """Only members that were there are looked for; new ones go before the last brace, wherever that is."""
    known = {name: text for name, text in edits.items() if name in members}
    cuts = _cuts(find_members(raw), known) if known else []
    new = [_encode(name) + b":" + text for name, text in edits.items() if text and name not in members]
    if new:
        brace = raw.rindex(b"}")
        any_left = len(members) > list(known.values()).count(None)
        cuts.append((brace, brace, (b"," if any_left else b"") + b",".join(new)))
    return _spliced(raw, cuts)


def _cuts(spans: Mapping[str, Span], edits: _Edits) -> list[_Cut]:
    """A member goes with the comma before it; with the comma after it while nothing before it stays."""
    cuts: list[_Cut] = []
    following = [span.start for span in spans.values()][1:]
    before: int | None = None
    for index, (name, span) in enumerate(spans.items()):
        goes = name in edits and edits[name] is None
        if goes and before is None:
            cuts.append((span.start, following[index] if index < len(following) else span.end, b""))
        elif goes and before is not None:
            cuts.append((before, span.end, b""))
        elif text := edits.get(name):
            cuts.append((span.value, span.end, text))
        if before is not None or not goes:
            before = span.end
    return cuts


def _spliced(raw: bytes, cuts: list[_Cut]) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for start, end, text in cuts:
        pieces += (raw[at:start], text)
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces)
