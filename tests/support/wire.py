"""HTTP on a bare socket: what goes out is what the test wrote, what comes back is kept as it came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

_PATIENCE = 30.0
"""Seconds for anything that is expected to happen."""


@dataclass(frozen=True)
class WireAnswer:
    """An answer as it came."""

    status: int
    fields: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    whole: bool
    """Whether its end was said: by its length, or by the last chunk. Else the connection just ended."""

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return {name.lower(): value for name, value in self.fields}

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def error(self) -> dict[str, Any]:
        """The `error` of an error body."""
        error: dict[str, Any] = msgspec.json.decode(self.body)["error"]
        return error


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Also when the other side has had enough: then what it said is there to be read."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def answer(self) -> WireAnswer:
        """The next answer, read to its end."""
        async with asyncio.timeout(_PATIENCE):
            status, fields = await self.head()
            headers = {name.lower(): value for name, value in fields}
            if "chunked" in headers.get("transfer-encoding", ""):
                chunks, whole = await self._chunks()
            else:
                chunks, whole = await self._known(headers.get("content-length"))
        return WireAnswer(status, fields, tuple(chunks), whole)

    async def head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Status and fields alone; the body is still to come."""
        async with asyncio.timeout(_PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), tuple((name, value.strip()) for name, _, value in pairs)

    async def some(self, mark: bytes) -> bytes:
        """What comes up to and including the mark."""
        async with asyncio.timeout(_PATIENCE):
            return await self._reader.readuntil(mark)

    async def ends(self) -> bytes:
        """What still comes, up to the end of the connection."""
        async with asyncio.timeout(_PATIENCE):
            try:
                return await self._reader.read(-1)
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _chunks(self) -> tuple[list[bytes], bool]:
        chunks: list[bytes] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                chunks.append((await self._reader.readexactly(size + 2))[:-2])
            await self._reader.readexactly(2)
            return chunks, True
        return chunks, False

    async def _known(self, length: str | None) -> tuple[list[bytes], bool]:
        if length is None:
            return [await self._reader.read(-1)], False
        try:
            return [await self._reader.readexactly(int(length))], True
        except asyncio.IncompleteReadError as cut:
            return [cut.partial], False


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Wire]:
    """A connection to `host:port`, closed at the end."""
    host, _, port = address.rpartition(":")
    wire = Wire(*await asyncio.open_connection(host, int(port)))
    try:
        yield wire
    finally:
        await wire.close()
