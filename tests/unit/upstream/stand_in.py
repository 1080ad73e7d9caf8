"""An upstream that plays what a test wrote down, byte for byte, and remembers what it was asked."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    line: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)


@dataclass
class StandIn:
    """Answers request after request with the next play; the last one is played on."""

    plays: deque[Play]
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    came: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    """Told each time that a request has come."""
    left: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    """Told each time that a client's connection is gone."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list["asyncio.Task[None] | None"] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        try:
            while not writer.is_closing():
                self.requests.append(await read_request(reader))
                self.came.put_nowait(None)
                play = self.plays.popleft() if len(self.plays) > 1 else self.plays[0]
                await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.left.put_nowait(None)


async def read_request(reader: asyncio.StreamReader) -> Request:
    line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    fields = tuple((name, value) for name, _, value in (field.partition(": ") for field in rest))
    size = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
    return Request(line, fields, await reader.readexactly(size))


@asynccontextmanager
async def standing_in(*plays: Play, tls: SSLContext | None = None) -> AsyncIterator[StandIn]:
    upstream = StandIn(deque(plays or (whole(b"{}"),)))
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for writer in upstream.writers:
            writer.transport.abort()
        await asyncio.gather(*upstream.tasks)


def whole(body: bytes, *fields: str, status: str = "200 OK", kind: str = "application/json") -> Play:
    """A whole answer with its length."""
    return raw(_head(status, f"content-type: {kind}", f"content-length: {len(body)}", *fields) + body)


def raw(data: bytes) -> Play:
    """These bytes; the connection stays."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return play


def cut(data: bytes) -> Play:
    """These bytes, and the connection's end."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return play


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Nothing, until the client has enough of it."""
    await reader.read()


def _head(status: str, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")


def chunked(*portions: bytes, end: bytes = b"0\r\n\r\n", status: str = "200 OK") -> bytes:
    """An event stream in chunks."""
    head = _head(status, "content-type: text/event-stream", "transfer-encoding: chunked")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(portion), portion) for portion in portions) + end


async def turn_over() -> None:
    """Let the loop deliver what is on its way over local sockets."""
    for _ in range(20):
        await asyncio.sleep(0)
