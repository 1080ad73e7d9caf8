"""The clients' listener, and how it ends: nothing new, what runs may finish, what takes too long is told
so.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from ssl import SSLContext
from typing import Any

import structlog

from gateway.gate import Gate
from gateway.server.connection import ClientServer

_BACKLOG = 2048
_CLOSING_SECONDS = 1.0
_HANDSHAKE_SECONDS = 10.0
"""Who has not said by then who it is, and agreed on a cipher, is let go."""


class Listener:
    """A socket that takes clients in."""

    def __init__(
        self,
        *,
        clients: ClientServer,
        gate: Gate,
        drain_seconds: float,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """`drain_seconds`: the longest wait for answers that run when it is stopped."""
        self._clients = clients
        self._gate = gate
        self._drain_seconds = drain_seconds
        self._log = log
        self._server: asyncio.Server | None = None
        self._patience: asyncio.Timeout | None = None
        self.address = ""
        """Where clients connect, `host:port`, once it is open."""

    async def open(self, host: str, port: int, ssl: SSLContext | None = None) -> None:
        """Begin to listen; with TLS when there is a context for it. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._clients,
            host,
            port,
            backlog=_BACKLOG,
            ssl=ssl,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if ssl else None,
            ssl_shutdown_timeout=_CLOSING_SECONDS if ssl else None,
        )
        self.address = spelled(self._server.sockets[0].getsockname())

    async def drain(self) -> None:
        """Take nothing new, and wait for what runs; end what takes too long. A second call does nothing."""
        if self._gate.draining:
            return
        self._gate.draining = True
        self._log.info("draining", open_exchanges=self._gate.inside)
        if self._server is not None:
            self._server.close()
        self._clients.close_idle()
        try:
            async with asyncio.timeout(self._drain_seconds) as self._patience:
                await self._gate.empty()
        except TimeoutError:
            self._log.warning("drain_cut_short", open_exchanges=self._gate.inside)
            self._gate.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await self._gate.empty()  # exchanges without a client are nobody else's to wait for
        finally:
            self._patience = None

    def hurry(self) -> None:
        """Let a drain that is under way last no longer: end the answers that still run, and tell their
        clients so."""
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Drain, then end every connection."""
        await self.drain()
        await self._clients.shutdown(_CLOSING_SECONDS)


def spelled(address: Sequence[Any]) -> str:
    """`host:port` of a socket's address, as URLs want it."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
