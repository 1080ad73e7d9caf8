"""Streams of named events (responses, images, speech, transcriptions): every byte passes as it came, and the
few events that say what it cost are read from the side.

An event may hold megabytes of base64. One that is known by its name to say nothing is not looked into, and
one that is too long to be put together is known by its start and read at its end.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.usage import Doubt, Observed
from gateway.wire.sse import Cutter, Piece, peek_name, read_event
from gateway.wire.usage_deltas import CountTokens, Generated, deltas_text
from gateway.wire.usage_shapes import (
    UNREADABLE,
    Tail,
    Told,
    add_usage,
    error_code,
    find_usage,
    name_or_none,
    observed,
    read_image_usage,
    read_usage,
)

_FINAL: Final[Mapping[Dialect, frozenset[str]]] = {
    Dialect.RESPONSES: frozenset({"response.completed", "response.incomplete", "response.failed"}),
    Dialect.IMAGES: frozenset({"image_generation.completed", "image_edit.completed"}),
    Dialect.AUDIO: frozenset({"speech.audio.done", "transcript.text.done"}),
}
"""The events that end a stream properly, and carry its usage."""

_TELLING: Final = frozenset({"error", "response.created"})
"""Further events that are worth reading."""

_COMMON: Final = tuple(
    b"event: response.%b.delta\n" % kind
    for kind in (b"output_text", b"reasoning_summary_text", b"reasoning_text", b"function_call_arguments")
)
"""How nearly all events of a long stream begin; nothing is to be learned from them but the text."""

_TYPE: Final = re.compile(rb'"type"\s*:\s*"([\w.]+)"')
_TYPE_REACH: Final = 1024
"""Bytes at the start of an event in which its type is looked for, when it is too long to be decoded."""


class _Told(msgspec.Struct):
    usage: Any = None
    model: Any = None
    service_tier: Any = None
    error: Any = None


class _Event(_Told):
    type: Any = None
    code: Any = None
    response: _Told | None = None


_events: Final = msgspec.json.Decoder(_Event)


class EventStream:
    """Reads named events up to a final one. See `AnswerReader` for what each method promises."""

    __slots__ = (
        "_cutter",
        "_dialect",
        "_error",
        "_final",
        "_finished",
        "_generated",
        "_long",
        "_model",
        "_service_tier",
        "_tail",
        "_told",
    )

    def __init__(self, *, dialect: Dialect, count_tokens: CountTokens) -> None:
        self._dialect = dialect
        self._final = _FINAL.get(dialect, frozenset())
        self._cutter = Cutter()
        self._generated = Generated(read=deltas_text, count_tokens=count_tokens)
        self._long = ""
        """The kind of the event that is passing in pieces."""
        self._tail = Tail()
        self._told: Told = None
        self._model: str | None = None
        self._service_tier: str | None = None
        self._finished = False
        self._error: str | None = None

    @property
    def at_boundary(self) -> bool:
        return self._cutter.clean

    def feed(self, data: bytes) -> bytes:
        if not (self._cutter.clean and self._glance(data)):
            for piece in self._cutter.feed(data):
                self._watch(piece)
        return data

    def end(self) -> bytes:
        for piece in self._cutter.end():
            self._watch(piece)
        return b""

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

    def _glance(self, raw: bytes) -> bool:
        """Whether this is plainly one event with a piece of text, which is then remembered."""
        if not raw.startswith(_COMMON):
            return False
        data = raw[raw.find(b"data:") + len(b"data:") :]
        if data.find(b"\n") != len(data) - 2 or not data.endswith(b"}\n\n") or data.find(b"\r") >= 0:
            return False
        self._generated.add(data)
        return True

    def _watch(self, piece: Piece) -> None:
        if not piece.whole:
            self._watch_long(piece)
        elif not self._glance(piece.raw):
            self._study(piece.raw)

    def _study(self, raw: bytes) -> None:
        kind = peek_name(raw)
        if "." in kind and kind not in self._final and kind not in _TELLING and not _is_text(kind):
            return
        event = read_event(raw)
        if event is None:
            return
        try:
            said = _events.decode(event.data)
        except UNREADABLE:
            said = _Event(type=kind, usage=find_usage(event.data))
        kind = name_or_none(said.type) or kind
        if _is_text(kind):
            self._generated.add(event.data)
        else:
            self._learn(kind, said)

    def _watch_long(self, piece: Piece) -> None:
        if piece.first:
            found = _TYPE.search(piece.raw, 0, _TYPE_REACH)
            self._long = peek_name(piece.raw) or (found[1].decode() if found else "")
        if self._long in self._final:
            self._tail.add(piece.raw)
        if piece.last:
            self._learn(self._long, _Event(usage=find_usage(self._tail.take())))

    def _learn(self, kind: str, said: _Event) -> None:
        told = said.response or said
        self._model = name_or_none(told.model) or self._model
        self._service_tier = name_or_none(told.service_tier) or self._service_tier
        error = {"code": said.code} if kind == "error" and not told.error else told.error
        self._error = error_code(error) or self._error
        if kind in self._final:
            self._told = self._told_by(told.usage)
            self._finished = True

    def _told_by(self, found: object) -> Told:
        """Each finished image is an event with the usage of its own; elsewhere the first end counts."""
        if self._dialect is Dialect.IMAGES:
            return add_usage(self._told, read_image_usage(found, images=1))
        said = read_usage(found)
        if said is None or not self._finished:
            return said
        return self._told or Doubt.LATE


def _is_text(kind: str) -> bool:
    """Whether events of this kind carry generated text in their `delta`. Audio is base64 there."""
    return kind.endswith(".delta") and not kind.endswith("audio.delta")
