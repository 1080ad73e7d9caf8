"""A proxy in front of a PostgreSQL that cuts a connection when a COMMIT has arrived there, before its reply
comes back: whoever sent it cannot know that it was done.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_CHUNK: Final = 1 << 20


class CuttingProxy:
    """Passes everything on, but for as many replies to COMMIT as it is told to lose."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self.to_lose = 0
        self.lost = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._socket)
        pumps = [
            asyncio.ensure_future(self._pass(reader, there_writer, writer)),
            asyncio.ensure_future(self._pass(there_reader, writer, None)),
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._tasks.difference_update(pumps)
        writer.transport.abort()
        there_writer.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        replies: asyncio.StreamWriter | None,
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(_CHUNK):
                if replies is not None and self.to_lose and _COMMIT in data:
                    self.to_lose -= 1
                    self.lost += 1
                    replies.transport.abort()
                target.write(data)
                await target.drain()
            target.write_eof()


@asynccontextmanager
async def cutting_proxy(folder: Path) -> AsyncIterator[CuttingProxy]:
    """In front of the server whose socket is in this folder; gone at the end."""
    proxy = CuttingProxy(str(folder / ".s.PGSQL.5432"))
    server = await asyncio.start_server(proxy.welcome, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
