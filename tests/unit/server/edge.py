"""The clients' edge on a real socket, before whatever handler a test has."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import Any

import pytest
from aiohttp import web

from gateway.core.errors import GatewayError
from gateway.core.exchange import Exchange
from gateway.core.incoming import HeaderList
from gateway.server.connection import ClientServer
from gateway.server.reply import ClientReply
from tests.support.certificates import clients_side
from tests.support.wire import Wire

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Act = Callable[[ClientReply], Awaitable[None]]


@dataclass
class Edge:
    """Where it listens, and what it was told."""

    address: str
    server: ClientServer
    malformed: list[GatewayError] = field(default_factory=list)


@asynccontextmanager
async def serving(
    handler: Handler, *, head_seconds: float = 30.0, tls: SSLContext | None = None
) -> AsyncIterator[Edge]:
    """The gateway's own server, stopped at the end."""
    malformed: list[GatewayError] = []

    def note(error: GatewayError) -> str:
        malformed.append(error)
        return f"req_{len(malformed)}"

    clients = ClientServer(
        handler,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=75.0,
        lingering_time=0.2,
        head_seconds=head_seconds,
        on_malformed=note,
    )
    server = await asyncio.get_running_loop().create_server(clients, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()
    try:
        yield Edge(f"{host}:{port}", clients, malformed)
    finally:
        server.close()
        await clients.shutdown(0.2)


@asynccontextmanager
async def connected_by_tls(address: str, trusts: Path, shows: Path | None = None) -> AsyncIterator[Wire]:
    """A connection to `host:port` by somebody who trusts an authority, and shows a certificate."""
    host, _, port = address.rpartition(":")
    context = clients_side(trusts, shows)
    wire = Wire(*await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost"))
    try:
        yield wire
    finally:
        with suppress(SSLError):  # the other side may have had enough of us
            await wire.close()


class Replying:
    """A handler that does one thing with the reply, and keeps what came of it."""

    def __init__(
        self,
        act: Act,
        *,
        own_headers: HeaderList | None = None,
        is_last: bool = False,
        write_seconds: float = 30.0,
    ) -> None:
        self._act = act
        self._own_headers = own_headers or []
        self._is_last = is_last
        self._write_seconds = write_seconds
        self.outcomes: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = ClientReply(
            request,
            lambda: self._own_headers,
            is_last=lambda: self._is_last,
            write_seconds=self._write_seconds,
        )
        try:
            await self._act(reply)
        except BaseException as error:
            self.outcomes.put_nowait(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self.outcomes.put_nowait(None)
        return reply.response

    async def outcome(self) -> BaseException | None:
        """What the act ended with."""
        async with asyncio.timeout(10):
            return await self.outcomes.get()


async def turn_over() -> None:
    """Let the loop deliver what is on its way over local sockets."""
    for _ in range(20):
        await asyncio.sleep(0)


async def nothing_comes(wire: Wire) -> None:
    """For a tenth of a second: no answer, and no end of the connection."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await wire.ends()


def an_exchange(**changes: Any) -> Exchange:
    return Exchange(**{"id": "req_1", "method": "POST", "received_at": 0.0, "started": 0.0, **changes})


def get(*fields: str, path: str = "/v1/models", version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "host: gateway", *fields, "", ""]).encode("latin-1")


def post(body: bytes = b"", *fields: str, path: str = "/v1/chat/completions") -> bytes:
    head = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
