"""One connection to an upstream that may be evil: whatever bytes come, in whatever portions, an exchange gets
its own answer or an error, and never a word of another's.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.upstream.connection import LARGEST_HEAD, MOST_HELD, PooledAnswer, UpstreamConnection

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Line(asyncio.Transport):
    """A transport without a network: remembers what is sent and asked of it."""

    def __init__(self, protocol: UpstreamConnection) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.unsent = 0
        """Bytes that the network has not taken yet."""
        self.paused = False
        self.aborted = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Heard(NamedTuple):
    """An answer as its reader has it."""

    status: int
    headers: dict[str, str]
    body: bytes
    finished: bool


def connected() -> tuple[UpstreamConnection, Line]:
    connection = UpstreamConnection()
    line = Line(connection)
    connection.connection_made(line)
    return connection, line


async def turn() -> None:
    """Let everybody do what they can do now."""
    for _ in range(3):
        await asyncio.sleep(0)


async def asked(connection: UpstreamConnection, body: Any = b"") -> "asyncio.Task[Any]":
    """A request on its way."""
    asking = asyncio.create_task(connection.send(REQUEST, body))
    await turn()
    return asking


async def read_all(connection: UpstreamConnection) -> bytes:
    body = b""
    while data := await connection.read():
        body += data
    return body


async def hear(parts: Sequence[bytes], *, ends: bool = False, turns: bool = False) -> Heard:
    """The answer that these bytes make. `ends`: so does the connection; `turns`: somebody reads meanwhile."""
    connection, _ = connected()
    asking = await asked(connection)
    for part in parts:
        connection.data_received(part)
        if turns:
            await asyncio.sleep(0)
    if ends:
        connection.connection_lost(None)
    status, headers = await asking
    body = await read_all(connection)
    return Heard(status, dict(headers), body, connection.finished())


async def failure(connection: UpstreamConnection, asking: "asyncio.Task[Any]") -> UpstreamFailed:
    """Why there is no whole answer."""

    async def whole() -> bytes:
        await asking
        return await read_all(connection)

    with pytest.raises(UpstreamFailed) as failed:
        await whole()
    return failed.value


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start != end]


# How its bytes are portioned makes no difference to an answer.


class Case(NamedTuple):
    name: str
    data: bytes
    heard: Heard
    ends: bool = False
    """Whether the connection ends after it."""


def framed(*fields: bytes, body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    head = [b"HTTP/" + version + b" " + status, *fields, b"content-length: %d" % len(body)]
    return b"\r\n".join([*head, b"", body])


LENGTH_2 = {"content-length": "2"}
CODED = {"transfer-encoding": "chunked"}

CASES = [
    Case("length", framed(body=b"ok"), Heard(200, LENGTH_2, b"ok", True)),
    Case("no body", framed(), Heard(200, {"content-length": "0"}, b"", True)),
    Case(
        "names are lower case",
        framed(b"X-Request-ID: req_1", body=b"ok"),
        Heard(200, {"x-request-id": "req_1", **LENGTH_2}, b"ok", True),
    ),
    Case("chunks", CHUNKED + b"2\r\nok\r\n3\r\n, s\r\n0\r\n\r\n", Heard(200, CODED, b"ok, s", True)),
    Case(
        "chunk extensions",
        CHUNKED + b'2;name="a;b"\r\nok\r\n0;last\r\n\r\n',
        Heard(200, CODED, b"ok", True),
    ),
    Case(
        "trailers",
        CHUNKED + b"2\r\nok\r\n0\r\ncontent-type: text/html\r\nx-should-retry: true\r\n\r\n",
        Heard(200, CODED, b"ok", True),
    ),
    Case(
        "interim answers",
        b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        + framed(body=b"ok"),
        Heard(200, LENGTH_2, b"ok", True),
    ),
    Case("no content", b"HTTP/1.1 204 No Content\r\n\r\n", Heard(204, {}, b"", True)),
    Case(
        "no content, though it says so",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        Heard(204, {"content-length": "5"}, b"", True),
    ),
    Case(
        "not modified",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        Heard(304, {"content-length": "5"}, b"", True),
    ),
    Case("no reason", b"HTTP/1.1 429\r\ncontent-length: 2\r\n\r\nno", Heard(429, LENGTH_2, b"no", True)),
    Case("old HTTP", framed(body=b"ok", version=b"1.0"), Heard(200, LENGTH_2, b"ok", False)),
    Case(
        "old HTTP that goes on",
        framed(b"connection: keep-alive", body=b"ok", version=b"1.0"),
        Heard(200, {"connection": "keep-alive", **LENGTH_2}, b"ok", True),
    ),
    Case(
        "the last answer of a connection",
        framed(b"Connection: close", body=b"ok"),
        Heard(200, {"connection": "close", **LENGTH_2}, b"ok", False),
    ),
    Case("ended by the connection", OK + b"\r\nall of it", Heard(200, {}, b"all of it", False), ends=True),
    Case("empty, ended by the connection", OK + b"\r\n", Heard(200, {}, b"", False), ends=True),
    Case("the connection ends after it", framed(body=b"ok"), Heard(200, LENGTH_2, b"ok", False), ends=True),
    Case(
        "an upgrade is offered",
        framed(b"upgrade: h2c", body=b"ok"),
        Heard(200, {"upgrade": "h2c", **LENGTH_2}, b"ok", True),
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@each_case
async def test_an_answer_in_one_piece_is_what_it_says(case: Case) -> None:
    assert await hear([case.data], ends=case.ends) == case.heard


@each_case
@pytest.mark.parametrize("turns", [False, True], ids=["at once", "while it is read"])
async def test_an_answer_byte_by_byte_is_the_same(case: Case, turns: bool) -> None:
    assert await hear(bytewise(case.data), ends=case.ends, turns=turns) == case.heard


@given(case=st.sampled_from(CASES), places=st.lists(st.integers(0, 400), max_size=8), turns=st.booleans())
async def test_an_answer_in_any_portions_is_the_same(case: Case, places: list[int], turns: bool) -> None:
    assert await hear(cut_at(case.data, places), ends=case.ends, turns=turns) == case.heard


# What is no HTTP/1.1 is no answer.

MALFORMED = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "an unknown version": b"HTTP/1.7 200 OK\r\n\r\n",
    "a short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status in words": b"HTTP/1.1 OK 200\r\n\r\n",
    "a line end of one byte": OK + b"x: 1\ncontent-length: 0\r\n\r\n",
    "a bare carriage return": OK + b"x: 1\ry: 2\r\n\r\n",
    "a folded header": OK + b"x: 1\r\n 2\r\n\r\n",
    "a space before the colon": OK + b"content-length : 2\r\n\r\nok",
    "a header without a colon": OK + b"content-length\r\n\r\n",
    "a header without a name": OK + b": 1\r\n\r\n",
    "a NUL in a header": OK + b"x: 1\x002\r\n\r\n",
    "two lengths": OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "the same length twice": OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "a length and chunks": OK
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and a length": OK
    + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a negative length": OK + b"content-length: -2\r\n\r\nok",
    "a length with a sign": OK + b"content-length: +2\r\n\r\nok",
    "no length where there should be one": OK + b"content-length:\r\n\r\nok",
    "an endless length": OK + b"content-length: 99999999999999999999\r\n\r\nok",
    "a compressed coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a compressed coding beside": OK
    + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding that is not chunked": OK + b"transfer-encoding: gzip\r\n\r\nok",
    "chunked, but not last": OK + b"transfer-encoding: chunked, gzip\r\n\r\nok",
    "another protocol is taken up": b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n\x81\x05",
    "another protocol, just so": b"HTTP/1.1 101 Go\r\n\r\n\x81\x05",
    "a head that is too large": OK
    + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(70))
    + b"\r\n",
}
each_mess = pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)


@each_mess
async def test_what_is_no_http_is_an_upstream_error(data: bytes) -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(data)
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


@each_mess
async def test_what_is_no_http_is_none_byte_by_byte_either(data: bytes) -> None:
    connection, line = connected()
    asking = await asked(connection)
    for byte in bytewise(data):
        if line.aborted:
            break
        connection.data_received(byte)
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


@each_mess
async def test_what_is_no_http_ends_the_connection(data: bytes) -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(data)
    await failure(connection, asking)
    assert line.aborted
    assert not connection.finished()


async def test_what_is_no_http_keeps_its_cause_for_the_log() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert (await failure(connection, asking)).__cause__ is not None


@pytest.mark.parametrize(
    "chunk",
    [
        b"2\nok\r\n",
        b"-2\r\nok\r\n",
        b"0x2\r\nok\r\n",
        b" 2\r\nok\r\n",
        b"fffffffffffffffff\r\n",
        b"2\r\nokXX",
    ],
    ids=repr,
)
async def test_what_came_before_a_broken_chunk_is_passed_on_first(chunk: bytes) -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED + b"4\r\ngood\r\n")
    assert (await asking)[0] == 200
    connection.data_received(chunk)
    assert (await connection.read()).startswith(b"good")
    with pytest.raises(UpstreamFailed):
        await read_all(connection)


# What an upstream may say before and around a body is bounded.


FLOODS = {
    "blank lines": (b"", b"\r\n" * 512),
    "a status line": (b"HTTP/1.1 200 ", b"OK" * 512),
    "the name of a header": (OK, b"x" * 1024),
    "the value of a header": (OK + b"x: ", b"y" * 1024),
    "headers": (OK, b"x: y\r\n" * 200),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "interim answers with headers": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 50),
    "the extension of a chunk": (CHUNKED + b"2;x=", b"y" * 1024),
    "the name of a trailer": (CHUNKED + b"0\r\n", b"x" * 1024),
    "the value of a trailer": (CHUNKED + b"0\r\nx: ", b"y" * 1024),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n" * 200),
}


@pytest.mark.parametrize(("start", "more"), FLOODS.values(), ids=FLOODS)
async def test_a_flood_of_anything_but_a_body_is_cut_off(start: bytes, more: bytes) -> None:
    connection, line = connected()
    asking = await asked(connection)
    if start:
        connection.data_received(start)
    received = 0
    while not line.aborted:
        connection.data_received(more)
        received += len(more)
        assert received < 8 * LARGEST_HEAD
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


async def test_a_head_of_the_largest_size_is_taken() -> None:
    name, half = b"x-long", (LARGEST_HEAD - 64) // 2
    data = framed(name + b": " + b"y" * half, name + b": " + b"y" * half, body=b"ok")
    assert (await hear([data])).body == b"ok"


async def test_a_body_may_be_many_times_as_long_as_a_head() -> None:
    portions = [b"10\r\n0123456789abcdef\r\n" * 1000] * 8
    assert len((await hear([CHUNKED, *portions, b"0\r\n\r\n"])).body) == 16 * 8000


# The end of a connection is not the end of an answer.


@pytest.mark.parametrize(
    "came",
    [
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 O",
        OK + b"content-length: 2\r\n",
        OK + b"content-length: 2\r\n\r\n",
        OK + b"content-length: 2\r\n\r\no",
        CHUNKED,
        CHUNKED + b"2\r\nok",
        CHUNKED + b"2\r\nok\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n",
    ],
    ids=repr,
)
@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "reset"])
async def test_an_answer_that_is_cut_is_an_upstream_error(came: bytes, error: Exception | None) -> None:
    connection, _ = connected()
    asking = await asked(connection)
    if came:
        connection.data_received(came)
    connection.connection_lost(error)
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


async def test_an_answer_that_its_connection_ends_is_cut_by_a_reset() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(OK + b"\r\nhalf of")
    connection.connection_lost(ConnectionResetError())
    assert (await failure(connection, asking)).__cause__ is not None


async def test_an_answer_that_its_connection_ends_is_not_ended_by_our_own_close() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(OK + b"\r\nhalf of")
    connection.close()
    await turn()
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


async def test_who_waits_for_more_is_told_of_the_end() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED)
    await asking
    reading = asyncio.create_task(connection.read())
    await turn()
    connection.connection_lost(None)
    with pytest.raises(UpstreamFailed):
        await reading


async def test_a_failure_is_told_as_often_as_it_is_asked_for() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED)
    await asking
    connection.connection_lost(None)
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            await connection.read()


# One exchange at a time: what follows an answer is nobody's.

SMUGGLED = framed(b"x-smuggled: yes", body=b"smuggled")


async def test_a_connection_serves_one_exchange_after_the_other() -> None:
    connection, line = connected()
    for number in (b"1", b"2", b"3"):
        asking = await asked(connection, body=b"body " + number)
        connection.data_received(framed(b"x-number: " + number, body=b"answer " + number))
        assert (await asking)[1]["x-number"] == number.decode()
        assert await read_all(connection) == b"answer " + number
        assert connection.finished()
    assert line.sent == b"".join(REQUEST + b"body " + number for number in (b"1", b"2", b"3"))


@pytest.mark.parametrize("extra", [SMUGGLED, SMUGGLED[:9], b"x", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "apart"])
async def test_what_follows_an_answer_spoils_the_connection(extra: bytes, apart: bool) -> None:
    connection, line = connected()
    asking = await asked(connection)
    for part in [framed(body=b"ok"), extra] if apart else [framed(body=b"ok") + extra]:
        connection.data_received(part)
    assert (await asking)[0] == 200
    assert await read_all(connection) == b"ok"
    assert line.aborted
    assert not connection.finished()


async def test_what_follows_an_answer_spoils_the_connection_while_the_answer_is_unread() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(framed(body=b"ok"))
    await asking
    connection.data_received(SMUGGLED)
    await turn()
    assert await read_all(connection) == b"ok"
    assert line.aborted
    assert not connection.finished()


async def test_a_line_end_after_an_answer_spoils_the_connection_too() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(framed(body=b"ok"))
    await asking
    connection.data_received(b"\r\n")
    assert line.aborted


async def test_what_comes_while_nothing_is_asked_ends_the_connection() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(framed(body=b"ok"))
    await asking
    await read_all(connection)
    assert connection.finished()
    connection.data_received(SMUGGLED)
    assert line.aborted
    assert not connection.finished()


@pytest.mark.parametrize("early", [SMUGGLED, SMUGGLED[:-4], SMUGGLED[:20], b"\r\n"], ids=repr)
async def test_an_answer_to_nothing_is_never_the_answer_to_the_first_question(early: bytes) -> None:
    connection, line = connected()
    connection.data_received(early)
    with pytest.raises(UpstreamFailed) as failed:
        await connection.send(REQUEST, b"")
    assert failed.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert line.sent == b""


async def test_an_answer_to_nothing_counts_before_the_connection_is_made_too() -> None:
    """As when it comes with the last word of a TLS handshake."""
    connection = UpstreamConnection()
    connection.data_received(SMUGGLED)
    line = Line(connection)
    connection.connection_made(line)
    with pytest.raises(UpstreamFailed):
        await connection.send(REQUEST, b"")
    assert line.sent == b""


async def test_a_connection_that_was_lost_before_the_first_word_sent_nothing() -> None:
    connection, line = connected()
    connection.connection_lost(None)
    with pytest.raises(UpstreamFailed) as failed:
        await connection.send(REQUEST, b"")
    assert failed.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert line.sent == b""


class Turn(NamedTuple):
    """What an evil upstream says to one request."""

    body: bytes
    chunked: bool
    extra: bytes
    """What it adds unasked."""
    places: list[int]


turns = st.builds(
    Turn,
    st.binary(max_size=40),
    st.booleans(),
    st.sampled_from([b"", b"", b"", SMUGGLED, SMUGGLED[:30], b"\r\n", b"0\r\n\r\n", b"junk"]),
    st.lists(st.integers(0, 300), max_size=5),
)


def spoken(turn: Turn) -> bytes:
    if not turn.chunked:
        return framed(body=turn.body) + turn.extra
    chunks = b"".join(b"1\r\n%b\r\n" % byte for byte in bytewise(turn.body))
    return CHUNKED + chunks + b"0\r\n\r\n" + turn.extra


@given(st.lists(turns, min_size=1, max_size=6), st.booleans())
async def test_no_exchange_gets_a_word_of_another(script: list[Turn], waits: bool) -> None:
    connection, line = connected()
    for number, said in enumerate(script):
        if number and (line.aborted or not connection.finished()):
            connection, line = connected()
        asking = await asked(connection)
        for part in cut_at(spoken(said), said.places):
            if not line.aborted:
                connection.data_received(part)
            if waits:
                await asyncio.sleep(0)
        assert (await asking)[0] == 200
        assert await read_all(connection) == said.body


# Whether it can be used again, on a real socket.


@pytest.fixture
async def pair() -> AsyncIterator[tuple[UpstreamConnection, socket.socket]]:
    """A connection, and the upstream's end of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        _, connection = await asyncio.get_running_loop().create_connection(UpstreamConnection, sock=ours)
        yield connection, theirs
        connection.close()
        await turn()


