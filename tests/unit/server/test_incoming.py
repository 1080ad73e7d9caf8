"""A request as it arrives: no body without a bound on its size, its time and its rate."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.core.errors import ClientLeft, ErrorCode, GatewayError
from gateway.server.incoming import BodyBounds, ClientRequest
from tests.support.wire import Wire, connected
from tests.unit.server.edge import get, nothing_comes, post, serving

LIMIT = 100_000
PATIENT = BodyBounds(seconds=30.0, bytes_per_second=1, grace=30.0)
HASTY = BodyBounds(seconds=0.05, bytes_per_second=1, grace=30.0)

Reading = Callable[[ClientRequest], Awaitable[bytes]]


async def whole(request: ClientRequest) -> bytes:
    return await request.read(LIMIT)


async def in_portions(request: ClientRequest) -> bytes:
    return b"".join([data async for data in request.body(LIMIT)])


each_way = pytest.mark.parametrize("reading", [whole, in_portions])


class Reader:
    """A handler that reads the body, and keeps what came of it."""

    def __init__(self, reading: Reading, bounds: BodyBounds) -> None:
        self._reading = reading
        self._bounds = bounds
        self.seen: asyncio.Queue[ClientRequest] = asyncio.Queue()
        self.outcomes: asyncio.Queue[bytes | BaseException] = asyncio.Queue()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = ClientRequest(request, self._bounds)
        self.seen.put_nowait(incoming)
        try:
            self.outcomes.put_nowait(await self._reading(incoming))
        except BaseException as error:
            self.outcomes.put_nowait(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        return web.Response(text="done")

    async def outcome(self) -> bytes | BaseException:
        async with asyncio.timeout(10):
            return await self.outcomes.get()

    async def body(self) -> bytes:
        outcome = await self.outcome()
        assert isinstance(outcome, bytes), repr(outcome)
        return outcome

    async def refusal(self) -> ErrorCode:
        outcome = await self.outcome()
        assert isinstance(outcome, GatewayError), repr(outcome)
        return outcome.code


@asynccontextmanager
async def reading_by(reading: Reading, bounds: BodyBounds = PATIENT) -> AsyncIterator[tuple[Reader, Wire]]:
    reader = Reader(reading, bounds)
    async with serving(reader) as edge, connected(edge.address) as wire:
        yield reader, wire


def chunks(*data: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"POST / HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in data) + end


# The head.


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/v1/models", "/v1/models", ""),
        ("/v1/models?a=b&c", "/v1/models", "a=b&c"),
        ("/v1/models?a?b", "/v1/models", "a?b"),
        ("/v1/models/a%2Fb", "/v1/models/a%2Fb", ""),
        ("/v1//models/../x", "/v1//models/../x", ""),
        ("/v1/%6dodels", "/v1/%6dodels", ""),
        ("http://elsewhere/v1/models", "http://elsewhere/v1/models", ""),
    ],
)
async def test_the_path_is_as_it_was_sent(target: str, path: str, query: str) -> None:
    async with reading_by(whole) as (reader, wire):
        await wire.send(get(path=target))
        request = await reader.seen.get()
        assert (request.path, request.query) == (path, query)


async def test_the_head_is_as_it_was_sent() -> None:
    async with reading_by(whole) as (reader, wire):
        await wire.send(get("X-Api-Key: one", "x-api-key: two", version="1.0"))
        request = await reader.seen.get()
        assert (request.method, request.version) == ("GET", "1.0")
        assert request.headers.getall("x-api-key", []) == ["one", "two"]


# Bodies within bounds.


@each_way
@pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
async def test_a_body_is_read_as_it_was_sent(reading: Reading, size: int) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(post(b"x" * size))
        assert await reader.body() == b"x" * size


@each_way
async def test_a_body_that_comes_late_is_read(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        request = post(b"later")
        await wire.send(request[:-5])
        await reader.seen.get()
        await wire.send(request[-5:])
        assert await reader.body() == b"later"


@each_way
async def test_a_body_in_chunks_is_read_whole(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(chunks(b"one", b"two", b"x" * 70_000))
        assert await reader.body() == b"onetwo" + b"x" * 70_000


@each_way
async def test_a_request_may_have_no_body(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(get())
        assert await reader.body() == b""


@each_way
async def test_a_body_that_says_that_it_is_compressed_is_left_as_it_is(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(post(b"\x1f\x8b no gzip", "content-encoding: gzip"))
        assert await reader.body() == b"\x1f\x8b no gzip"


# Size.


@each_way
async def test_a_body_that_is_announced_too_large_is_not_waited_for(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(post().replace(b"content-length: 0", b"content-length: %d" % (LIMIT + 1)))
        assert await reader.refusal() is ErrorCode.REQUEST_TOO_LARGE


@each_way
async def test_a_body_that_turns_out_too_large_is_refused(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(chunks(b"x" * LIMIT, b"x", end=b""))
        assert await reader.refusal() is ErrorCode.REQUEST_TOO_LARGE


async def test_a_small_body_in_chunks_can_be_too_large_too() -> None:
    """It may all be there when its reader comes."""

    async def reading(request: ClientRequest) -> bytes:
        return await request.read(5)

    async with reading_by(reading) as (reader, wire):
        await wire.send(chunks(b"sixsix"))
        assert await reader.refusal() is ErrorCode.REQUEST_TOO_LARGE


async def test_the_bound_is_told_to_the_client() -> None:
    async with reading_by(whole) as (reader, wire):
        await wire.send(post(b"x" * (LIMIT + 1)))
        assert "100,000 bytes" in str(await reader.outcome())


# Time and rate.


@each_way
async def test_a_body_that_stalls_is_not_waited_for(reading: Reading) -> None:
    async with reading_by(reading, HASTY) as (reader, wire):
        await wire.send(post(b"all but the last")[:-1])
        assert await reader.refusal() is ErrorCode.REQUEST_TIMEOUT


@each_way
async def test_a_body_that_never_begins_is_not_waited_for(reading: Reading) -> None:
    async with reading_by(reading, HASTY) as (reader, wire):
        await wire.send(post(b"x")[:-1])
        assert await reader.refusal() is ErrorCode.REQUEST_TIMEOUT


@each_way
async def test_a_body_in_chunks_that_stalls_is_not_waited_for(reading: Reading) -> None:
    async with reading_by(reading, HASTY) as (reader, wire):
        await wire.send(chunks(b"x" * 50_000, end=b""))
        assert await reader.refusal() is ErrorCode.REQUEST_TIMEOUT


@each_way
async def test_a_body_that_is_too_slow_is_not_waited_for(reading: Reading) -> None:
    bounds = BodyBounds(seconds=30.0, bytes_per_second=10_000_000, grace=0.05)
    async with reading_by(reading, bounds) as (reader, wire):
        await wire.send(post(b"x" * 1000)[:-1])
        assert await reader.refusal() is ErrorCode.REQUEST_TIMEOUT


async def test_what_was_fast_so_far_is_no_credit_for_a_stall() -> None:
    """A form of megabytes earns hours at 1 KiB/s."""
    bounds = BodyBounds(seconds=0.05, bytes_per_second=1, grace=30.0)
    async with reading_by(in_portions, bounds) as (reader, wire):
        await wire.send(post(b"x" * LIMIT)[:-1])
        assert await reader.refusal() is ErrorCode.REQUEST_TIMEOUT


@each_way
async def test_a_body_that_was_fast_so_far_may_pause(reading: Reading) -> None:
    bounds = BodyBounds(seconds=30.0, bytes_per_second=1, grace=0.05)
    async with reading_by(reading, bounds) as (reader, wire):
        await wire.send(post(b"x" * 1000)[:-1])
        await nothing_comes(wire)
        await wire.send(b"x")
        assert await reader.body() == b"x" * 1000


async def test_a_large_body_may_take_longer_than_a_pause() -> None:
    bounds = BodyBounds(seconds=0.2, bytes_per_second=1, grace=30.0)
    async with reading_by(in_portions, bounds) as (reader, wire):
        await wire.send(chunks(end=b""))
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 0.4:
            await wire.send(b"1\r\nx\r\n")
            await asyncio.sleep(0)
        await wire.send(b"0\r\n\r\n")
        assert set(await reader.body()) == {ord("x")}


# Bodies that break off.


@each_way
@pytest.mark.parametrize(
    "request_",
    [post(b"half")[:-2], chunks(b"half", end=b"5\r\nha"), chunks(b"half", end=b"")],
    ids=["length", "in a chunk", "between chunks"],
)
async def test_a_client_that_leaves_in_its_body_has_left(reading: Reading, request_: bytes) -> None:
    reader = Reader(reading, PATIENT)
    async with serving(reader) as edge:
        async with connected(edge.address) as wire:
            await wire.send(request_)
            await reader.seen.get()
        assert isinstance(await reader.outcome(), ClientLeft | asyncio.CancelledError)


BROKEN = [b"zz\r\nx\r\n", b"1\r\nxx\r\n", b"-1\r\n", b"fffffffffffffffff\r\n"]


@each_way
@pytest.mark.parametrize("broken", BROKEN, ids=repr)
async def test_a_body_in_broken_chunks_is_refused_at_once(reading: Reading, broken: bytes) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(chunks(b"one", end=b""))
        await reader.seen.get()
        await wire.send(broken)
        assert await reader.refusal() is ErrorCode.BAD_REQUEST


async def test_after_a_body_in_broken_chunks_no_further_request_is_read() -> None:
    async with reading_by(whole) as (reader, wire):
        await wire.send(chunks(b"one", end=b""))
        await reader.seen.get()
        await wire.send(b"zz\r\n" + get())
        assert (await wire.answer()).status == 200
        assert await wire.ends() == b""
        assert reader.seen.empty()


# The invitation.


@each_way
async def test_a_body_is_invited_when_it_is_wanted(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(post(b"invited", "expect: 100-continue")[:-7])
        assert await wire.head() == (100, ())
        await wire.send(b"invited")
        assert await reader.body() == b"invited"
        assert (await wire.answer()).body == b"done"


@each_way
async def test_a_body_that_is_too_large_is_not_invited(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        head = post(b"", "expect: 100-continue").replace(b"length: 0", b"length: %d" % (LIMIT + 1))
        await wire.send(head)
        assert await reader.refusal() is ErrorCode.REQUEST_TOO_LARGE
        assert (await wire.answer()).status == 200


@each_way
async def test_who_expects_nothing_is_not_invited(reading: Reading) -> None:
    async with reading_by(reading) as (reader, wire):
        await wire.send(post(b"late")[:-4])
        await reader.seen.get()
        await wire.send(b"late")
        assert (await wire.answer()).status == 200
