"""The one place where errors become answers."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from gateway.core.endpoint import Endpoint
from gateway.core.errors import ERRORS, ClientLeft, ErrorCode, GatewayError, Refused, UpstreamFailed
from gateway.server.boundary import Boundary, internal_error, malformed
from gateway.server.reply import ClientReply
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED
from gateway.wire.error_body import stream_error
from tests.support.log import Log
from tests.support.wire import WireAnswer, connected
from tests.unit.server.edge import Replying, an_exchange, get, serving

SECRET = "what a client said"
EVENTS = [("content-type", "text/event-stream")]
BROKEN = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "The upstream broke off its answer.")
RESPONSES = next(endpoint for endpoint in SERVED if endpoint.name == "responses")
SPEECH = next(endpoint for endpoint in SERVED if endpoint.name == "audio_speech")

Journey = Callable[[ClientReply], Awaitable[None]]


async def answer_to(
    journey: Journey, *, endpoint: Endpoint | None = CHAT_COMPLETIONS, log: Log | None = None
) -> WireAnswer:
    """What a client gets of a journey."""
    boundary = Boundary(log=(log or Log()).logger)
    exchange = an_exchange(endpoint=endpoint)

    async def act(reply: ClientReply) -> None:
        await boundary.guard(exchange, reply, journey(reply))

    replying = Replying(act)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        answer = await wire.answer()
        assert await replying.outcome() is None
        return answer


def failing(error: BaseException) -> Journey:
    async def journey(_: ClientReply) -> None:
        raise error

    return journey


def failing_after(*written: bytes, error: BaseException, kind: str = "text/event-stream") -> Journey:
    async def journey(reply: ClientReply) -> None:
        await reply.start(200, [("content-type", kind)])
        for data in written:
            await reply.write(data)
        raise error

    return journey


# Before anything was answered.


async def test_a_journey_that_went_well_is_let_be() -> None:
    async def journey(reply: ClientReply) -> None:
        await reply.send(200, [], b"good")

    assert (await answer_to(journey)).body == b"good"


@pytest.mark.parametrize("code", ErrorCode)
async def test_every_error_has_its_status_and_all_four_keys(code: ErrorCode) -> None:
    answer = await answer_to(failing(GatewayError(code, "No.", param="model")))
    assert answer.status == ERRORS[code].status
    assert answer.headers["content-type"] == "application/json"
    assert answer.error == {
        "message": "No.",
        "type": ERRORS[code].type,
        "param": "model",
        "code": code.value,
    }


async def test_when_to_come_again_is_told() -> None:
    refused = Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "Slowly.", retry_after=1.5)
    headers = (await answer_to(failing(refused))).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1500")


@pytest.mark.parametrize(
    "fault", [ValueError(SECRET), RuntimeError(SECRET), TimeoutError(SECRET), KeyError(SECRET)], ids=repr
)
async def test_a_fault_of_our_own_tells_the_client_nothing(fault: Exception) -> None:
    answer = await answer_to(failing(fault))
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert SECRET.encode() not in answer.body


async def test_a_fault_of_our_own_is_in_the_log_under_the_requests_id() -> None:
    log = Log()
    await answer_to(failing(ValueError(SECRET)), log=log)
    (line,) = log.lines
    assert (line["event"], line["level"], line["request_id"]) == ("internal_error", "error", "req_1")
    assert (line["error"], line["exception"][0]) == ("ValueError", "ValueError")


async def test_a_fault_of_our_own_quotes_nobody_in_the_log() -> None:
    log = Log()
    await answer_to(failing(ValueError(SECRET)), log=log)
    assert SECRET not in log.text


async def test_a_refusal_is_no_fault_for_the_log() -> None:
    log = Log()
    await answer_to(failing(Refused(ErrorCode.NOT_FOUND, "No.")), log=log)
    assert log.lines == []


async def test_who_has_left_is_answered_nothing() -> None:
    boundary = Boundary(log=Log().logger)

    async def act(reply: ClientReply) -> None:
        await boundary.guard(an_exchange(), reply, failing(ClientLeft("gone"))(reply))

    async with serving(Replying(act)) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""


async def test_who_leaves_while_being_told_ends_the_connection() -> None:
    boundary = Boundary(log=Log().logger)

    async def act(reply: ClientReply) -> None:
        reply.cut()
        await boundary.guard(an_exchange(), reply, failing(Refused(ErrorCode.NOT_FOUND, "No."))(reply))

    replying = Replying(act)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert await wire.ends() == b""
        assert await replying.outcome() is None


async def test_who_calls_the_journey_off_hears_of_it() -> None:
    boundary = Boundary(log=Log().logger)

    async def act(reply: ClientReply) -> None:
        await boundary.guard(an_exchange(), reply, failing(asyncio.CancelledError())(reply))

    replying = Replying(act)
    async with serving(replying) as edge, connected(edge.address) as wire:
        await wire.send(get())
        assert isinstance(await replying.outcome(), asyncio.CancelledError)


# In the middle of an answer.


@pytest.mark.parametrize("endpoint", [CHAT_COMPLETIONS, RESPONSES, SPEECH], ids=lambda each: each.name)
async def test_a_stream_that_breaks_is_told_so_in_its_own_dialect(endpoint: Endpoint) -> None:
    answer = await answer_to(failing_after(b"data: 1\n\n", error=BROKEN), endpoint=endpoint)
    assert answer.chunks == (b"data: 1\n\n", stream_error(endpoint.dialect, BROKEN))


async def test_a_stream_that_breaks_is_not_whole() -> None:
    answer = await answer_to(failing_after(b"data: 1\n\n", error=BROKEN))
    assert not answer.whole
    assert b"[DONE]" not in answer.body


async def test_a_stream_that_breaks_at_once_is_told_so() -> None:
    answer = await answer_to(failing_after(error=BROKEN))
    assert answer.body == stream_error(CHAT_COMPLETIONS.dialect, BROKEN)


async def test_half_an_event_is_ended_before_the_error_is_told() -> None:
    answer = await answer_to(failing_after(b"data: 1\n\ndata: {", error=BROKEN))
    assert answer.chunks[1] == b"\n\n" + stream_error(CHAT_COMPLETIONS.dialect, BROKEN)


async def test_a_fault_of_our_own_in_a_stream_says_nothing_of_itself() -> None:
    answer = await answer_to(failing_after(b"data: 1\n\n", error=ValueError(SECRET)))
    assert answer.chunks[1] == stream_error(CHAT_COMPLETIONS.dialect, internal_error())
    assert not answer.whole


async def test_a_client_that_left_is_told_nothing_in_band() -> None:
    answer = await answer_to(failing_after(b"data: 1\n\n", error=ClientLeft("gone")))
    assert (answer.chunks, answer.whole) == ((b"data: 1\n\n",), False)


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/json", "text/plain"])
async def test_what_is_no_stream_of_events_is_only_cut(kind: str) -> None:
    answer = await answer_to(failing_after(b"ID3", error=BROKEN, kind=kind))
    assert (answer.chunks, answer.whole) == ((b"ID3",), False)


async def test_a_stream_whose_endpoint_is_unknown_is_told_in_the_commonest_dialect() -> None:
    answer = await answer_to(failing_after(error=BROKEN), endpoint=None)
    assert msgspec.json.decode(answer.body.removeprefix(b"data: "))["error"]["code"] == "upstream_error"


# What aiohttp complains of.


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, LineTooLong(SECRET.encode(), 8190), ErrorCode.HEADERS_TOO_LARGE),
        (400, BadHttpMessage("Too many headers received"), ErrorCode.HEADERS_TOO_LARGE),
        (400, BadHttpMessage(SECRET), ErrorCode.BAD_REQUEST),
        (400, HttpProcessingError(message=SECRET), ErrorCode.BAD_REQUEST),
        (400, None, ErrorCode.BAD_REQUEST),
        (500, ValueError(SECRET), ErrorCode.INTERNAL_ERROR),
        (504, None, ErrorCode.INTERNAL_ERROR),
    ],
    ids=repr,
)
def test_what_is_no_http_is_told_without_a_word_of_it(
    status: int, error: BaseException | None, code: ErrorCode
) -> None:
    told = malformed(status, error)
    assert told.code is code
    assert SECRET not in told.message
