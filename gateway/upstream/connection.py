"""One connection to an upstream: HTTP/1.1 as bytes in and facts out, on httptools' parser.

Written for what a gateway does all day, which is to pass on what comes: body bytes are handed over as the
parser finds them, with no stream objects and no timers in between (docs/performance.md has the figures).

Its law: a connection carries one exchange at a time, and goes back to the pool only when the answer was
read to its end, said so, and nothing came after it. Whatever else happens, it is closed. What comes when
nothing was asked is nobody's answer, and least of all the next one's.
"""

import asyncio
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Self, cast

import httptools

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.wire.headers import media_type

MOST_HELD: Final = 256 * 1024
"""Bytes of an answer that may wait to be passed on; beyond, the upstream is held back."""
LARGEST_HEAD: Final = 64 * 1024
"""Bytes of names and values in an answer's head and trailers, and of anything else that is no body."""
_REFILL: Final = MOST_HELD // 4


class UpstreamConnection(asyncio.Protocol):
    """Sends a request, and takes in the answer to it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._writable: asyncio.Future[None] | None = None
        self._head: asyncio.Future[None] | None = None
        """Waits for the head of an answer. None while nothing was asked."""
        self._more: asyncio.Future[None] | None = None
        """Waits for the next bytes of a body."""
        self._portions: deque[bytes] = deque()
        self._held = 0
        self._head_size = 0
        self._untold = 0
        """Bytes since the parser last told something: it keeps the start of a header field."""
        self._headers: dict[str, str] = {}
        self._status = 0
        self._complete = True
        """Whether all is said. At the beginning, too: nothing was asked."""
        self._framed = False
        self._reusable = True
        self._failure: UpstreamFailed | None = None
        self.idle_since = 0.0
        """The loop's time at which it went back to the pool."""

    @property
    def usable(self) -> bool:
        """Whether another request can be sent on it."""
        transport = self._transport
        return self._reusable and transport is not None and not (transport.is_closing() or _speaks(transport))

    # what is asked of it

    async def send(self, head: bytes, body: bytes | AsyncIterator[bytes]) -> tuple[int, Mapping[str, str]]:
        """Send a request; gives the status and the headers (lower-case names) of its answer.

        Raises UpstreamFailed: `upstream_unreachable` when the connection is no longer good and nothing was
        sent, `upstream_error` when it breaks before an answer, `upstream_timeout` after `give_up`.
        """
        transport = self._begin()
        if isinstance(body, bytes):
            transport.write(head + body)
        else:
            transport.write(head)
            async for portion in body:
                await self._until_writable()
                if self._status:
                    self._reusable = False  # answered before it had heard us out
                    break
                transport.write(portion)
        await self._wait_for_head()
        return self._status, self._headers

    async def read(self) -> bytes:
        """All that has come since the last time, as soon as there is something; empty at the end.

        Raises UpstreamFailed when the answer breaks off.
        """
        while not self._portions:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            self._more = asyncio.get_running_loop().create_future()
            try:
                await self._more
            finally:
                self._more = None
        data = self._portions.popleft() if len(self._portions) == 1 else self._all()
        if self._held > _REFILL and self._transport is not None:
            self._transport.resume_reading()
        self._held = 0
        return data

    def finished(self) -> bool:
        """Whether the answer was read to its end, so that the connection can serve another."""
        transport = self._transport
        if not (self._complete and self._reusable and transport is not None) or self._portions:
            return False
        return not (transport.is_closing() or transport.get_write_buffer_size())

    def give_up(self) -> None:
        """No answer has begun, and it has been waited for long enough: whoever waits is told so."""
        if self._status or self._failure is not None:
            return
        self._failure = UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "The upstream did not answer in time.")
        self.close()
        self._wake()

    def close(self) -> None:
        """End it, whatever it was doing."""
        self._reusable = False
        if not self._complete:
            self._fail("The gateway closed the connection.", None)
        if self._transport is not None:
            self._transport.abort()

    # what the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._head is None and self._complete:
            self.close()  # nobody asked for this
            return
        self._untold += len(data)
        try:
            self._parser.feed_data(data)
            if self._untold > LARGEST_HEAD:
                raise httptools.HttpParserError("nothing but a head, or what surrounds a body")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("The upstream's answer is not HTTP/1.1.", error)
            self.close()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._reusable = False
        self._transport = None
        if self._status and not self._framed and error is None and self._failure is None:
            self._complete = True  # an answer whose end is the connection's end
        if not self._complete:
            self._fail("The upstream broke off its answer." if self._status else _NO_ANSWER, error)
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # what the parser tells it

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("something follows the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._untold = 0
        self._head_size += len(name) + len(value)
        if self._head_size > LARGEST_HEAD:
            raise ValueError("the head is too large")
        if self._status:
            return  # a trailer: the head was judged without it
        field, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if field == "transfer-encoding" and text.lower() != "chunked":
            raise ValueError("a coding that was not asked for, and would be passed on untold")
        self._headers[field] = text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = {}
            return
        self._status = status
        self._framed = "content-length" in self._headers or "transfer-encoding" in self._headers

    def on_body(self, data: bytes) -> None:
        self._untold = 0
        self._portions.append(data)
        self._held += len(data)
        if self._held > MOST_HELD and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self._status:
            return  # an interim answer, 100 or 103
        self._complete = True
        self._reusable = self._reusable and self._parser.should_keep_alive()  # later it always says no

    # how it does that

    def _begin(self) -> asyncio.Transport:
        transport = self._transport
        if transport is None or not self._reusable or transport.is_closing():
            raise UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "The upstream closed the connection.")
        self._head = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._head_size = self._untold = self._status = self._held = 0
        self._complete = self._framed = False
        return transport

    async def _until_writable(self) -> None:
        if self._writable is not None:
            await self._writable
        if self._failure is not None and not self._status:
            raise self._failure

    async def _wait_for_head(self) -> None:
        if not self._status and self._failure is None and self._head is not None:
            await self._head
        self._head = None
        if not self._status and self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        """Whoever waits for the head or for more may look again."""
        head, more = self._head, self._more
        if head is not None and not head.done() and (self._status or self._failure is not None):
            head.set_result(None)
        if more is not None and not more.done() and (self._portions or self._complete or self._failure):
            more.set_result(None)

    def _fail(self, sentence: str, cause: BaseException | None) -> None:
        if self._failure is None:
            self._failure = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, sentence)
            self._failure.__cause__ = cause

    def _all(self) -> bytes:
        data = b"".join(self._portions)
        self._portions.clear()
        return data


_NO_ANSWER: Final = "The upstream closed the connection without an answer."


def _speaks(transport: asyncio.Transport) -> bool:
    """Whether something has come that is not read yet: bytes or the end, and either makes it useless."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))


class PooledAnswer:
    """An answer on a connection of the pool. Implements `interfaces.Answer`."""

    def __init__(
        self,
        connection: UpstreamConnection,
        status: int,
        headers: Mapping[str, str],
        on_release: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._on_release = on_release
        self._released = False
        self.status = status
        self.headers = headers

    @property
    def content_type(self) -> str:
        return media_type(self.headers.get("content-type", ""))

    async def read(self, limit: int) -> bytes:
        portions = []
        size = 0
        while data := await self._connection.read():
            size += len(data)
            if size > limit:
                raise UpstreamFailed(
                    ErrorCode.UPSTREAM_ERROR, "The upstream's answer is longer than it may be."
                )
            portions.append(data)
        return b"".join(portions)

    async def chunks(self) -> AsyncIterator[bytes]:
        read = self._connection.read
        while data := await read():
            yield data

    def release(self) -> None:
        """Give the connection back, once; it is closed when the answer was not read to its end."""
        if not self._released:
            self._released = True
            self._on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
