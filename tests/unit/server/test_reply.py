"""An answer on its way to a client: whole, or visibly cut."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.core.errors import ClientLeft
from gateway.server.reply import ClientReply
from tests.support.eventually import eventually
from tests.support.wire import WireAnswer, connected
from tests.unit.server.edge import Act, Replying, get, serving, turn_over

EVENTS = ("content-type", "text/event-stream")


async def answer_to(act: Act, request: bytes | None = None, **options: object) -> WireAnswer:
    """What a client gets of it."""
    replying = Replying(act, **options)  # type: ignore[arg-type]
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(request or get())
        answer = await wire.answer()
        assert await replying.outcome() is None
        return answer


@asynccontextmanager
async def deaf(address: str) -> AsyncIterator[socket.socket]:
    """A client that sends a request, and takes next to nothing of what it is answered."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, get())
        yield client


async def send_ok(reply: ClientReply) -> None:
    await reply.send(200, [("content-type", "application/json")], b'{"ok": true}')


async def stream_two(reply: ClientReply) -> None:
    await reply.start(200, [EVENTS])
    await reply.write(b"data: 1\n\n")
    await reply.write(b"data: 2\n\n")
    await reply.end()


async def flood(reply: ClientReply) -> None:
    await reply.start(200, [EVENTS])
    while True:
        await reply.write(b"x" * 65536)


# What is sent in one piece.


async def test_a_whole_answer_says_its_length() -> None:
    answer = await answer_to(send_ok)
    assert (answer.status, answer.body, answer.whole) == (200, b'{"ok": true}', True)
    assert answer.headers["content-length"] == "12"


async def test_every_answer_has_the_gateways_own_headers() -> None:
    answer = await answer_to(send_ok, own_headers=[("x-request-id", "req_1")])
    assert answer.headers["x-request-id"] == "req_1"


async def test_every_answer_has_a_date() -> None:
    assert "date" in (await answer_to(send_ok)).headers


async def test_the_answer_to_head_has_no_body() -> None:
    replying = Replying(send_ok)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get().replace(b"GET", b"HEAD") + get())
        status, fields = await wire.head()
        assert (status, dict(fields)["content-length"]) == (200, "12")
        assert (await wire.answer()).body == b'{"ok": true}'


@pytest.mark.parametrize("status", [200, 404, 429, 599, 999])
async def test_any_status_can_be_sent(status: int) -> None:
    async def act(reply: ClientReply) -> None:
        await reply.send(status, [], b"{}")

    assert (await answer_to(act)).status == status


async def test_a_header_cannot_bring_another_in() -> None:
    async def act(reply: ClientReply) -> None:
        with pytest.raises(ValueError, match="line break"):
            await reply.send(200, [("x", "1\r\nset-cookie: evil")], b"")
        reply.cut()

    replying = Replying(act)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""


# What is streamed.


async def test_a_stream_is_in_the_very_portions_that_were_written() -> None:
    answer = await answer_to(stream_two)
    assert answer.chunks == (b"data: 1\n\n", b"data: 2\n\n")
    assert answer.whole