async def exchange(connection: UpstreamConnection, theirs: socket.socket) -> None:
    asking = await asked(connection)
    theirs.sendall(framed(body=b"ok"))
    await asking
    assert await read_all(connection) == b"ok"


async def test_a_connection_is_usable_after_a_whole_exchange(
    pair: tuple[UpstreamConnection, socket.socket],
) -> None:
    await exchange(*pair)
    assert pair[0].usable


async def test_bytes_that_nobody_has_read_yet_make_a_connection_useless(
    pair: tuple[UpstreamConnection, socket.socket],
) -> None:
    connection, theirs = pair
    await exchange(connection, theirs)
    theirs.sendall(SMUGGLED)
    assert not connection.usable


async def test_an_end_that_nobody_has_read_yet_makes_a_connection_useless(
    pair: tuple[UpstreamConnection, socket.socket],
) -> None:
    connection, theirs = pair
    await exchange(connection, theirs)
    theirs.close()
    assert not connection.usable


async def test_a_closed_connection_is_not_usable(pair: tuple[UpstreamConnection, socket.socket]) -> None:
    connection, _ = pair
    connection.close()
    assert not connection.usable


# A request's body on its way.


async def portions(*data: bytes, asked_for: list[bytes]) -> AsyncIterator[bytes]:
    for portion in data:
        asked_for.append(portion)
        yield portion


