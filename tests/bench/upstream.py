"""A fake OpenAI, as cheap as Python allows: parses just enough, checks the key, answers, counts.

`python -m tests.bench.upstream` prints its port and serves until it is killed or half an hour has passed.
"""

import asyncio
import functools
import gc
import heapq
import itertools
import json
import re
import signal
import time
from collections.abc import Callable
from typing import Final, cast

import uvloop

from tests.bench.payloads import ANSWER, DONE, UPSTREAM_KEY, USAGE_EVENT, Pace, event, pace_of

_LONGEST_SECONDS: Final = 1800
_TICK_SECONDS: Final = 0.0002
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_KEY: Final = re.compile(rb"(?i)\r\nauthorization: *bearer %s\r\n" % UPSTREAM_KEY.encode())
_HEADERS: Final = (
    b"x-request-id: req_bench\r\nopenai-organization: bench\r\nopenai-processing-ms: 1\r\n"
    b"openai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\nserver: bench\r\n"
)
_JSON: Final = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n" + _HEADERS + b"content-length: %d\r\n\r\n%s"
)
_WHOLE_ANSWER: Final = _JSON % (b"200 OK", len(ANSWER), ANSWER)
_LEAKED: Final = _JSON % (b"500 Not The Upstream's Key", 2, b"{}")
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    + _HEADERS
    + b"transfer-encoding: chunked\r\n\r\n"
)


def _framed(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


@functools.cache
def _framed_event(number: int, usage: bool) -> bytes:
    return _framed(event(number, usage=usage))


class Timetable:
    """What is due when, on the clock of `time.monotonic`, a fifth of a millisecond exact.

    The loop's own clock and timers count whole milliseconds: they would bundle events, and a bundle is
    cheaper to relay than events that come one by one, as they do in the world.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        loop.add_signal_handler(signal.SIGALRM, self._act)

    def at(self, due: float, act: Callable[[], None]) -> None:
        """Do this at that time."""
        if not self._entries:
            signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
        heapq.heappush(self._entries, (due, next(self._numbers), act))

    def _act(self) -> None:
        now = time.monotonic()
        while self._entries and self._entries[0][0] <= now:
            heapq.heappop(self._entries)[2]()
        if not self._entries:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Counts:
    """What the upstream saw, for the bench to read at `/bench/counts`."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0

    def answer(self) -> bytes:
        body = json.dumps(vars(self)).encode()
        return _JSON % (b"200 OK", len(body), body)


class Upstream(asyncio.Protocol):
    """One connection from a contestant."""

    def __init__(self, counts: Counts, timetable: Timetable) -> None:
        self._counts = counts
        self._timetable = timetable
        self._buffer = b""
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._counts.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 2]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /bench/counts"):
            self._transport.write(self._counts.answer())
            return
        self._counts.requests += 1
        pace = pace_of(body)
        if not _KEY.search(head):
            self._transport.write(_LEAKED)
        elif pace is None:
            self._transport.write(_WHOLE_ANSWER)
        else:
            self._transport.write(_STREAM_HEAD)
            usage = re.search(rb'"include_usage": ?true', body) is not None
            self._send(0, pace, time.monotonic(), usage)

    def _send(self, number: int, pace: Pace, began: float, usage: bool) -> None:
        """Send one event and plan the next, on a timetable that does not drift."""
        if self._lost:
            return
        if number == pace.chunks:
            self._transport.write((_framed(USAGE_EVENT) if usage else b"") + _framed(DONE) + b"0\r\n\r\n")
            return
        self._transport.write(_framed_event(number, usage))
        due = began + (number + 1) * pace.gap_ms / 1000
        self._timetable.at(due, lambda: self._send(number + 1, pace, began, usage))


async def _serve() -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    timetable = Timetable(loop)
    server = await loop.create_server(lambda: Upstream(counts, timetable), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()
    await asyncio.sleep(_LONGEST_SECONDS)


if __name__ == "__main__":
    uvloop.run(_serve())
