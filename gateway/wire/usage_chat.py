"""Chat and completion streams: what they cost is always read, and shown only to those who asked.

The gateway sets `stream_options.include_usage` on every stream. For a client that had not, the extra chunk
and the `"usage":null` members that the option brings are taken out again; all else passes byte for byte.

This runs for every chunk of every stream, so one that looks like the chunk before is judged by its bytes
alone: the same head up to its choices, and after them one of the known feet. Others are decoded.

Of several reports the last one before `[DONE]` counts: some upstreams tell the sum so far with every chunk.
"""

from typing import Any, Final

import msgspec

from gateway.core.usage import Doubt, Observed
from gateway.wire.patch import without_member
from gateway.wire.sse import Cutter, Piece, read_event, with_data
from gateway.wire.usage_deltas import CountTokens, Generated, choices_text
from gateway.wire.usage_shapes import UNREADABLE, Told, error_code, name_or_none, observed, read_usage

_NULL: Final = b',"usage":null'
_HEAD_END: Final = b'"choices":['
_UNSEEN: Final = b"\xff"
"""A head that no chunk has: the byte does not occur in UTF-8."""

_TOLD: Final = (b'"usage"', b'"error"')
"""Names that make a chunk worth decoding."""
_HIDING: Final = (*_TOLD, b'],"')
"""What is not to stand among choices that are not looked into: those names, or a further member's start."""

_FEET: Final = {
    b"}\n\n": b"]}\n\n",
    b',"usage":null}\n\n': b"]}\n\n",
}
"""How most chunks end after the bracket of their choices, and what, bracket included, is shown instead."""
_PADDED_FEET: Final = frozenset({b",", b',"usage":null,'})
_PADDING: Final = b'"obfuscation":"'


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: Any = msgspec.UNSET
    model: Any = None
    service_tier: Any = None
    error: Any = None


_chunks: Final = msgspec.json.Decoder(_Chunk)


class ChatStream:
    """Reads `data:` events up to `[DONE]`. See `AnswerReader` for what each method promises."""

    __slots__ = (
        "_conceal",
        "_cutter",
        "_error",
        "_finished",
        "_generated",
        "_head",
        "_model",
        "_service_tier",
        "_told",
    )

    def __init__(self, *, conceal_usage: bool, count_tokens: CountTokens) -> None:
        self._conceal = conceal_usage
        self._cutter = Cutter()
        self._generated = Generated(read=choices_text, count_tokens=count_tokens)
        self._head = _UNSEEN
        self._told: Told = None
        self._model: str | None = None
        self._service_tier: str | None = None
        self._finished = False
        self._error: str | None = None

    @property
    def at_boundary(self) -> bool:
        return not self._cutter.inside if self._conceal else self._cutter.clean

    def feed(self, data: bytes) -> bytes:
        if self._cutter.clean and (shown := self._glance(data)) is not None:
            return shown
        relayed = [self._piece(piece) for piece in self._cutter.feed(data)]
        return b"".join(relayed) if self._conceal else data

    def end(self) -> bytes:
        relayed = [self._piece(piece) for piece in self._cutter.end()]
        return b"".join(relayed) if self._conceal else b""

    def observed(self) -> Observed:
        return observed(
            self._told,
            model=self._model,
            service_tier=self._service_tier,
            finished=self._finished,
            error=self._error,
        )

    def generated_tokens(self) -> int:
        return self._generated.tokens()

    def thought_aloud(self) -> bool:
        return self._generated.thought_aloud()

    def generated_about(self) -> int:
        return self._generated.about()

    def _piece(self, piece: Piece) -> bytes:
        if not piece.whole:
            return piece.raw
        shown = self._glance(piece.raw)
        return self._study(piece.raw) if shown is None else shown

    def _glance(self, raw: bytes) -> bytes | None:
        """What to relay of a chunk that has nothing to say but its choices; None when it is not plainly that.

        After the last bracket stands one of the feet, in which nothing is hidden. It closes the choices, or
        some later array: then the names in between show, since quotes inside JSON strings are escaped.
        """
        rest = raw.removeprefix(self._head)
        if len(rest) == len(raw):
            return None
        choices, _, foot = rest.rpartition(b"]")
        shown = _FEET.get(foot) or _padded_foot(foot)
        if shown is None or rest.find(b"\n") != len(rest) - 2 or rest.find(b"\r") >= 0:
            return None
        if choices.find(b"]") >= 0 and any(mark in choices for mark in _HIDING):
            return None
        self._generated.add(choices)
        return self._head + choices + shown if self._conceal else raw

    def _study(self, raw: bytes) -> bytes:
        """Any event: decode it, remember what it says, and take out what the client had not asked for."""
        event = read_event(raw)
        if event is None:
            return raw
        if event.data.startswith(b"[DONE]"):
            self._finished = True
            return raw
        try:
            chunk = _chunks.decode(event.data)
        except UNREADABLE:
            return raw
        self._learn(chunk, raw)
        if not self._conceal:
            return raw
        told = chunk.usage is not None and chunk.usage is not msgspec.UNSET
        if told and not chunk.choices and not chunk.error:
            return b""
        return _without_null(raw, event.data) if chunk.usage is None else raw

    def _learn(self, chunk: _Chunk, raw: bytes) -> None:
        told = read_usage(chunk.usage)
        if told is not None:
            self._told = (self._told or Doubt.LATE) if self._finished else told
        self._model = name_or_none(chunk.model) or self._model
        self._service_tier = name_or_none(chunk.service_tier) or self._service_tier
        self._error = error_code(chunk.error) or self._error
        if chunk.choices:
            self._head = self._head if raw.startswith(self._head) else _head(raw)
            self._generated.add(b",".join(chunk.choices))


def _without_null(raw: bytes, data: bytes) -> bytes:
    """The event without the chunk's `usage` member, which is null.

    Quotes inside JSON strings are escaped, so `,"usage":null` is a member wherever it stands; and where the
    only brace after it is the last one, that one closes its object: it is the chunk's own.
    """
    at = raw.rfind(_NULL)
    if at >= 0 and raw.find(b"}", at) == len(raw) - 3 and raw.endswith(data + b"\n\n"):
        return raw[:at] + raw[at + len(_NULL) :]
    rest = without_member(data, "usage")
    return raw if rest is data else with_data(raw, rest)


def _padded_foot(foot: bytes) -> bytes | None:
    """What is shown of a foot with OpenAI's random padding, which it adds to hide the lengths of words."""
    lead, mark, padding = foot.partition(_PADDING)
    if lead in _PADDED_FEET and padding.partition(b'"')[2] == b"}\n\n":
        return b"]," + mark + padding
    return None


def _head(raw: bytes) -> bytes:
    """What the next chunk probably begins with, too: everything up to the first choice."""
    head, found, _ = raw.partition(_HEAD_END)
    hides = any(mark in head for mark in (*_TOLD, b"\n", b"\r"))
    return head + found if found and head.startswith(b"data:") and not hides else _UNSEEN