async def test_a_body_in_portions_is_sent_in_its_order() -> None:
    connection, line = connected()
    asking = await asked(connection, portions(b"one", b"two", asked_for=[]))
    connection.data_received(framed(body=b"ok"))
    await asking
    assert line.sent == REQUEST + b"onetwo"
    assert await read_all(connection) == b"ok"
    assert connection.finished()


async def test_a_body_waits_while_the_upstream_takes_nothing() -> None:
    connection, line = connected()
    connection.pause_writing()
    asked_for: list[bytes] = []
    asking = await asked(connection, portions(b"one", b"two", asked_for=asked_for))
    assert (line.sent, asked_for) == (REQUEST, [b"one"])
    connection.resume_writing()
    await turn()
    assert line.sent == REQUEST + b"onetwo"
    asking.cancel()


async def test_a_body_that_waits_is_given_up_with_the_connection() -> None:
    connection, line = connected()
    connection.pause_writing()
    asking = await asked(connection, portions(b"one", asked_for=[]))
    connection.connection_lost(ConnectionResetError())
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR
    assert line.sent == REQUEST


async def test_an_early_answer_ends_the_body() -> None:
    connection, line = connected()
    connection.pause_writing()
    asked_for: list[bytes] = []
    asking = await asked(connection, portions(b"one", b"two", asked_for=asked_for))
    connection.data_received(framed(body=b"too large", status=b"413 No"))
    connection.resume_writing()
    assert (await asking)[0] == 413
    assert (line.sent, asked_for) == (REQUEST, [b"one"])
    assert await read_all(connection) == b"too large"


