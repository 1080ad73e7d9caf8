"""A log that can be read."""

import io
from typing import Any

import msgspec
import structlog

from gateway.telemetry.logging import LogSink, make_logger


class Log:
    """The house's own logger, at its finest, into memory."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._sink = LogSink(self._stream)
        self.logger: structlog.stdlib.BoundLogger = make_logger(self._sink, "debug")

    @property
    def text(self) -> str:
        self._sink.flush()
        return self._stream.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.text.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]
