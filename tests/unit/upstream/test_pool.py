"""Connections to upstreams, against a server that plays what is written down here."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.core.incoming import HeaderList
from gateway.upstream.connection import PooledAnswer
from gateway.upstream.pool import Pool
from gateway.upstream.targets import Target
from tests.unit.upstream.stand_in import StandIn, chunked, cut, raw, silence, standing_in, turn_over, whole

BODY = b'{"model": "gpt-4o"}'
HEADERS: HeaderList = [("content-type", "application/json"), ("content-length", str(len(BODY)))]


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(user_agent="gateway/1")
    yield pool
    pool.close()
    await turn_over()


def target(upstream: StandIn, *, host: str = "localhost", scheme: str = "http", **options: Any) -> Target:
    base_url = f"{scheme}://{host}:{upstream.port}/v1"
    return Target(name="openai", base_url=base_url, api_key=None, **options)


async def ask(pool: Pool, upstream: StandIn, **options: Any) -> PooledAnswer:
    headers = options.pop("headers", HEADERS)
    body = options.pop("body", BODY)
    return await pool.request(target(upstream, **options), "/v1/chat/completions", "POST", headers, body)


async def read(pool: Pool, upstream: StandIn, **options: Any) -> bytes:
    """A whole exchange."""
    answer = await ask(pool, upstream, **options)
    try:
        return await answer.read(1 << 20)
    finally:
        answer.release()


async def failure_of(pool: Pool, upstream: StandIn, **options: Any) -> ErrorCode:
    with pytest.raises(UpstreamFailed) as failed:
        await read(pool, upstream, **options)
    return failed.value.code


# What is sent.


async def test_the_upstream_gets_what_is_sent(pool: Pool) -> None:
    async with standing_in() as upstream:
        await read(pool, upstream)
        (request,) = upstream.requests
        assert request.line == "POST /v1/chat/completions HTTP/1.1"
        assert request.body == BODY


async def test_nothing_is_said_but_host_and_agent_and_what_is_given(pool: Pool) -> None:
    async with standing_in() as upstream:
        await read(pool, upstream)
        assert upstream.requests[0].fields == (
            ("host", f"localhost:{upstream.port}"),
            ("user-agent", "gateway/1"),
            *HEADERS,
        )


async def test_a_body_in_portions_arrives_as_one(pool: Pool) -> None:
    async def portions() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes([byte])

    async with standing_in() as upstream:
        await read(pool, upstream, body=portions())
        assert upstream.requests[0].body == BODY


async def test_a_body_of_megabytes_arrives_whole(pool: Pool) -> None:
    large = bytes(range(256)) * 16 * 1024
    async with standing_in() as upstream:
        await read(pool, upstream, body=large, headers=[("content-length", str(len(large)))])
        assert upstream.requests[0].body == large


@pytest.mark.parametrize("value", ["a\r\nx-other: b", "a\nb", "a\rb"])
async def test_a_header_cannot_bring_another_in(pool: Pool, value: str) -> None:
    async with standing_in() as upstream:
        with pytest.raises(ValueError, match="line break"):
            await ask(pool, upstream, headers=[("accept", value)])
        assert upstream.requests == []


async def test_cookies_are_neither_kept_nor_sent(pool: Pool) -> None:
    async with standing_in(whole(b"{}", "set-cookie: who=another-team; Path=/")) as upstream:
        for _ in range(2):
            await read(pool, upstream)
        assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(pool: Pool, status: str) -> None:
    async with standing_in() as other:
        location = f"location: http://localhost:{other.port}/v1/chat/completions"
        async with standing_in(whole(b"{}", location, status=status)) as upstream:
            answer = await ask(pool, upstream)
            assert answer.status == int(status[:3])
            answer.release()
        assert other.requests == []


# What is answered.


async def test_an_answer_has_its_status_its_headers_and_its_bytes(pool: Pool) -> None:
    play = whole(b'{"a": 1}', "X-Request-ID: up_1", status="404 Not Found")
    async with standing_in(play) as upstream:
        answer = await ask(pool, upstream)
        assert (answer.status, answer.headers["x-request-id"]) == (404, "up_1")
        assert answer.content_type == "application/json"
        assert await answer.read(8) == b'{"a": 1}'
        answer.release()


async def test_a_compressed_answer_is_left_as_it_is(pool: Pool) -> None:
    async with standing_in(whole(b"\x1f\x8b nonsense", "content-encoding: gzip")) as upstream:
        assert await read(pool, upstream) == b"\x1f\x8b nonsense"


async def test_a_stream_arrives_while_the_upstream_is_still_at_it(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", end=b""))) as upstream:
        answer = await ask(pool, upstream)
        assert await anext(answer.chunks()) == b"data: 1\n\n"
        answer.release()


async def test_a_stream_is_read_to_its_end(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", b"data: [DONE]\n\n"))) as upstream:
        assert await read(pool, upstream) == b"data: 1\n\ndata: [DONE]\n\n"


async def test_an_answer_without_a_length_ends_with_its_connection(pool: Pool) -> None:
    async with standing_in(cut(b"HTTP/1.1 200 OK\r\n\r\nsound")) as upstream:
        assert await read(pool, upstream) == b"sound"


async def test_an_answer_without_a_body_is_whole(pool: Pool) -> None:
    async with standing_in(raw(b"HTTP/1.1 204 No Content\r\n\r\n")) as upstream:
        assert await read(pool, upstream) == b""


async def test_interim_answers_are_passed_over(pool: Pool) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    async with standing_in(raw(early + chunked(b"{}"))) as upstream:
        answer = await ask(pool, upstream)
        assert (answer.status, "link" in answer.headers, await answer.read(9)) == (200, False, b"{}")
        answer.release()


async def test_an_answer_may_come_before_the_request_is_out(pool: Pool) -> None:
    answered = asyncio.Event()

    async def portions() -> AsyncIterator[bytes]:
        yield BODY[:1]
        await answered.wait()
        yield BODY[1:]

    async def refuse_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()
        await turn_over()
        answered.set()

    server = await asyncio.start_server(refuse_at_once, "127.0.0.1", 0)
    async with server:
        upstream = StandIn([], port=server.sockets[0].getsockname()[1])  # type: ignore[arg-type]
        answer = await ask(pool, upstream, body=portions())
        assert (answer.status, await answer.read(9)) == (413, b"{}")
        answer.release()


async def test_an_answer_may_not_be_longer_than_its_reader_allows(pool: Pool) -> None:
    async with standing_in(whole(b"x" * 100)) as upstream:
        answer = await ask(pool, upstream)
        with pytest.raises(UpstreamFailed, match="longer than it may be"):
            await answer.read(99)
        answer.release()


async def test_an_upstream_is_held_back_while_nobody_reads(pool: Pool) -> None:
    async with standing_in(whole(bytes(1 << 25))) as upstream:
        answer = await ask(pool, upstream)
        for _ in range(1000):
            await asyncio.sleep(0)
        held = await anext(answer.chunks())
        assert len(held) <= 512 * 1024
        answer.release()


# What goes wrong.


@pytest.mark.parametrize(
    "play",
    [
        cut(b""),
        cut(b"HTTP/1.1 200 OK\r\ncontent-le"),
        cut(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        cut(chunked(b"data: 1\n\n", end=b"")),
        cut(chunked(b"data: 1\n\n", end=b"5\r\nab")),
        cut(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(chunked(b"data: 1\n\n", end=b"zz\r\n")),
        raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"),
    ],
)
async def test_an_answer_that_is_broken_is_an_upstream_error(pool: Pool, play: Any) -> None:
    async with standing_in(play) as upstream:
        assert await failure_of(pool, upstream) is ErrorCode.UPSTREAM_ERROR


async def test_what_came_before_the_break_is_passed_on_first(pool: Pool) -> None:
    async with standing_in(cut(chunked(b"data: 1\n\n", end=b""))) as upstream:
        answer = await ask(pool, upstream)
        chunks = answer.chunks()
        assert await anext(chunks) == b"data: 1\n\n"
        with pytest.raises(UpstreamFailed, match="broke off"):
            await anext(chunks)
        answer.release()


async def test_an_upstream_that_nobody_is_at_cannot_be_reached(pool: Pool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = StandIn([], port=taken.getsockname()[1])  # type: ignore[arg-type]
        assert await failure_of(pool, nobody) is ErrorCode.UPSTREAM_UNREACHABLE


async def test_a_connection_that_takes_too_long_is_an_upstream_that_cannot_be_reached(pool: Pool) -> None:
    async with standing_in() as upstream:
        failure = await failure_of(pool, upstream, connect_seconds=0.0)
        assert (failure, upstream.requests) == (ErrorCode.UPSTREAM_UNREACHABLE, [])


async def test_an_upstream_that_says_nothing_is_timed_out(pool: Pool) -> None:
    async with standing_in(silence) as upstream:
        assert await failure_of(pool, upstream, first_byte_seconds=0.01) is ErrorCode.UPSTREAM_TIMEOUT


async def test_the_connection_of_a_silent_upstream_is_not_used_again(pool: Pool) -> None:
    async with standing_in(silence, whole(b"{}")) as upstream:
        await failure_of(pool, upstream, first_byte_seconds=0.01)
        await read(pool, upstream)
        assert upstream.connections == 2


async def test_a_request_that_is_called_off_ends_its_connection(pool: Pool) -> None:
    async with standing_in(silence) as upstream:
        asking = asyncio.create_task(ask(pool, upstream))
        await upstream.came.get()
        asking.cancel()
        await upstream.left.get()


async def test_an_answer_that_is_called_off_ends_its_connection(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", end=b""))) as upstream:
        reading = asyncio.create_task(read(pool, upstream))
        await upstream.came.get()
        await turn_over()
        reading.cancel()
        await upstream.left.get()


async def test_a_failure_keeps_its_cause_for_the_log(pool: Pool) -> None:
    async with standing_in(cut(b"SSH-2.0-OpenSSH_9.2\r\n")) as upstream:
        with pytest.raises(UpstreamFailed) as failed:
            await ask(pool, upstream)
        assert failed.value.__cause__ is not None


# Whose turn it is on a connection.


async def test_a_connection_whose_answer_was_read_is_used_again(pool: Pool) -> None:
    async with standing_in() as upstream:
        for _ in range(5):
            await read(pool, upstream)
        assert upstream.connections == 1


async def test_a_stream_that_was_read_leaves_its_connection_for_the_next(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n"))) as upstream:
        for _ in range(2):
            await read(pool, upstream)
        assert upstream.connections == 1


async def test_a_connection_whose_answer_was_half_read_is_closed(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"one team's\n\n", end=b"")), whole(b"mine")) as upstream:
        answer = await ask(pool, upstream)
        await anext(answer.chunks())
        answer.release()
        assert await read(pool, upstream) == b"mine"
        assert upstream.connections == 2


async def test_a_connection_whose_answer_was_not_read_is_closed(pool: Pool) -> None:
    async with standing_in(whole(b"one team's"), whole(b"mine")) as upstream:
        (await ask(pool, upstream)).release()
        assert await read(pool, upstream) == b"mine"


async def test_two_at_once_have_a_connection_each(pool: Pool) -> None:
    async with standing_in() as upstream:
        first, second = await ask(pool, upstream), await ask(pool, upstream)
        assert upstream.connections == 2
        first.release()
        second.release()


async def test_giving_back_twice_gives_back_once(pool: Pool) -> None:
    async with standing_in() as upstream:
        answer = await ask(pool, upstream)
        await answer.read(9)
        answer.release()
        answer.release()
        first, second = await ask(pool, upstream), await ask(pool, upstream)
        assert upstream.connections == 2
        first.release()
        second.release()


async def test_giving_back_again_leaves_the_next_one_alone(pool: Pool) -> None:
    async with standing_in() as upstream:
        answer = await ask(pool, upstream)
        await answer.read(9)
        answer.release()
        following = await ask(pool, upstream)
        answer.release()
        assert await following.read(9) == b"{}"
        following.release()


@pytest.mark.parametrize("field", ["connection: close", "Connection: Close"])
async def test_an_upstream_may_want_no_other_request(pool: Pool, field: str) -> None:
    async with standing_in(whole(b"{}", field)) as upstream:
        for _ in range(2):
            await read(pool, upstream)
        assert upstream.connections == 2


async def test_an_upstream_may_hang_up_between_requests(pool: Pool) -> None:
    async with standing_in(cut(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), whole(b"{}")) as upstream:
        await read(pool, upstream)
        await upstream.left.get()
        await turn_over()
        await read(pool, upstream)
        assert upstream.connections == 2


SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"


async def test_what_follows_an_answer_is_not_part_of_it(pool: Pool) -> None:
    data = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}" + SECOND
    async with standing_in(raw(data)) as upstream:
        answer = await ask(pool, upstream)
        assert (answer.status, await answer.read(99)) == (201, b"{}")
        answer.release()


async def test_what_follows_an_answer_is_nobodys_answer(pool: Pool) -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" + SECOND
    async with standing_in(raw(data), whole(b"mine")) as upstream:
        await failure_or_read(pool, upstream)
        assert await read(pool, upstream) == b"mine"


async def failure_or_read(pool: Pool, upstream: StandIn) -> None:
    try:
        await read(pool, upstream)
    except UpstreamFailed:
        return


async def test_what_comes_unasked_is_nobodys_answer(pool: Pool) -> None:
    go_on = asyncio.Event()

    async def answers_twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await go_on.wait()
        writer.write(SECOND)

    async with standing_in(answers_twice, whole(b"mine")) as upstream:
        await read(pool, upstream)
        go_on.set()
        await upstream.left.get()
        assert await read(pool, upstream) == b"mine"


async def test_the_close_ends_connections_that_are_kept(pool: Pool) -> None:
    async with standing_in() as upstream:
        await read(pool, upstream)
        pool.close()
        await upstream.left.get()


async def test_the_close_ends_answers_that_are_on_their_way(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", end=b""))) as upstream:
        answer = await ask(pool, upstream)
        chunks = answer.chunks()
        await anext(chunks)
        pool.close()
        with pytest.raises(UpstreamFailed):
            await anext(chunks)


# TLS, and proxies.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for `localhost` that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(
        now + datetime.timedelta(1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def servers_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
async def trusting(certificate: Path) -> AsyncIterator[Pool]:
    pool = Pool(user_agent="gateway/1", tls=ssl.create_default_context(cafile=certificate))
    yield pool
    pool.close()
    await turn_over()


async def test_an_upstream_whose_certificate_is_trusted_answers(
    trusting: Pool, servers_tls: ssl.SSLContext
) -> None:
    async with standing_in(tls=servers_tls) as upstream:
        assert await read(trusting, upstream, scheme="https") == b"{}"


async def test_an_upstream_whose_certificate_is_not_trusted_gets_nothing(
    pool: Pool, servers_tls: ssl.SSLContext
) -> None:
    async with standing_in(tls=servers_tls) as upstream:
        failure = await failure_of(pool, upstream, scheme="https")
        assert (failure, upstream.requests) == (ErrorCode.UPSTREAM_TLS_ERROR, [])


async def test_a_certificate_is_good_for_its_own_name_only(
    trusting: Pool, servers_tls: ssl.SSLContext
) -> None:
    async with standing_in(tls=servers_tls) as upstream:
        failure = await failure_of(trusting, upstream, scheme="https", host="127.0.0.1")
        assert failure is ErrorCode.UPSTREAM_TLS_ERROR


async def test_an_upstream_that_speaks_no_tls_is_a_tls_error(trusting: Pool) -> None:
    async def speaks_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speaks_http, "127.0.0.1", 0) as server:
        upstream = StandIn([], port=server.sockets[0].getsockname()[1])  # type: ignore[arg-type]
        assert await failure_of(trusting, upstream, scheme="https") is ErrorCode.UPSTREAM_TLS_ERROR


class Proxy:
    """A forward proxy: connects whom it is asked to, or says no."""

    def __init__(self, *, agrees: bool = True) -> None:
        self.heads: list[str] = []
        self.url = ""
        self._agrees = agrees
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[Any] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._tasks.append(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if not self._agrees:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return writer.close()
        host, _, port = head.split(" ")[1].partition(":")
        there, back = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, int(port))
        self._writers.append(back)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        return None

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_a_proxy_is_asked_for_the_way_and_sees_no_more(
    trusting: Pool, servers_tls: ssl.SSLContext
) -> None:
    headers = [*HEADERS, ("authorization", "Bearer sk-1")]
    async with standing_in(tls=servers_tls) as upstream, Proxy() as proxy:
        answer = await read(trusting, upstream, scheme="https", proxy=proxy.url, headers=headers)
        authority = f"localhost:{upstream.port}"
        assert answer == b"{}"
        assert proxy.heads == [f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n"]
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-1"


async def test_a_way_through_a_proxy_is_used_again(trusting: Pool, servers_tls: ssl.SSLContext) -> None:
    async with standing_in(tls=servers_tls) as upstream, Proxy() as proxy:
        for _ in range(2):
            await read(trusting, upstream, scheme="https", proxy=proxy.url)
        assert len(proxy.heads) == 1


async def test_a_certificate_is_looked_at_through_a_proxy_too(
    pool: Pool, servers_tls: ssl.SSLContext
) -> None:
    async with standing_in(tls=servers_tls) as upstream, Proxy() as proxy:
        failure = await failure_of(pool, upstream, scheme="https", proxy=proxy.url)
        assert (failure, upstream.requests) == (ErrorCode.UPSTREAM_TLS_ERROR, [])


async def test_without_tls_the_proxy_is_given_the_whole_address(pool: Pool) -> None:
    async with standing_in() as proxy:
        nowhere = StandIn([], port=9)  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{proxy.port}"
        assert await read(pool, nowhere, host="upstream.example", proxy=url) == b"{}"
        assert proxy.requests[0].line == "POST http://upstream.example:9/v1/chat/completions HTTP/1.1"


async def test_a_proxy_that_says_no_is_an_upstream_that_cannot_be_reached(trusting: Pool) -> None:
    async with standing_in() as upstream, Proxy(agrees=False) as proxy:
        failure = await failure_of(trusting, upstream, scheme="https", proxy=proxy.url)
        assert (failure, upstream.requests) == (ErrorCode.UPSTREAM_UNREACHABLE, [])


async def test_a_proxy_that_is_away_is_an_upstream_that_cannot_be_reached(pool: Pool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with standing_in() as upstream:
            assert await failure_of(pool, upstream, proxy=proxy) is ErrorCode.UPSTREAM_UNREACHABLE


async def test_an_upstream_is_not_reached_past_its_proxy(pool: Pool) -> None:
    async with standing_in() as upstream, standing_in() as proxy:
        await read(pool, upstream)
        await read(pool, upstream, proxy=f"http://127.0.0.1:{proxy.port}")
        assert (len(upstream.requests), len(proxy.requests)) == (1, 1)
