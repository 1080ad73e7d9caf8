"""Connections by way of a forward proxy. It is asked to connect us (CONNECT, RFC 9110 section 9.3.6) and
then passes bytes that it cannot read; only requests to upstreams without TLS are given to it as they are.
"""

import asyncio
import re
import ssl
from typing import Final, cast
from urllib.parse import urlsplit

from gateway.upstream.connection import UpstreamConnection

_LARGEST_ANSWER: Final = 16 * 1024
_AGREED: Final = re.compile(rb"HTTP/1\.[01] 2\d\d[ \r]")


async def connect_through(proxy: str, host: str, port: int, tls: ssl.SSLContext | None) -> UpstreamConnection:
    """A connection to `host` through `proxy` (`http://proxy:3128`); to the proxy itself without `tls`.

    Raises OSError, ssl.SSLError among them.
    """
    loop = asyncio.get_running_loop()
    host_of_proxy, port_of_proxy = _place(proxy)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if tls is None:
        _, connection = await loop.create_connection(UpstreamConnection, host_of_proxy, port_of_proxy)
        return connection
    transport, asking = await loop.create_connection(lambda: _Asking(authority), host_of_proxy, port_of_proxy)
    try:
        await asking.agreed
        connection = UpstreamConnection()
        secured = await loop.start_tls(transport, connection, tls, server_hostname=host)
    except BaseException:
        transport.close()
        raise
    if secured is None:
        raise ConnectionError("the connection was lost before it was secured")
    connection.connection_made(secured)
    return connection


def _place(proxy: str) -> tuple[str, int]:
    parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or 80


class _Asking(asyncio.Protocol):
    """Asks the proxy for a way to `authority`, and takes in its answer."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._answer = b""
        self.agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        request = f"CONNECT {self._authority} HTTP/1.1\r\nhost: {self._authority}\r\n\r\n"
        cast(asyncio.Transport, transport).write(request.encode("ascii"))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if b"\r\n\r\n" in self._answer:
            self._end(agreed=_AGREED.match(self._answer) is not None)
        elif len(self._answer) > _LARGEST_ANSWER:
            self._end(agreed=False)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(agreed=False)

    def _end(self, agreed: bool) -> None:
        if self.agreed.done():
            return
        if agreed:
            self.agreed.set_result(None)
        else:
            self.agreed.set_exception(ConnectionError("the proxy did not let the request through"))
