"""The process's connections to all upstreams: opened when needed, kept while they are good, given to one
at a time.

Bare on purpose: no cookies (one team's would reach the next), no redirects (a POST would be sent again,
key included, to wherever the answer says), no decompression (bytes are relayed as they come), no proxy
but the one that is configured. What goes wrong becomes UpstreamFailed here.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.core.incoming import HeaderList
from gateway.upstream.connection import PooledAnswer, UpstreamConnection
from gateway.upstream.targets import Target
from gateway.upstream.tunnel import connect_through
from gateway.wire.head import write_head

_IDLE_SECONDS: Final = 55.0
"""How long an unused connection is kept: less than servers and balancers commonly do."""
_MOST_IDLE: Final = 1000
"""Unused connections kept for each upstream."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where connections lead, and how."""

    host: str
    port: int
    tls: bool
    proxy: str | None

    @property
    def netloc(self) -> str:
        """What the `host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Pool:
    """Keeps unused connections by where they lead; the one used last is used first."""

    def __init__(self, *, user_agent: str, tls: ssl.SSLContext | None = None) -> None:
        self._user_agent = user_agent
        self._tls = tls or ssl.create_default_context()
        self._idle: dict[Address, deque[UpstreamConnection]] = {}
        self._busy: set[UpstreamConnection] = set()
        self._addresses: dict[tuple[str, str | None], Address] = {}

    def close(self) -> None:
        """End every connection, used or not."""
        for connection in [*self._busy, *(each for idle in self._idle.values() for each in idle)]:
            connection.close()
        self._idle.clear()

    async def request(
        self,
        target: Target,
        path: str,
        method: str,
        headers: HeaderList,
        body: bytes | AsyncIterator[bytes],
        on_sent: Callable[[], None] = lambda: None,
    ) -> PooledAnswer:
        """Send, and wait for the head of the answer. `path`: with its query, as the request line says it.
        `on_sent`: told when there is a connection, and the request begins to leave.

        Raises UpstreamFailed: `upstream_unreachable` or `upstream_tls_error` when no byte of the request can
        have arrived, `upstream_timeout` or `upstream_error` otherwise.
        """
        address = self._address(target)
        whole_path = f"http://{address.netloc}{path}" if address.proxy and not address.tls else path
        own = [("host", address.netloc), ("user-agent", self._user_agent)]
        head = write_head(f"{method} {whole_path} HTTP/1.1", [*own, *headers])
        connection = self._unused(address) or await self._connect(address, target.connect_seconds)
        self._busy.add(connection)
        on_sent()
        deadline = asyncio.get_running_loop().call_later(target.first_byte_seconds, connection.give_up)
        try:
            status, answered = await connection.send(head, body)
        except BaseException:
            self._discard(connection)
            raise
        finally:
            deadline.cancel()
        return PooledAnswer(
            connection, status, answered, on_release=lambda: self._take_back(address, connection)
        )

    def _address(self, target: Target) -> Address:
        key = target.base_url, target.proxy
        address = self._addresses.get(key)
        if address is None:
            parts = urlsplit(target.base_url)
            tls = parts.scheme == "https"
            port = parts.port or (443 if tls else 80)
            address = self._addresses[key] = Address(parts.hostname or "", port, tls, target.proxy)
        return address

    def _unused(self, address: Address) -> UpstreamConnection | None:
        idle = self._idle.get(address)
        oldest_kept = asyncio.get_running_loop().time() - _IDLE_SECONDS
        while idle and idle[0].idle_since < oldest_kept:
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    def _take_back(self, address: Address, connection: UpstreamConnection) -> None:
        idle = self._idle.setdefault(address, deque())
        if not connection.finished() or len(idle) >= _MOST_IDLE:
            self._discard(connection)
            return
        self._busy.discard(connection)
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)

    def _discard(self, connection: UpstreamConnection) -> None:
        self._busy.discard(connection)
        connection.close()

    async def _connect(self, address: Address, seconds: float) -> UpstreamConnection:
        with _translated():
            async with asyncio.timeout(seconds):
                if address.proxy is not None:
                    return await connect_through(
                        address.proxy, address.host, address.port, self._tls if address.tls else None
                    )
                _, connection = await asyncio.get_running_loop().create_connection(
                    UpstreamConnection,
                    address.host,
                    address.port,
                    ssl=self._tls if address.tls else None,
                )
        return connection


@contextmanager
def _translated() -> Iterator[None]:
    """What can go wrong before a byte of the request is sent, in our words."""
    try:
        yield
    except ssl.SSLError as error:
        raise UpstreamFailed(
            ErrorCode.UPSTREAM_TLS_ERROR,
            "No TLS session with the upstream: certificate or protocol do not fit.",
        ) from error
    except OSError as error:  # TimeoutError is one
        raise UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "The upstream could not be reached.") from error