async def test_a_connection_whose_body_was_not_heard_out_is_not_used_again() -> None:
    connection, _ = connected()
    connection.pause_writing()
    asking = await asked(connection, portions(b"one", asked_for=[]))
    connection.data_received(framed())
    connection.resume_writing()
    await asking
    assert await read_all(connection) == b""
    assert not connection.finished()


async def test_a_connection_whose_body_is_still_on_its_way_is_not_used_again() -> None:
    connection, line = connected()
    asking = await asked(connection, b"megabytes")
    line.unsent = 5
    connection.data_received(framed())
    await asking
    assert await read_all(connection) == b""
    assert not connection.finished()


async def test_what_is_no_http_ends_a_body_at_once() -> None:
    connection, _ = connected()
    asked_for: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for portion in (b"one", b"two", b"three"):
            asked_for.append(portion)
            yield portion
            connection.data_received(b"SSH-2.0\r\n")

    with pytest.raises(UpstreamFailed):
        await connection.send(REQUEST, body())
    assert asked_for == [b"one", b"two"]


# Holding back.


async def test_an_upstream_is_held_back_while_nobody_reads() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(OK + b"content-length: 100000000\r\n\r\n")
    await asking
    received = 0
    while not line.paused:
        connection.data_received(b"x" * 1024)
        received += 1024
    assert MOST_HELD < received <= MOST_HELD + 1024


