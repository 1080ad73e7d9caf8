"""Logs: one JSON object a line, built from allow-listed fields and written off the event loop.

A sink that blocks (a full pipe, a stuck collector) costs lines, which are counted, and no request its time.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, BinaryIO, Final

import msgspec
import structlog

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FLUSH_SECONDS: Final = 0.05


class LogSink:
    """Lines on their way out. A thread of its own writes what has gathered, twenty times a second."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        most_lines: int = 50_000,
        on_dropped: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Beyond `most_lines` waiting, the oldest are dropped. `on_dropped` is told how many were lost."""
        self._stream = getattr(stream, "raw", stream)
        """Unbuffered: Python's end waits for ever for a buffer in whose `write` a thread is stuck."""
        self._on_dropped = on_dropped
        self._lines: deque[bytes] = deque(maxlen=most_lines)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        self.dropped = 0
        """Lines lost since the start."""

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line. Never waits, never fails."""
        if len(self._lines) == self._lines.maxlen:
            self._drop(1)
        self._lines.append(line)

    def close(self, *, seconds: float = 2.0) -> None:
        """Write what is left, unless the sink is stuck for longer than this."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        else:
            self.flush()

    def _write_on(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self.flush()
        self.flush()

    def flush(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        try:
            self._write_all(memoryview(b"".join(lines)))
        except (OSError, ValueError):
            self._drop(len(lines))

    def _write_all(self, data: memoryview) -> None:
        while data:
            written = self._stream.write(data)
            if not written:
                raise BlockingIOError
            data = data[written:]
        self._stream.flush()

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._on_dropped(count)


class _Lines:
    """Where structlog puts finished lines: a method for each level, all the same."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink

    def info(self, line: bytes) -> None:
        self._sink.write(line)

    debug = warning = error = critical = info


def make_logger(sink: LogSink, level: str) -> structlog.stdlib.BoundLogger:
    """A logger for the whole process. `level`: debug, info, warning or error.

    A line of many fields is given them as one dict, `fields=…`: structlog copies keywords four times over.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        _Lines(sink),
        processors=[_as_line],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    ).bind()
    return logger


def _as_line(_: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    """The last and only processor: one function costs half of what a chain of them does."""
    head = {"time": datetime.now(UTC), "level": level, "event": event.pop("event", None)}
    fields = event.pop("fields", {})
    fault = event.pop("exc_info", None)
    if fault:
        event["exception"] = _places(fault)
    try:
        return _encode({**head, **fields, **event}) + b"\n"
    except (TypeError, ValueError, OverflowError) as error:
        return _encode({**head, "unwritable": type(error).__name__}) + b"\n"


def _places(fault: Any) -> list[str]:
    """A traceback as places in code. Messages stay out: they may quote what a client sent."""
    if fault is True:
        fault = sys.exc_info()[1]
    elif isinstance(fault, tuple):
        fault = fault[1]
    places = [type(fault).__name__]
    traceback = getattr(fault, "__traceback__", None)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return places


def _only_its_kind(value: Any) -> str:
    """What is no plain value may hold anything: an exception's message quotes what a client sent."""
    return str(value) if isinstance(value, PurePath) else type(value).__name__


_encode: Final = msgspec.json.Encoder(enc_hook=_only_its_kind).encode
