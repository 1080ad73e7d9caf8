"""The way through a forward proxy, which may be as evil as any upstream."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import UpstreamFailed
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.tunnel import connect_through
from tests.support.certificates import certificate, clients_side, servers_side
from tests.unit.upstream.stand_in import turn_over

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

AGREED = b"HTTP/1.1 200 Connection established\r\n\r\n"
REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Proxy:
    """Plays what a test wrote down to whoever connects."""

    play: Play
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client's connection is gone."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.transport.pause_reading()  # what comes next may be TLS, which is not the reader's
            await self.play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
            self.left.set()


@asynccontextmanager
async def proxying(play: Play) -> AsyncIterator[Proxy]:
    proxy = Proxy(play)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
        await asyncio.wait_for(proxy.left.wait(), 10)
    finally:
        server.close()
        await turn_over()


def saying(*parts: bytes, then: Play | None = None) -> Play:
    """These bytes, each by itself; then whatever follows, or nothing until the client has enough of it."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await turn_over()
        await (then or listening)(reader, writer)

    return play


async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.resume_reading()
    await reader.read()


async def hanging_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    file = certificate(tmp_path_factory.mktemp("tls"))
    return servers_side(file), clients_side(file)


@pytest.fixture
def trusting(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> ssl.SSLContext:
    return contexts[1]


@pytest.fixture
def upstream(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Play:
    """What is at the other end of the way: it speaks TLS, and answers one request."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(contexts[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await reader.read()

    return play


async def ask(connection: UpstreamConnection) -> bytes:
    """The body of an answer."""
    try:
        await connection.send(REQUEST, b"")
        return await connection.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "parts",
    [
        [AGREED],
        [AGREED[at : at + 1] for at in range(len(AGREED))],
        [b"HTTP/1.0 200 OK\r\nvia: proxy\r\nproxy-agent: x\r\n\r\n"],
        [b"HTTP/1.1 200\r\n\r\n"],
        [b"HTTP/1.1 202 Accepted\r\n\r\n"],
    ],
    ids=["in one piece", "byte by byte", "with headers", "without a reason", "another yes"],
)
async def test_a_proxy_that_agrees_leads_to_the_upstream(
    parts: list[bytes], upstream: Play, trusting: ssl.SSLContext
) -> None:
    async with proxying(saying(*parts, then=upstream)) as proxy:
        assert await ask(await connect_through(proxy.url, "localhost", 443, trusting)) == b"ok"


@pytest.mark.parametrize(
    ("host", "authority"),
    [("localhost", b"localhost:443"), ("192.0.2.1", b"192.0.2.1:443"), ("2001:db8::1", b"[2001:db8::1]:443")],
)
async def test_a_proxy_is_asked_for_the_upstream_alone(
    host: str, authority: bytes, trusting: ssl.SSLContext
) -> None:
    async with proxying(hanging_up) as proxy:
        with pytest.raises(OSError, match="proxy"):
            await connect_through(proxy.url, host, 443, trusting)
    assert proxy.heads == [b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (authority, authority)]


@pytest.mark.parametrize(
    "play",
    [
        saying(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        saying(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 200\r\n\r\n200 OK"),
        saying(b"HTTP/1.1 2000 OK\r\n\r\n"),
        saying(b"HTTP/1.1  200 OK\r\n\r\n"),
        saying(b"\r\n\r\n"),
        saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        saying(b"200 200 200\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\n", then=hanging_up),
        saying(*[b"HTTP/1.1 200 OK\r\n", *[b"x: y\r\n" * 400] * 8]),
        hanging_up,
    ],
    ids=["407", "502", "2000", "two spaces", "nothing", "no HTTP", "nonsense", "cut", "endless", "gone"],
)
async def test_a_proxy_that_does_not_agree_is_a_connection_error(
    play: Play, trusting: ssl.SSLContext
) -> None:
    async with proxying(play) as proxy:
        with pytest.raises(ConnectionError):
            await connect_through(proxy.url, "localhost", 443, trusting)


async def test_a_proxy_that_does_not_agree_is_left(trusting: ssl.SSLContext) -> None:
    async with proxying(saying(b"HTTP/1.1 403 No\r\n\r\n")) as proxy:
        with pytest.raises(ConnectionError):
            await connect_through(proxy.url, "localhost", 443, trusting)
        await asyncio.wait_for(proxy.left.wait(), 10)


async def test_a_proxy_that_says_nothing_is_left_when_the_time_is_up(trusting: ssl.SSLContext) -> None:
    async with proxying(saying()) as proxy:
        connecting = asyncio.create_task(connect_through(proxy.url, "localhost", 443, trusting))
        await turn_over()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(proxy.left.wait(), 10)


async def test_what_a_proxy_adds_to_its_word_reaches_nobody(trusting: ssl.SSLContext) -> None:
    """It is no TLS, so it can only spoil the connection."""
    async with proxying(saying(AGREED, ANSWER)) as proxy:
        with pytest.raises(ssl.SSLError):
            await connect_through(proxy.url, "localhost", 443, trusting)


async def test_what_a_proxy_adds_in_the_same_breath_reaches_nobody(
    upstream: Play, trusting: ssl.SSLContext
) -> None:
    async with proxying(saying(AGREED + ANSWER, then=upstream)) as proxy:
        connection = await connect_through(proxy.url, "localhost", 443, trusting)
        assert await ask(connection) == b"ok"


async def test_a_proxy_cannot_pass_for_the_upstream(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    servers, trusting = contexts

    async def another(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(servers)

    async with proxying(saying(AGREED, then=another)) as proxy:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect_through(proxy.url, "api.openai.com", 443, trusting)


async def test_an_upstream_that_leaves_at_once_gets_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    servers, trusting = contexts

    async def shy(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(servers)
        writer.close()

    async with proxying(saying(AGREED, then=shy)) as proxy:
        connection = await connect_through(proxy.url, "localhost", 443, trusting)
        await asyncio.wait_for(proxy.left.wait(), 10)
        with pytest.raises(UpstreamFailed):
            await ask(connection)


async def test_without_tls_the_connection_is_the_proxys_own() -> None:
    async with proxying(saying(ANSWER)) as proxy:
        assert await ask(await connect_through(proxy.url, "localhost", 80, None)) == b"ok"
    assert proxy.heads == [REQUEST]