async def test_an_upstream_goes_on_when_somebody_reads() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(OK + b"content-length: 100000000\r\n\r\n" + b"x" * (MOST_HELD + 1))
    await asking
    assert line.paused
    assert len(await connection.read()) == MOST_HELD + 1
    assert not line.paused


async def test_an_answer_that_is_read_as_it_comes_is_never_held_back() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(OK + b"content-length: 100000000\r\n\r\n")
    await asking
    for _ in range(3 * MOST_HELD // 1024):
        connection.data_received(b"x" * 1024)
        assert not line.paused
        assert len(await connection.read()) == 1024


async def test_the_next_exchange_may_hold_as_much() -> None:
    connection, line = connected()
    for _ in range(2):
        asking = await asked(connection)
        connection.data_received(framed(body=b"x" * MOST_HELD))
        assert not line.paused
        await asking
        assert len(await read_all(connection)) == MOST_HELD


# Who has enough.


async def test_a_request_that_is_called_off_can_be_closed() -> None:
    connection, line = connected()
    asking = await asked(connection)
    asking.cancel()
    await asyncio.wait([asking])
    connection.close()
    await turn()
    assert line.aborted
    assert not connection.finished()


async def test_an_answer_that_comes_after_the_request_was_called_off_wakes_nobody() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    asking.cancel()
    await asyncio.wait([asking])
    connection.data_received(framed(body=b"late"))
    assert asking.cancelled()


async def test_reading_that_is_called_off_can_be_taken_up_again() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED)
    await asking
    reading = asyncio.create_task(connection.read())
    await turn()
    reading.cancel()
    await asyncio.wait([reading])
    connection.data_received(b"2\r\nok\r\n0\r\n\r\n")
    assert await read_all(connection) == b"ok"


