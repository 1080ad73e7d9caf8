"""An answer on its way to a client, written to its connection as HTTP/1.1 with no further objects in between:
what is relayed costs one write for each portion. Every answer, good or bad, gets the gateway's own headers.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from gateway.core.errors import ClientLeft
from gateway.core.incoming import HeaderList
from gateway.wire.head import write_head
from gateway.wire.headers import media_type

OwnHeaders = Callable[[], HeaderList]

_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_LAST_CHUNK: Final = b"0\r\n\r\n"
_BODILESS: Final = (204, 304)
"""Statuses after which no client expects a body, nor the end of one."""


class ClientReply:
    """Implements `core.incoming.Reply` on aiohttp's connection."""

    def __init__(
        self,
        request: web.BaseRequest,
        own_headers: OwnHeaders,
        *,
        is_last: Callable[[], bool],
        write_seconds: float,
    ) -> None:
        """`is_last`: whether the connection is to end with this answer; asked as that begins, and as it ends.
        `write_seconds`: how long the client may take nothing of what was written."""
        self._request = request
        self._own_headers = own_headers
        self._is_last = is_last
        self._write_seconds = write_seconds
        self._last = b"\n\n"
        self._chunked = False
        self._keep_alive = request.keep_alive
        self.started = False
        self.is_event_stream = False

    @property
    def taken(self) -> bool:
        transport = self._request.transport
        return transport is not None and transport.get_write_buffer_size() == 0

    @property
    def at_event_end(self) -> bool:
        """Whether what is out so far ends with a whole event."""
        return self._last.endswith(_EVENT_ENDS)

    @property
    def response(self) -> web.StreamResponse:
        """What aiohttp's handler returns: that all is written, and whether the connection goes on."""
        goes_on = self._keep_alive and self.started and not self._is_last()
        return cast(web.StreamResponse, _Written(goes_on))

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        head = self._head(status, [*headers, ("content-length", str(len(body)))])
        await self._out(head if self._request.method == "HEAD" else head + body)

    async def start(self, status: int, headers: HeaderList) -> None:
        self._chunked = self._request.version >= (1, 1) and status not in _BODILESS
        if self._chunked:
            headers = [*headers, ("transfer-encoding", "chunked")]
        elif status not in _BODILESS:
            self._keep_alive = False
        await self._out(self._head(status, headers))

    async def write(self, data: bytes) -> None:
        if not data:
            return  # as a chunk it would be the last one
        self._last = data
        await self._out(self._framed(data))

    async def end(self) -> None:
        if self._chunked:
            await self._out(_LAST_CHUNK)

    def cut(self, last: bytes = b"") -> None:
        """End the connection: what was written is flushed, and `last`; the chunked body's end is not, as a
        sign. Does not wait: whoever takes nothing is left when the time for it is up."""
        self._keep_alive = False
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if last:
            transport.write(self._framed(last))
        transport.close()
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(self._write_seconds, transport.abort)

    def drop(self) -> None:
        """End the connection of a client that takes nothing: what it has not taken is not kept for it."""
        self._keep_alive = False
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    def _head(self, status: int, headers: HeaderList) -> bytes:
        if self.started:
            raise RuntimeError("a request is answered once")
        self.started = True
        self.is_event_stream = any(
            name == "content-type" and media_type(value) == "text/event-stream" for name, value in headers
        )
        every = [*headers, *self._own_headers(), ("date", rfc822_formatted_time())]
        self._keep_alive = self._keep_alive and not self._is_last()
        if not self._keep_alive:
            every.append(("connection", "close"))
        elif self._request.version < (1, 1):
            every.append(("connection", "keep-alive"))
        return write_head(f"HTTP/1.1 {status} {_PHRASES.get(status, '')}", every)

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    async def _out(self, data: bytes) -> None:
        """Write, and wait while the client has too much before it."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientLeft("before all of the answer was written")
        transport.write(data)
        if self._request.protocol.writing_paused:
            await self._until_taken()

    async def _until_taken(self) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._request.writer.drain()
        except TimeoutError:
            raise ClientLeft("it takes nothing") from None
        except ConnectionError as error:
            raise ClientLeft("while it was being written to") from error


class _Written:
    """What aiohttp takes for a response: there is nothing left to do about it."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, _: web.BaseRequest) -> None:
        """It is prepared."""

    async def write_eof(self) -> None:
        """It is written."""