async def test_the_head_of_a_stream_is_out_before_its_first_portion() -> None:
    written = asyncio.Event()

    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        await written.wait()
        await reply.end()

    async with serving(Replying(act)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert (await wire.head())[0] == 200
        written.set()
        assert await wire.some(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_a_portion_of_nothing_is_not_the_end() -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        await reply.write(b"")
        await reply.write(b"data: 1\n\n")
        await reply.end()

    answer = await answer_to(act)
    assert (answer.chunks, answer.whole) == ((b"data: 1\n\n",), True)


async def test_an_old_client_gets_a_stream_without_chunks() -> None:
    replying = Replying(stream_two)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get("connection: keep-alive", version="1.0"))
        status, fields = await wire.head()
        assert (status, dict(fields)["connection"]) == (200, "close")
        assert "transfer-encoding" not in dict(fields)
        assert await wire.ends() == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_has_no_end_of_one(status: int) -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(status, [])
        await reply.end()

    async with serving(Replying(act)) as edge, connected(edge.address) as wire:
        await wire.send(get() + get())
        for _ in range(2):
            got, fields = await wire.head()
            assert (got, "transfer-encoding" in dict(fields)) == (status, False)


@pytest.mark.parametrize(
    ("written", "at_end"),
    [
        ([], True),
        ([b"data: 1\n\n"], True),
        ([b"data: 1\r\n\r\n"], True),
        ([b"data: 1\r\r"], True),
        ([b"data: 1\n"], False),
        ([b"data: 1\n\n", b"data: "], False),
        ([b"data: 1\n\n", b""], True),
    ],
)
async def test_it_is_known_whether_an_event_is_whole(written: list[bytes], at_end: bool) -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        for data in written:
            await reply.write(data)
        assert reply.at_event_end is at_end
        await reply.end()

    await answer_to(act)


@pytest.mark.parametrize(
    ("content_type", "is_stream"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("application/json", False),
        ("audio/mpeg", False),
    ],
)
async def test_it_is_known_whether_events_are_streamed(content_type: str, is_stream: bool) -> None:
    async def act(reply: ClientReply) -> None:
        assert not reply.is_event_stream
        await reply.start(200, [("content-type", content_type)])
        assert reply.is_event_stream is is_stream
        await reply.end()

    await answer_to(act)


# Once.


async def test_an_answer_is_not_begun_before_it_is() -> None:
    async def act(reply: ClientReply) -> None:
        assert not reply.started
        await send_ok(reply)
        assert reply.started

    await answer_to(act)


@pytest.mark.parametrize("again", [send_ok, stream_two], ids=["whole", "streamed"])
async def test_a_request_is_answered_once(again: Act) -> None:
    async def act(reply: ClientReply) -> None:
        await send_ok(reply)
        with pytest.raises(RuntimeError, match="once"):
            await again(reply)

    assert (await answer_to(act)).body == b'{"ok": true}'


# Whether the connection goes on.


async def test_a_connection_goes_on_after_an_answer() -> None:
    async with serving(Replying(send_ok)) as edge, connected(edge.address) as wire:
        for _ in range(3):
            await wire.send(get())
            answer = await wire.answer()
            assert (answer.status, "connection" in answer.headers) == (200, False)


async def test_a_connection_goes_on_after_a_stream() -> None:
    async with serving(Replying(stream_two)) as edge, connected(edge.address) as wire:
        for _ in range(3):
            await wire.send(get())
            assert (await wire.answer()).whole


async def test_a_client_that_wants_no_more_gets_no_more() -> None:
    async with serving(Replying(send_ok)) as edge, connected(edge.address) as wire:
        await wire.send(get("connection: close"))
        assert (await wire.answer()).headers["connection"] == "close"
        assert await wire.ends() == b""


async def test_an_old_client_that_wants_more_is_told_that_there_is() -> None:
    async with serving(Replying(send_ok)) as edge, connected(edge.address) as wire:
        for _ in range(2):
            await wire.send(get("connection: keep-alive", version="1.0"))
            assert (await wire.answer()).headers["connection"] == "keep-alive"


@pytest.mark.parametrize("act", [send_ok, stream_two], ids=["whole", "streamed"])
async def test_the_last_answer_of_a_connection_says_so(act: Act) -> None:
    async with serving(Replying(act, is_last=True)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert (await wire.answer()).headers["connection"] == "close"
        assert await wire.ends() == b""


async def test_a_request_that_nobody_answered_ends_its_connection() -> None:
    async def act(_: ClientReply) -> None:
        """Says nothing."""

    async with serving(Replying(act)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""


# The cut.


async def cut_in_the_middle(reply: ClientReply) -> None:
    await reply.start(200, [EVENTS])
    await reply.write(b"data: 1\n\n")
    reply.cut()


async def test_a_cut_stream_is_not_whole() -> None:
    answer = await answer_to(cut_in_the_middle)
    assert (answer.chunks, answer.whole) == ((b"data: 1\n\n",), False)


async def test_a_cut_leaves_no_last_chunk() -> None:
    async with serving(Replying(cut_in_the_middle)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        await wire.head()
        assert await wire.ends() == b"9\r\ndata: 1\n\n\r\n"


async def test_a_last_word_comes_before_the_cut() -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        reply.cut(b"data: sorry\n\n")

    answer = await answer_to(act)
    assert (answer.chunks, answer.whole) == ((b"data: sorry\n\n",), False)


async def test_a_cut_before_the_answer_is_the_end_of_the_connection() -> None:
    async def act(reply: ClientReply) -> None:
        reply.cut()

    async with serving(Replying(act)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""


async def test_after_a_cut_nothing_is_written() -> None:
    async def act(reply: ClientReply) -> None:
        await cut_in_the_middle(reply)
        reply.cut(b"data: once more\n\n")
        for late in (reply.write(b"data: 2\n\n"), reply.end()):
            with pytest.raises(ClientLeft):
                await late

    answer = await answer_to(act)
    assert (answer.chunks, answer.whole) == ((b"data: 1\n\n",), False)


async def test_after_a_cut_no_further_request_is_answered() -> None:
    replying = Replying(cut_in_the_middle)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get() + get())
        assert not (await wire.answer()).whole
        assert await wire.ends() == b""


# Clients that leave, and clients that take nothing.


async def test_who_leaves_is_noticed_while_being_written_to() -> None:
    replying = Replying(flood)
    async with serving(replying) as edge:
        async with connected(edge.address) as wire:
            await wire.send(get())
            await wire.head()
        assert isinstance(await replying.outcome(), ClientLeft | asyncio.CancelledError)


async def test_an_answer_to_nobody_is_not_begun() -> None:
    began = asyncio.Event()

    async def act(reply: ClientReply) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await reply.send(200, [], b"late")

    replying = Replying(act)
    async with serving(replying) as edge:
        async with connected(edge.address) as wire:
            await wire.send(get())
            await began.wait()
        assert isinstance(await replying.outcome(), ClientLeft)


async def test_a_client_that_takes_nothing_holds_its_answer_back() -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        while reply.taken:
            await reply.write(b"x" * 1024)
        raise RuntimeError("held back")

    replying = Replying(act)
    async with serving(replying) as edge, deaf(edge.address):
        assert isinstance(await replying.outcome(), RuntimeError)


async def test_a_client_that_takes_nothing_is_left_when_the_time_is_up() -> None:
    replying = Replying(flood, write_seconds=0.05)
    async with serving(replying) as edge, deaf(edge.address):
        left = await replying.outcome()
    assert isinstance(left, ClientLeft)
    assert str(left) == "it takes nothing"


async def test_a_client_that_takes_nothing_keeps_no_connection() -> None:
    """Its buffer would never be empty, and a connection that waits for that would stay for ever."""

    async def act(reply: ClientReply) -> None:
        with pytest.raises(ClientLeft):
            await flood(reply)
        reply.cut()

    replying = Replying(act, write_seconds=0.05)
    async with serving(replying) as edge, deaf(edge.address):
        assert await replying.outcome() is None
        await eventually(lambda: not edge.server.connections)


async def test_what_a_client_has_not_taken_is_not_kept_for_it() -> None:
    async def act(reply: ClientReply) -> None:
        with pytest.raises(ClientLeft):
            await flood(reply)
        reply.drop()

    replying = Replying(act, write_seconds=0.05)
    async with serving(replying) as edge, deaf(edge.address):
        assert await replying.outcome() is None
        await turn_over()
        assert edge.server.connections == []


async def test_nobody_can_be_dropped_twice() -> None:
    async def act(reply: ClientReply) -> None:
        reply.drop()
        await turn_over()
        reply.drop()
        reply.cut()

    replying = Replying(act)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""


async def test_a_client_that_is_slow_gets_all_of_it() -> None:
    async def act(reply: ClientReply) -> None:
        await reply.start(200, [EVENTS])
        for _ in range(64):
            await reply.write(b"x" * 65536)
        await reply.end()

    replying = Replying(act, write_seconds=10)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert len((await wire.answer()).body) == 64 * 65536
