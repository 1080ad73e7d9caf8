"""Our own count of what a stream has generated, for streams that are cut or say nothing of usage. Nearly
every stream turns out not to need it: so what carries the text is only remembered as it passes, and read in
heaps.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from gateway.wire.usage_shapes import UNREADABLE

HEAP: Final = 8 * 1024
"""Bytes that are remembered before they are read and dropped."""

_SUPPOSED: Final = 256
"""Bytes that are supposed to have been read already, with one token in each sixteen: more tokens than most
streams have, which spend some eighty bytes on each, and fewer than one that sends whole sentences. A heap of
a stream's own soon outweighs it."""
_SUPPOSED_TOKENS: Final = _SUPPOSED // 16

_THOUGHT: Final = re.compile(rb'"reasoning(?:_content)?"\s*:\s*"[^"]')
"""Where a model's reasoning is shown in chat, as some servers spell it …"""
_THOUGHT_EVENTS: Final = (b'"reasoning_text"', b'reasoning_text.delta"')
"""… and in the responses API. A quote inside somebody's words is escaped, so these are never part of them."""

CountTokens = Callable[[str], int]


class Generated:
    """Counts the tokens that a stream has generated, in bounded memory."""

    __slots__ = ("_bytes_read", "_count_tokens", "_read", "_remembered", "_size", "_thoughts", "_tokens")

    def __init__(self, *, read: Callable[[Sequence[bytes]], str], count_tokens: CountTokens) -> None:
        self._read = read
        self._count_tokens = count_tokens
        self._remembered: list[bytes] = []
        self._size = 0
        self._tokens = 0
        self._bytes_read = 0
        self._thoughts = False

    def add(self, part: bytes) -> None:
        """Remember a part of an answer, in JSON, as `read` understands it."""
        self._remembered.append(part)
        self._size += len(part)
        if self._size > HEAP:
            self._digest()

    def tokens(self) -> int:
        """Tokens in everything that was added so far."""
        self._digest()
        return self._tokens

    def about(self) -> int:
        """Nearly the same, without reading anything: what is remembered is taken for what was read so far."""
        share = (self._tokens + _SUPPOSED_TOKENS) / (self._bytes_read + _SUPPOSED)
        return self._tokens + int(self._size * share)

    def thought_aloud(self) -> bool:
        """Whether reasoning was among it."""
        self._digest()
        return self._thoughts

    def _digest(self) -> None:
        self._thoughts = self._thoughts or shows_thoughts(b"".join(self._remembered))
        text = self._read(self._remembered)
        self._remembered.clear()
        self._bytes_read += self._size
        self._size = 0
        if text:
            self._tokens += self._count_tokens(text)


def shows_thoughts(part: bytes) -> bool:
    """Whether a model's reasoning stands in this piece of JSON."""
    return any(mark in part for mark in _THOUGHT_EVENTS) or _THOUGHT.search(part) is not None


class _Function(msgspec.Struct):
    name: Any = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Said(msgspec.Struct):
    """A `delta` of a stream, or a `message` of a whole answer."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None
    text: Any = None


class _Item(msgspec.Struct):
    """One output item of a whole response."""

    content: Any = None
    arguments: Any = None


class _Answer(msgspec.Struct):
    """A chat completion, a completion, or a response."""

    choices: list[_Choice] | None = None
    output: list[_Item] | None = None


class _Delta(msgspec.Struct):
    delta: Any = None


_choices: Final = msgspec.json.Decoder(list[_Choice])
_deltas: Final = msgspec.json.Decoder(list[_Delta])
_answers: Final = msgspec.json.Decoder(list[_Answer])

_T = TypeVar("_T")


def choices_text(parts: Sequence[bytes]) -> str:
    """What the model wrote in these choices of chat or completions, tool calls included."""
    return "".join(map(_choice_text, _decoded(parts, _choices)))


def deltas_text(parts: Sequence[bytes]) -> str:
    """What the model wrote in these events' data, whose `delta` is the text itself: responses and
    transcriptions.
    """
    return "".join([_text(event.delta) for event in _decoded(parts, _deltas)])


def answers_text(parts: Sequence[bytes]) -> str:
    """What the model wrote in these whole answers."""
    answers = _decoded(parts, _answers)
    said = [_choice_text(choice) for answer in answers for choice in answer.choices or ()]
    items = [item for answer in answers for item in answer.output or ()]
    return "".join(said + [_text(item.content) + _text(item.arguments) for item in items])


def _decoded(parts: Sequence[bytes], decoder: msgspec.json.Decoder[list[_T]]) -> list[_T]:
    """All parts in one go; one by one only when some of them cannot be read."""
    try:
        return decoder.decode(b"[" + b",".join(parts) + b"]")
    except UNREADABLE:
        if len(parts) == 1:
            return []
        return [found for part in parts for found in _decoded([part], decoder)]


def _choice_text(choice: _Choice) -> str:
    said = choice.delta or choice.message
    if said is None:
        return _text(choice.text)
    text = _text(said.content) + _text(said.reasoning_content or said.reasoning) + _text(said.refusal)
    if said.tool_calls or said.function_call:
        functions = [call.function for call in said.tool_calls or ()] + [said.function_call]
        text += "".join(_text(f.name) + _text(f.arguments) for f in functions if f is not None)
    return text


def _text(value: object) -> str:
    """The text itself; or, where a provider sends parts (`[{"type": "text", "text": …}]`), the text of
    each.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
