"""Answers that are no stream of events: they pass as they come, and are read when they are over.

JSON is collected up to `LONGEST_BODY` and decoded once, of which only the few members that are wanted are
made into objects. Of what is longer the end is kept, where the usage stands.
"""

import re
from typing import Any, Final

import msgspec

from gateway.core.endpoint import Meter
from gateway.core.usage import Observed, Usage, UsageSource
from gateway.wire.usage_deltas import CountTokens, answers_text, shows_thoughts
from gateway.wire.usage_shapes import (
    TAIL,
    UNREADABLE,
    Tail,
    Told,
    error_code,
    find_usage,
    name_or_none,
    observed,
    read_duration,
    read_image_usage,
    read_usage,
)

LONGEST_BODY: Final = 4 << 20
"""Bytes of the longest JSON answer that is kept to be decoded."""

_IMAGE: Final = b'"b64_json"'
"""What each image of an answer of megabytes has once. (Those that are given by URL make short answers.)"""
_TIME: Final = re.compile(rb"--> *(?:(\d{1,4}):)?(\d\d):(\d\d)[.,](\d{3})")
"""Where a subtitle ends."""


class _Answer(msgspec.Struct):
    usage: Any = None
    model: Any = None
    service_tier: Any = None
    error: Any = None
    duration: Any = None


class _Images(_Answer):
    data: list[msgspec.Raw] | None = None


_answers: Final = msgspec.json.Decoder(_Answer)
_images: Final = msgspec.json.Decoder(_Images)


class Passing:
    """An answer of which nothing but its end is known: audio, and whatever else is no text."""

    at_boundary = False

    def __init__(self) -> None:
        self._over = False

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        self._over = True
        return b""

    def observed(self) -> Observed:
        return Observed(finished=self._over)

    def generated_tokens(self) -> int:
        return 0

    def thought_aloud(self) -> bool:
        return False

    def generated_about(self) -> int:
        """Only streams of events are asked while they pass."""
        return 0


class Transcript(Passing):
    """A transcript as text. Subtitles (srt, vtt) tell by their last time how long the audio was; plain text
    does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tail = Tail()
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        self._tail.add(data)
        return data

    def end(self) -> bytes:
        times = _TIME.findall(self._tail.take())
        if times:
            hours, minutes, seconds, thousandths = (int(number or 0) for number in times[-1])
            length = ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths
            self._usage = Usage(UsageSource.ESTIMATED, audio_milliseconds=length)
        return super().end()

    def observed(self) -> Observed:
        return Observed(usage=self._usage, finished=self._over)


class JsonBody(Passing):
    """One JSON object."""

    def __init__(self, *, meter: Meter, count_tokens: CountTokens) -> None:
        super().__init__()
        self._meter = meter
        self._count_tokens = count_tokens
        self._kept: list[bytes] = []
        self._size = 0
        self._tail = Tail()
        self._images = 0
        """Images that went by in an answer too long to be kept."""
        self._last = b""
        self._observed = Observed()

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        self._kept.append(data)
        if self._size > LONGEST_BODY:
            self._let_go()
        return data

    def end(self) -> bytes:
        is_long = self._size > LONGEST_BODY
        self._observed = self._found_in(self._tail.take()) if is_long else self._read(b"".join(self._kept))
        return super().end()

    def observed(self) -> Observed:
        return self._observed

    def generated_tokens(self) -> int:
        text = answers_text([b"".join(self._kept)])
        return self._count_tokens(text) if text else 0

    def thought_aloud(self) -> bool:
        return shows_thoughts(b"".join(self._kept))

    def _read(self, body: bytes) -> Observed:
        try:
            said = _images.decode(body) if self._meter is Meter.IMAGES else _answers.decode(body)
        except UNREADABLE:
            return self._found_in(body[-TAIL:])
        images = len(said.data or ()) if isinstance(said, _Images) else 0
        return observed(
            self._told(said.usage, images, said.duration),
            model=name_or_none(said.model),
            service_tier=name_or_none(said.service_tier),
            finished=True,
            error=error_code(said.error),
        )

    def _found_in(self, tail: bytes) -> Observed:
        """What the end of an answer tells that is too long to be decoded, or cannot be."""
        told = self._told(find_usage(tail), self._images)
        return observed(told, finished=tail.rstrip().endswith(b"}"))

    def _told(self, found: object, images: int, duration: object = None) -> Told:
        if self._meter is Meter.IMAGES:
            return read_image_usage(found, images=images)
        told = read_usage(found)
        return read_duration(duration) if told is None and self._meter is Meter.AUDIO else told

    def _let_go(self) -> None:
        """Keep the end of an answer that has become too long, and count the images in it as they go by."""
        for data in self._kept:
            self._tail.add(data)
            window = self._last + data
            self._images += window.count(_IMAGE)
            self._last = window[1 - len(_IMAGE) :]
        self._kept.clear()
