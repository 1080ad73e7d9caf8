"""The load client's half of HTTP/1.1, on raw protocols: reads answers and checks every byte of them."""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

_FRAMING: Final = re.compile(rb"(?i)\r\n(?:content-length: *(\d+)|transfer-encoding: *(chunked))\r\n")


class WrongAnswer(Exception):
    """A contestant refused, broke off, or changed a byte."""


class AnswerReader:
    """Bytes of one answer in, bytes of its body out; `done` when it is whole."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._in_head = True
        self._left: int | None = 0
        """Bytes of the body (or of the chunk) still to come; None when a chunk's size is awaited."""
        self._chunked = False
        self._skip = 0
        """Bytes of framing to throw away first: the line end after a chunk."""

    def feed(self, data: bytes) -> bytes:
        """The part of the body that `data` brings. Raises WrongAnswer for any status but 200."""
        if self._in_head:
            self._rest += data
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return b""
            self._open(self._rest[: end + 2])
            data, self._rest = self._rest[end + 4 :], b""
        return self._dechunk(data) if self._chunked else self._count_down(data)

    def _open(self, head: bytes) -> None:
        framing = _FRAMING.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or framing is None:
            raise WrongAnswer(head[:300].decode("latin-1"))
        self._in_head = False
        self._chunked = framing[2] is not None
        self._left = None if self._chunked else int(framing[1])

    def _count_down(self, data: bytes) -> bytes:
        assert self._left is not None
        self._left -= len(data)
        if self._left < 0:
            raise WrongAnswer("more bytes than the content-length says")
        self.done = self._left == 0
        return data

    def _dechunk(self, data: bytes) -> bytes:
        data, at, parts = self._rest + data, 0, []
        last = self._left == 0
        while at < len(data):
            if self._skip:
                skipped = min(self._skip, len(data) - at)
                at, self._skip = at + skipped, self._skip - skipped
                if last and not self._skip:
                    self.done = True
            elif self._left is None:
                end = data.find(b"\r\n", at)
                if end < 0:
                    break
                self._left, at = int(data[at:end], 16), end + 2
                last = self._left == 0
                self._skip = 2 if last else 0
            else:
                part = data[at : at + self._left]
                parts.append(part)
                at, left = at + len(part), self._left - len(part)
                self._left, self._skip = (left, 0) if left else (None, 2)
        self._rest = data[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Caller(asyncio.Protocol):
    """One keep-alive connection. Asks one thing at a time and compares each body with the expected.

    `on_answer` is called when an answer is whole. What goes wrong is kept in `failure` and hangs up.
    """

    def __init__(self, request: bytes, expected: bytes, on_answer: Callable[["Caller"], None]) -> None:
        self._request = request
        self._expected = expected
        self._on_answer = on_answer
        self._reader: AnswerReader | None = None
        self.answers = 0
        self.received = 0
        """Bytes of the present answer's body, each of them as expected."""
        self.asked_at = 0.0
        self.failure: str | None = None
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, now: float = 0.0) -> None:
        """Send the request. `now` is kept as `asked_at` for who measures time."""
        if self.failure is None:
            self._reader, self.received, self.asked_at = AnswerReader(), 0, now
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            return self._fail("bytes after the end of an answer: " + data[:200].decode("latin-1"))
        try:
            body = self._reader.feed(data)
        except (WrongAnswer, ValueError) as error:
            return self._fail(f"{error} {data[:500].decode('latin-1')}")
        if body != self._expected[self.received : self.received + len(body)]:
            return self._fail(f"byte {self.received} and on: got {body[:300]!r}")
        self.received += len(body)
        if self._reader.done:
            self._end()
        return None

    def _end(self) -> None:
        self._reader = None
        if self.received != len(self._expected):
            return self._fail(f"the answer ended after {self.received} of {len(self._expected)} bytes")
        self.answers += 1
        self._on_answer(self)
        return None

    def connection_lost(self, error: Exception | None) -> None:
        if not self._leaving:
            self._fail(f"the connection was closed: {error or 'by the other side'}")

    def leave(self) -> None:
        """Hang up."""
        self._leaving = True
        self._transport.abort()

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        self.leave()
