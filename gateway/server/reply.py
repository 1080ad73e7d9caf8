"""An answer on its way to a client. Every answer, good or bad, gets the gateway's own headers here."""

from collections.abc import Callable

from aiohttp import web

from gateway.core.errors import ClientLeft
from gateway.core.incoming import HeaderList

OwnHeaders = Callable[[], HeaderList]

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class ClientReply:
    """Implements `core.incoming.Reply` for aiohttp."""

    def __init__(self, request: web.BaseRequest, own_headers: OwnHeaders) -> None:
        self._request = request
        self._own_headers = own_headers
        self._last = b"\n\n"
        self.response: web.StreamResponse | None = None
        """What aiohttp's handler returns; None until something was answered."""

    @property
    def started(self) -> bool:
        return self.response is not None

    @property
    def taken(self) -> bool:
        transport = self._request.transport
        return transport is not None and transport.get_write_buffer_size() == 0

    @property
    def at_event_end(self) -> bool:
        """Whether what is out so far ends with a whole event."""
        return self._last.endswith(_EVENT_ENDS)

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        response = web.Response(status=status, headers=headers, body=body)
        await self._prepare(response)
        try:
            await response.write_eof()
        except ConnectionError as error:
            raise ClientLeft("before the answer was out") from error

    async def start(self, status: int, headers: HeaderList) -> None:
        await self._prepare(web.StreamResponse(status=status, headers=headers))

    async def write(self, data: bytes) -> None:
        self._last = data
        try:
            await self._stream.write(data)
        except ConnectionError as error:
            raise ClientLeft("in the middle of the answer") from error

    async def end(self) -> None:
        try:
            await self._stream.write_eof()
        except ConnectionError as error:
            raise ClientLeft("at the end of the answer") from error

    def cut(self) -> None:
        """End the connection: what was written is flushed, the chunked body's end is not, as a sign."""
        transport = self._request.transport
        if transport is not None:
            transport.close()

    def close_after(self) -> None:
        """Let this be the connection's last answer."""
        if self.response is not None:
            self.response.force_close()

    @property
    def _stream(self) -> web.StreamResponse:
        if self.response is None:
            raise RuntimeError("the answer was not started")
        return self.response

    async def _prepare(self, response: web.StreamResponse) -> None:
        if self.response is not None:
            raise RuntimeError("a request is answered once")
        for name, value in self._own_headers():
            response.headers[name] = value
        self.response = response
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise ClientLeft("before the answer began") from error
