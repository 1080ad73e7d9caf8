"""Logs: one JSON object a line on standard output, built from allow-listed fields and written off the event loop.

A sink that blocks (a full pipe, a stuck collector) costs lines, which are counted, and never a request its time.
"""

import threading
from collections import deque
from collections.abc import MutableMapping
from typing import Any, BinaryIO, Final

import msgspec
import structlog

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FLUSH_SECONDS: Final = 0.05
_encode = msgspec.json.Encoder(enc_hook=str).encode


class LogSink:
    """Lines on their way out. A thread of its own writes what has gathered, twenty times a second."""

    def __init__(self, stream: BinaryIO, *, most_lines: int = 50_000) -> None:
        """Beyond `most_lines` waiting, the oldest are dropped."""
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._most_lines = most_lines
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        self.dropped = 0
        """Lines lost since the start."""

    def start(self) -> None:
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line. Never waits."""
        if len(self._lines) >= self._most_lines:
            self._lines.popleft()
            self.dropped += 1
        self._lines.append(line)

    def close(self, *, seconds: float = 2.0) -> None:
        """Write what is left, unless the sink is stuck for longer than this."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        else:
            self._flush()

    def _write_on(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if not lines:
            return
        try:
            self._stream.write(b"".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


class _SinkLogger:
    """What structlog hands finished lines to."""

    def __init__(self, sink: LogSink) -> None:
        self.msg = sink.write

    log = debug = info = warning = error = critical = exception = property(lambda self: self.msg)


def make_logger(sink: LogSink, level: str) -> structlog.stdlib.BoundLogger:
    """A logger for the whole process. `level`: debug, info, warning or error."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        _SinkLogger(sink),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.ExceptionRenderer(_frames_only),
            _as_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger.bind()


def _frames_only(exc_info: Any) -> list[str]:
    """A traceback as places in code. Messages stay out: they may quote what a client sent."""
    _, error, traceback = exc_info
    places = [type(error).__name__]
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return places


def _as_line(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _encode(event) + b"\n"
