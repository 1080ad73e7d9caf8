"""Sending until there is an answer to relay, against a server that plays what is written down here."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.core.attempt import Attempt
from gateway.core.errors import ErrorCode, Refused, UpstreamFailed
from gateway.core.policy import Model
from gateway.upstream.interfaces import Outgoing
from gateway.upstream.pool import Pool
from gateway.upstream.sender import Sender
from gateway.upstream.targets import Target, Targets
from tests.support.clock import ManualClock
from tests.unit.upstream.stand_in import (
    Play,
    chunked,
    cut,
    raw,
    silence,
    standing_in,
    turn_over,
    whole,
)

MODEL = Model(name="gpt-4o", upstream="openai", upstream_model="gpt-4o-2024-08-06")
BODY = b'{"model": "gpt-4o"}'
BUSY = "503 Service Unavailable"


class Journey:
    """What the sender is given, and what it did with it."""

    def __init__(self, pool: Pool, port: int, **options: Any) -> None:
        base_url = f"http://localhost:{port}/v1"
        target = Target(name="openai", base_url=base_url, api_key=SecretStr("sk-ours"), **options)
        self.pauses: list[float] = []
        self.attempts: list[Attempt] = []
        self.sender = Sender(
            pool=pool, targets=Targets({"openai": target}), clock=ManualClock(), pause=self._pause
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def admit(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    async def read(self, body: Callable[[], Any] = lambda: BODY) -> tuple[int, bytes]:
        with await self.sender.send(MODEL, outgoing(body), self.admit) as answer:
            return answer.status, await answer.read(1 << 20)

    async def failure(self) -> UpstreamFailed:
        with pytest.raises(UpstreamFailed) as failed:
            await self.read()
        return failed.value

    @property
    def statuses(self) -> list[int | None]:
        return [attempt.status for attempt in self.attempts]


def outgoing(body: Callable[[], Any] = lambda: BODY) -> Outgoing:
    return Outgoing(
        method="POST",
        path="/chat/completions",
        query="",
        headers=[("content-type", "application/json"), ("content-length", str(len(BODY)))],
        body=body,
    )


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(user_agent="gateway/1")
    yield pool
    pool.close()
    await turn_over()


async def failure_of(pool: Pool, play: Play, **options: Any) -> UpstreamFailed:
    async with standing_in(play) as upstream:
        return await Journey(pool, upstream.port, **options).failure()


# One try.


async def test_a_request_is_sent_with_our_key(pool: Pool) -> None:
    async with standing_in() as upstream:
        await Journey(pool, upstream.port).read()
        (request,) = upstream.requests
        assert request.line == "POST /v1/chat/completions HTTP/1.1"
        assert request.headers["authorization"] == "Bearer sk-ours"


async def test_the_provider_can_find_each_attempt_by_its_id(pool: Pool) -> None:
    async with standing_in(whole(b"{}", status=BUSY), whole(b"{}")) as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        told = [request.headers["x-client-request-id"] for request in upstream.requests]
        assert told == [attempt.id for attempt in journey.attempts]


async def test_what_a_client_calls_its_request_is_what_the_provider_is_told(pool: Pool) -> None:
    named = outgoing()
    named.headers.append(("x-client-request-id", "mine"))
    async with standing_in() as upstream:
        journey = Journey(pool, upstream.port)
        with await journey.sender.send(MODEL, named, journey.admit) as answer:
            await answer.read(1 << 20)
        told = [value for name, value in upstream.requests[0].fields if name == "x-client-request-id"]
        assert told == ["mine"]


async def test_the_headers_of_the_next_attempt_are_not_those_of_the_last(pool: Pool) -> None:
    async with standing_in(whole(b"{}", status=BUSY), whole(b"{}")) as upstream:
        await Journey(pool, upstream.port).read()
        names = [name for name, _ in upstream.requests[1].fields]
        assert names.count("authorization") == 1


async def test_an_attempt_is_on_record_before_anything_is_sent(pool: Pool) -> None:
    async with standing_in() as upstream:
        seen = []

        async def admit(attempt: Attempt) -> None:
            seen.append((attempt.number, attempt.sent, len(upstream.requests), upstream.connections))

        with await Journey(pool, upstream.port).sender.send(MODEL, outgoing(), admit):
            pass
        assert seen == [(1, False, 0, 0)]


async def test_nothing_is_sent_that_cannot_be_put_on_record(pool: Pool) -> None:
    async def admit(_: Attempt) -> None:
        raise Refused(ErrorCode.METERING_UNAVAILABLE, "the journal is full")

    async with standing_in() as upstream:
        with pytest.raises(Refused), await Journey(pool, upstream.port).sender.send(MODEL, outgoing(), admit):
            pass
        assert (upstream.requests, upstream.connections) == ([], 0)


async def test_an_attempt_tells_what_came_of_it(pool: Pool) -> None:
    async with standing_in(whole(b"{}", "x-request-id: up_1")) as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        (attempt,) = journey.attempts
        assert (attempt.upstream, attempt.number, attempt.sent) == ("openai", 1, True)
        assert (attempt.status, attempt.upstream_request_id) == (200, "up_1")


@pytest.mark.parametrize(
    ("field", "identifier"),
    [
        ("apim-request-id: az_1", "az_1"),
        ("x-request-id: " + "x" * 128, "x" * 128),
        ("x-request-id: " + "x" * 129, None),
        ("x-request-id: \xe9", None),
        ("x-request-id:", None),
        ("x-other: 1", None),
    ],
)
async def test_an_upstreams_request_id_is_kept_when_it_is_fit_to_be_written_down(
    pool: Pool, field: str, identifier: str | None
) -> None:
    async with standing_in(whole(b"{}", field)) as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        assert journey.attempts[0].upstream_request_id == identifier


async def test_leaving_early_closes_the_connection(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", end=b""))) as upstream:
        journey = Journey(pool, upstream.port)
        with await journey.sender.send(MODEL, outgoing(), journey.admit) as answer:
            await anext(answer.chunks())
        await upstream.left.get()


async def test_leaving_by_an_error_closes_the_connection(pool: Pool) -> None:
    async with standing_in(raw(chunked(b"data: 1\n\n", end=b""))) as upstream:
        journey = Journey(pool, upstream.port)
        with pytest.raises(ZeroDivisionError), await journey.sender.send(MODEL, outgoing(), journey.admit):
            raise ZeroDivisionError
        await upstream.left.get()


async def test_leaving_after_the_end_keeps_the_connection(pool: Pool) -> None:
    async with standing_in() as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        await journey.read()
        assert upstream.connections == 1


async def test_an_upstream_that_is_not_set_up_cannot_be_reached(pool: Pool) -> None:
    sender = Sender(pool=pool, targets=Targets({}), clock=ManualClock())
    with (
        pytest.raises(UpstreamFailed) as failed,
        await sender.send(MODEL, outgoing(), Journey(pool, 1).admit),
    ):
        pass
    assert failed.value.code is ErrorCode.UPSTREAM_UNREACHABLE


# What is passed on.


@pytest.mark.parametrize(
    "status",
    ["200 OK", "201 Created", "400 Bad", "404 No", "409 Conflict", "422 No", "504 Gateway Time-out"],
)
async def test_a_json_answer_is_passed_on(pool: Pool, status: str) -> None:
    async with standing_in(whole(b'{"a": 1}', status=status)) as upstream:
        journey = Journey(pool, upstream.port)
        assert await journey.read() == (int(status[:3]), b'{"a": 1}')
        assert journey.pauses == []


@pytest.mark.parametrize("status", ["429 Too Many", "500 Error", "502 Bad Gateway", BUSY])
async def test_a_json_error_is_passed_on_when_retries_did_not_help(pool: Pool, status: str) -> None:
    async with standing_in(whole(b'{"error": {}}', status=status)) as upstream:
        journey = Journey(pool, upstream.port)
        assert await journey.read() == (int(status[:3]), b'{"error": {}}')
        assert journey.statuses == [int(status[:3])] * 3


async def test_json_with_a_charset_is_json(pool: Pool) -> None:
    play = whole(b"{}", status="400 Bad", kind="application/json; charset=utf-8")
    async with standing_in(play) as upstream:
        assert await Journey(pool, upstream.port).read() == (400, b"{}")


async def test_a_good_answer_of_any_kind_is_passed_on(pool: Pool) -> None:
    async with standing_in(whole(b"ID3", kind="audio/mpeg")) as upstream:
        assert await Journey(pool, upstream.port).read() == (200, b"ID3")


# What is not.


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_refusal_of_our_key_is_our_matter(pool: Pool, status: str, kind: str) -> None:
    failure = await failure_of(pool, whole(b'{"error": "sk-ours"}', status=status, kind=kind))
    assert failure.code is ErrorCode.UPSTREAM_AUTH_ERROR
    assert "sk-ours" not in failure.message


@pytest.mark.parametrize("status", ["300 Choose", "301 Moved", "302 Found", "304 Same", "307 T", "308 P"])
async def test_a_way_elsewhere_is_an_error(pool: Pool, status: str) -> None:
    async with standing_in() as other:
        play = whole(b"{}", f"location: http://localhost:{other.port}/", status=status)
        failure = await failure_of(pool, play)
        assert (failure.code, other.requests) == (ErrorCode.UPSTREAM_REDIRECT, [])


@pytest.mark.parametrize("status", ["400 Bad", "404 No", "413 Large", "500 Error", BUSY, "504 Late", "520 ?"])
@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/jsonp"])
async def test_a_page_of_some_edge_is_an_upstream_error(pool: Pool, status: str, kind: str) -> None:
    failure = await failure_of(pool, whole(b"<html>cloud", status=status, kind=kind))
    assert (failure.code, "cloud" in failure.message) == (ErrorCode.UPSTREAM_ERROR, False)


async def test_a_page_that_limits_the_rate_keeps_its_retry_after(pool: Pool) -> None:
    page = whole(b"<html>", "retry-after: 30", status="429 Too Many", kind="text/html")
    failure = await failure_of(pool, page)
    assert (failure.code, failure.retry_after) == (ErrorCode.UPSTREAM_RATE_LIMITED, 30.0)


async def test_a_connection_with_an_unfit_answer_is_closed(pool: Pool) -> None:
    async with standing_in(whole(b"<html>", status="404 No", kind="text/html")) as upstream:
        await Journey(pool, upstream.port).failure()
        await upstream.left.get()


# More tries than one.


async def test_a_busy_upstream_is_tried_again(pool: Pool) -> None:
    async with standing_in(
        whole(b"{}", status=BUSY), whole(b"{}", status="500 Error"), whole(b"1")
    ) as upstream:
        journey = Journey(pool, upstream.port)
        assert await journey.read() == (200, b"1")
        assert (journey.statuses, journey.pauses) == ([503, 500, 200], pytest.approx([0.1, 0.2]))


async def test_every_try_is_an_attempt_of_its_own(pool: Pool) -> None:
    async with standing_in(whole(b"{}", status=BUSY), whole(b"{}")) as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        assert [attempt.number for attempt in journey.attempts] == [1, 2]
        assert len({attempt.id for attempt in journey.attempts}) == 2


async def test_a_short_wait_that_is_asked_for_is_kept(pool: Pool) -> None:
    limited = whole(b"{}", "retry-after: 1", status="429 Too Many")
    async with standing_in(limited, whole(b"{}")) as upstream:
        journey = Journey(pool, upstream.port)
        await journey.read()
        assert (journey.statuses, journey.pauses) == ([429, 200], [1.0])


async def test_a_long_wait_is_the_clients_own(pool: Pool) -> None:
    limited = whole(b'{"error": 1}', "retry-after: 20", status="429 Too Many")
    async with standing_in(limited, whole(b"{}")) as upstream:
        journey = Journey(pool, upstream.port)
        assert await journey.read() == (429, b'{"error": 1}')
        assert (journey.pauses, len(upstream.requests)) == ([], 1)


async def test_the_body_is_sent_again_with_each_try(pool: Pool) -> None:
    async def portions() -> AsyncIterator[bytes]:
        yield BODY[:7]
        yield BODY[7:]

    async with standing_in(whole(b"{}", status=BUSY), whole(b"{}")) as upstream:
        await Journey(pool, upstream.port).read(portions)
        assert [request.body for request in upstream.requests] == [BODY, BODY]


async def test_an_upstream_that_nobody_is_at_is_tried_three_times(pool: Pool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        journey = Journey(pool, taken.getsockname()[1])
        failure = await journey.failure()
    assert (failure.code, journey.pauses) == (ErrorCode.UPSTREAM_UNREACHABLE, pytest.approx([0.1, 0.2]))
    assert [(attempt.status, attempt.sent) for attempt in journey.attempts] == [(None, False)] * 3


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (cut(b""), ErrorCode.UPSTREAM_ERROR),
        (cut(b"HTTP/1.1 200"), ErrorCode.UPSTREAM_ERROR),
        (silence, ErrorCode.UPSTREAM_TIMEOUT),
    ],
)
async def test_what_may_still_run_is_not_tried_again(pool: Pool, play: Play, code: ErrorCode) -> None:
    async with standing_in(play) as upstream:
        journey = Journey(pool, upstream.port, first_byte_seconds=0.05)
        failure = await journey.failure()
        assert (failure.code, journey.pauses, len(upstream.requests)) == (code, [], 1)
        assert [(attempt.status, attempt.sent) for attempt in journey.attempts] == [(None, True)]


async def test_a_body_that_breaks_is_not_tried_again(pool: Pool) -> None:
    async with standing_in(cut(chunked(b"data: 1\n\n", end=b""))) as upstream:
        journey = Journey(pool, upstream.port)
        failure = await journey.failure()
        assert (failure.code, journey.statuses) == (ErrorCode.UPSTREAM_ERROR, [200])
        assert len(upstream.requests) == 1


async def test_a_sick_upstream_is_not_hit_harder_for_being_sick(pool: Pool) -> None:
    async with standing_in(whole(b"{}", status=BUSY)) as upstream:
        journey = Journey(pool, upstream.port)
        for _ in range(20):
            await journey.read()
        assert len(upstream.requests) == 20 + 10 + 1


async def test_a_retry_that_is_not_put_on_record_is_not_sent(pool: Pool) -> None:
    async def admit(attempt: Attempt) -> None:
        if attempt.number > 1:
            raise Refused(ErrorCode.METERING_UNAVAILABLE, "the journal is full")

    async with standing_in(whole(b"{}", status=BUSY)) as upstream:
        with pytest.raises(Refused), await Journey(pool, upstream.port).sender.send(MODEL, outgoing(), admit):
            pass
        assert len(upstream.requests) == 1
