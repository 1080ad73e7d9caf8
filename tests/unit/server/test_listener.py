"""The clients' socket, and how it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway.gate import Gate
from gateway.server.boundary import Boundary
from gateway.server.connection import ClientServer
from gateway.server.listener import Listener, spelled
from gateway.server.reply import ClientReply
from gateway.server.tls import server_context
from tests.support.certificates import Authority
from tests.support.log import Log
from tests.support.wire import connected
from tests.unit.server.edge import an_exchange, connected_by_tls, get, post


class House:
    """A listener before a handler that streams one event, and ends when it is told to."""

    def __init__(self, *, drain_seconds: float = 30.0) -> None:
        self.log = Log()
        self.gate = Gate(most=10, on_change=lambda inside: None)
        self.go_on = asyncio.Event()
        self.began = asyncio.Event()
        self.body = b""
        self.listener = Listener(
            clients=ClientServer(
                self.handle,
                access_log=None,
                head_seconds=30.0,
                on_malformed=lambda error: "",
                lingering_time=0.1,
            ),
            gate=self.gate,
            drain_seconds=drain_seconds,
            log=self.log.logger,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = ClientReply(request, list, is_last=lambda: self.gate.draining, write_seconds=30.0)
        with self.gate:
            boundary = Boundary(log=self.log.logger)
            await boundary.guard(an_exchange(), reply, self._answer(request, reply))
        return reply.response

    async def _answer(self, request: web.BaseRequest, reply: ClientReply) -> None:
        if request.path == "/stubborn":
            self.began.set()
            await asyncio.Event().wait()
        with self.gate.until_cleared():
            await reply.start(200, [("content-type", "text/event-stream")])
            await reply.write(b"data: 1\n\n")
            self.began.set()
            self.body = await request.read()
            await self.go_on.wait()
            await reply.end()

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.log.lines]


@asynccontextmanager
async def opened(**options: float) -> AsyncIterator[House]:
    house = House(**options)
    await house.listener.open("127.0.0.1", 0)
    try:
        yield house
    finally:
        house.go_on.set()
        await house.listener.close()


async def draining(house: House) -> "asyncio.Task[None]":
    """A drain that has begun."""
    task = asyncio.create_task(house.listener.drain())
    await asyncio.sleep(0)
    return task


# The beginning.


async def test_it_says_where_it_listens() -> None:
    async with opened() as house:
        host, _, port = house.listener.address.rpartition(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (("127.0.0.1", 8080), "127.0.0.1:8080"),
        (("::1", 8080, 0, 0), "[::1]:8080"),
        (("::", 80, 0, 0), "[::]:80"),
    ],
)
def test_an_address_is_spelled_as_urls_want_it(address: tuple[str, int], told: str) -> None:
    assert spelled(address) == told


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="address already in use"):
            await House().listener.open("127.0.0.1", taken.getsockname()[1])


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def opened_by_tls(authority: Authority) -> AsyncIterator[House]:
    house = House()
    context = server_context(cert_file=authority.issue("server"))
    await house.listener.open("127.0.0.1", 0, ssl=context)
    try:
        yield house
    finally:
        house.go_on.set()
        await house.listener.close()


async def test_streams_pass_by_tls(authority: Authority) -> None:
    async with (
        opened_by_tls(authority) as house,
        connected_by_tls(house.listener.address, authority.file) as wire,
    ):
        house.go_on.set()
        await wire.send(get())
        answer = await wire.answer()
        assert (answer.body, answer.whole) == (b"data: 1\n\n", True)


async def test_a_drain_waits_for_what_runs_by_tls(authority: Authority) -> None:
    async with (
        opened_by_tls(authority) as house,
        connected_by_tls(house.listener.address, authority.file) as wire,
    ):
        await wire.send(get())
        await house.began.wait()
        drain = await draining(house)
        house.go_on.set()
        await drain
        assert (await wire.answer()).whole
        assert await wire.ends() == b""


async def test_what_is_not_tls_is_not_answered(authority: Authority) -> None:
    async with opened_by_tls(authority) as house, connected(house.listener.address) as wire:
        await wire.send(get())
        assert b"HTTP" not in await wire.ends()
        assert not house.began.is_set()
    assert house.events == ["draining"]


# The drain.


async def test_a_drain_with_nobody_inside_is_over_at_once() -> None:
    async with opened() as house:
        await house.listener.drain()
        assert house.gate.draining


async def test_who_comes_after_the_drain_began_is_not_let_in() -> None:
    async with opened() as house:
        await house.listener.drain()
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the machine likes
            async with connected(house.listener.address) as wire:
                await wire.head()


async def test_a_connection_on_which_nothing_runs_is_ended_by_the_drain() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        house.go_on.set()
        await wire.send(get())
        await wire.answer()
        await house.listener.drain()
        assert await wire.ends() == b""


async def test_what_runs_may_finish() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        drain = await draining(house)
        assert not drain.done()
        house.go_on.set()
        await drain
        answer = await wire.answer()
        assert (answer.body, answer.whole) == (b"data: 1\n\n", True)


async def test_what_is_still_arriving_may_arrive() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        house.go_on.set()
        await wire.send(post(b"arriving")[:-4])
        await house.began.wait()
        drain = await draining(house)
        await wire.send(b"ving")
        await drain
        assert (await wire.answer()).whole
    assert house.body == b"arriving"


async def test_the_last_answer_of_a_connection_ends_it() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        drain = await draining(house)
        house.go_on.set()
        await drain
        await wire.answer()
        assert await wire.ends() == b""


async def test_what_takes_too_long_is_ended_and_told_so() -> None:
    async with opened(drain_seconds=0.05) as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        await house.listener.drain()
        answer = await wire.answer()
        assert b'"code":"draining"' in answer.body
        assert not answer.whole


async def test_what_is_ended_is_over_when_the_drain_is() -> None:
    async with opened(drain_seconds=0.05) as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        await house.listener.drain()
        assert house.gate.inside == 0


async def test_a_drain_that_is_cut_short_says_so() -> None:
    async with opened(drain_seconds=0.05) as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        await house.listener.drain()
        assert house.events == ["draining", "drain_cut_short"]
        assert house.log.lines[1]["open_exchanges"] == 1


async def test_who_is_in_a_hurry_need_not_wait() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        drain = await draining(house)
        house.listener.hurry()
        await drain
        assert b'"code":"draining"' in (await wire.answer()).body


async def test_a_hurry_without_a_drain_ends_nothing() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        house.listener.hurry()
        house.go_on.set()
        assert (await wire.answer()).whole


async def test_a_hurry_after_the_drain_does_nothing() -> None:
    async with opened() as house:
        await house.listener.drain()
        house.listener.hurry()


async def test_a_second_drain_does_nothing() -> None:
    async with opened() as house:
        await house.listener.drain()
        await house.listener.drain()
        assert house.events == ["draining"]


# The end.


async def test_the_close_drains_first() -> None:
    async with opened() as house, connected(house.listener.address) as wire:
        await wire.send(get())
        await house.began.wait()
        closing = asyncio.create_task(house.listener.close())
        await asyncio.sleep(0)
        house.go_on.set()
        await closing
        assert (await wire.answer()).whole


async def test_the_close_ends_what_does_not_end_by_itself() -> None:
    async with opened(drain_seconds=0.01) as house, connected(house.listener.address) as wire:
        await wire.send(get(path="/stubborn"))
        await house.began.wait()
        await house.listener.close()
        assert await wire.ends() == b""


async def test_a_listener_that_never_opened_can_be_closed() -> None:
    await House().listener.close()