async def test_an_answer_that_is_half_read_is_not_finished() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED + b"2\r\nok\r\n")
    await asking
    assert await connection.read() == b"ok"
    assert not connection.finished()


async def test_an_answer_that_waits_to_be_read_is_not_finished() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(framed(body=b"ok"))
    await asking
    assert not connection.finished()


async def test_an_answer_that_does_not_begin_is_given_up() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-")
    connection.give_up()
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_TIMEOUT
    assert line.aborted


async def test_a_body_that_waits_is_given_up_with_its_answer() -> None:
    connection, _ = connected()
    connection.pause_writing()
    asking = await asked(connection, portions(b"one", asked_for=[]))
    connection.give_up()
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_TIMEOUT


async def test_an_answer_that_has_begun_is_not_given_up() -> None:
    connection, line = connected()
    asking = await asked(connection)
    connection.data_received(CHUNKED)
    connection.give_up()
    connection.data_received(b"2\r\nok\r\n0\r\n\r\n")
    assert (await asking)[0] == 200
    assert await read_all(connection) == b"ok"
    assert not line.aborted


async def test_what_is_broken_already_is_not_given_up_as_well() -> None:
    connection, _ = connected()
    asking = await asked(connection)
    connection.connection_lost(None)
    connection.give_up()
    assert (await failure(connection, asking)).code is ErrorCode.UPSTREAM_ERROR


# The answer that the rest of the house holds.


async def answered(
    data: bytes, released: Callable[[], None] = lambda: None
) -> tuple[PooledAnswer, UpstreamConnection]:
    connection, _ = connected()
    asking = await asked(connection)
    connection.data_received(data)
    status, headers = await asking
    return PooledAnswer(connection, status, headers, released), connection


async def test_the_media_type_stands_alone() -> None:
    answer, _ = await answered(framed(b"Content-Type: Text/Event-Stream; charset=utf-8"))
    assert answer.content_type == "text/event-stream"


async def test_an_answer_may_have_no_media_type() -> None:
    answer, _ = await answered(framed())
    assert answer.content_type == ""


async def test_a_trailer_changes_no_header_of_an_answer_that_is_held() -> None:
    answer, connection = await answered(
        OK + b"content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    )
    connection.data_received(b"0\r\nContent-Type: text/event-stream\r\n\r\n")
    assert await answer.read(10) == b"ok"
    assert answer.content_type == "text/plain"


async def test_an_answer_is_read_whole_up_to_the_limit() -> None:
    answer, _ = await answered(framed(body=b"x" * 10))
    assert await answer.read(10) == b"x" * 10


async def test_an_answer_beyond_the_limit_is_an_upstream_error() -> None:
    answer, _ = await answered(framed(body=b"x" * 11))
    with pytest.raises(UpstreamFailed) as failed:
        await answer.read(10)
    assert failed.value.code is ErrorCode.UPSTREAM_ERROR


async def test_an_answer_comes_in_the_upstreams_own_portions() -> None:
    answer, connection = await answered(CHUNKED)
    chunks = answer.chunks()
    for portion in (b"one", b"two"):
        connection.data_received(b"3\r\n%b\r\n" % portion)
        assert await anext(chunks) == portion
    connection.data_received(b"0\r\n\r\n")
    assert [portion async for portion in chunks] == []


async def test_what_is_given_back_twice_is_given_back_once() -> None:
    released: list[None] = []
    answer, _ = await answered(framed(), lambda: released.append(None))
    with answer:
        answer.release()
    answer.release()
    assert released == [None]


async def test_an_answer_is_given_back_when_its_block_fails() -> None:
    released: list[None] = []
    answer, _ = await answered(framed(), lambda: released.append(None))
    with pytest.raises(ZeroDivisionError), answer:
        raise ZeroDivisionError
    assert released == [None]
