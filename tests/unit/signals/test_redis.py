"""Signals by Redis: what is malformed, and a Redis that is away. All kinds of it: tests/conformance."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.limits.redis.connect import connect
from gateway.signals.interfaces import MOST_BYTES
from gateway.signals.redis import AGAIN, AT_ONCE, CHANNEL, RedisSignals
from tests.support.eventually import eventually
from tests.support.log import Log
from tests.support.redis_server import RedisServer, ask, running_redis

PATIENT = 10.0
"""Seconds for Redis, on a machine that may be busy."""
STRANGER = "f" * 32


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """One that a test may stop."""
    with running_redis() as server:
        yield server


@dataclass
class Replica:
    """One process's signals, and what it saw."""

    signals: RedisSignals
    client: Redis
    log: Log
    away: list[str | None]
    heard: list[bytes] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    async def is_listening(self) -> bool:
        """Whether what is told is heard, there and back."""
        number = await ask(url_of(self.client), "PUBSUB", "NUMSUB", self.own)
        return bool(number[1])

    @property
    def own(self) -> str:
        return self.signals._own


def url_of(client: Redis) -> str:
    return f"unix://{client.connection_pool.connection_kwargs['path']}"


@asynccontextmanager
async def a_replica(
    server: RedisServer, *, beat: float = PATIENT, timeout: float = PATIENT, waits: bool = True
) -> AsyncIterator[Replica]:
    """One that runs, and hears and answers `keys` and `explain`. `waits`: until it does."""
    client = connect(server.url, timeout=timeout)
    assert isinstance(client, Redis)
    log, away, pauses = Log(), list[str | None](), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.02 if seconds == AGAIN else seconds)

    signals = RedisSignals(
        client=client, log=log.logger, on_away=away.append, beat=beat, timeout=timeout, pause=pause
    )
    replica = Replica(signals, client, log, away, pauses=pauses)
    signals.on("keys", replica.heard.append)
    signals.answer("explain", lambda question: question + b" here")
    running = asyncio.create_task(signals.run())
    try:
        if server.runs and waits:
            await eventually(replica.is_listening)
        yield replica
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.aclose()


def a_message(*parts: Any) -> bytes:
    return msgspec.msgpack.encode(parts)


MALFORMED = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "text": b"revoke everything",
    "too few parts": a_message(STRANGER, "keys"),
    "another shape": msgspec.msgpack.encode({"topic": "keys"}),
    "a number for a text": a_message(STRANGER, 7, b""),
    "a sender that is no id": a_message("../../gateway", "explain", b"", "q"),
    "a sender that is a pattern": a_message("*", "explain", b"", "q"),
    "too long": a_message(STRANGER, "keys", bytes(MOST_BYTES + 2048)),
    "truncated": a_message(STRANGER, "keys", b"12345")[:-3],
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_malformed_is_ignored(redis_server: RedisServer, data: bytes) -> None:
    async with a_replica(redis_server) as replica:
        for channel in (CHANNEL, replica.own):
            await ask(redis_server.url, "PUBLISH", channel, data)
        await ask(redis_server.url, "PUBLISH", CHANNEL, a_message(STRANGER, "keys", b"good"))
        await eventually(lambda: replica.heard)
        assert replica.heard == [b"good"]
        assert (replica.away, replica.log.lines) == ([], [])


async def test_a_later_version_may_say_more(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica:
        message = a_message(STRANGER, "keys", b"good", "", "something new")
        await ask(redis_server.url, "PUBLISH", CHANNEL, message)
        await eventually(lambda: replica.heard)
        assert replica.heard == [b"good"]


async def test_an_answer_to_nobodys_question_is_ignored(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica:
        await ask(redis_server.url, "PUBLISH", replica.own, a_message(STRANGER, "explain", b"lie", "q"))
        assert await replica.signals.ask("explain", b"?", seconds=0.05) == [b"? here"]


async def test_each_answers_once(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica, a_replica(redis_server) as other:
        questions = other.client.pubsub(ignore_subscribe_messages=True)
        await questions.subscribe(CHANNEL)
        asking = asyncio.create_task(replica.signals.ask("explain", b"?", seconds=PATIENT, enough=4))
        question = await eventually(lambda: questions.get_message(timeout=1))
        *_, name = msgspec.msgpack.decode(question["data"])
        for sender, answer in ((STRANGER, b"1"), (STRANGER, b"2"), ("e" * 32, b"3")):
            await ask(redis_server.url, "PUBLISH", replica.own, a_message(sender, "explain", answer, name))
        answers = await asking
        assert sorted(answers) == [b"1", b"3", b"? here", b"? here"]
        await questions.aclose()


async def test_what_is_told_by_a_process_is_heard_by_it_once(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica, a_replica(redis_server) as other:
        await replica.signals.tell("keys", b"1")
        assert replica.heard == [b"1"]
        await eventually(lambda: other.heard)
        await other.signals.tell("keys", b"2")
        await eventually(lambda: len(replica.heard) > 1)
        assert (replica.heard, other.heard) == ([b"1", b"2"], [b"1", b"2"])


async def test_what_is_too_long_does_not_travel(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica, a_replica(redis_server) as other:
        await replica.signals.tell("keys", bytes(MOST_BYTES + 1))
        await replica.signals.tell("keys", bytes(MOST_BYTES))
        await eventually(lambda: other.heard)
        assert [len(message) for message in other.heard] == [MOST_BYTES]
        assert await replica.signals.ask("explain", bytes(MOST_BYTES + 1)) == []
        assert len(replica.log.of("signal_too_long")) == 2


async def test_a_question_and_its_answer_may_be_as_long_as_they_may(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica, a_replica(redis_server) as other:
        for each in (replica, other):
            each.signals.answer("explain", lambda question: question)
        long = bytes(MOST_BYTES)
        assert await replica.signals.ask("explain", long, seconds=PATIENT, enough=2) == [long, long]


# A Redis that is away.


async def test_a_redis_that_is_away_from_the_beginning_is_told_once(own_redis_server: RedisServer) -> None:
    own_redis_server.stop()
    async with a_replica(own_redis_server, timeout=0.2) as replica:
        await eventually(lambda: replica.pauses.count(AGAIN) > 3)
        assert replica.away == ["Redis: ConnectionError"]


async def test_what_is_told_and_asked_meanwhile_stays_here(own_redis_server: RedisServer) -> None:
    own_redis_server.stop()
    async with a_replica(own_redis_server, timeout=0.2) as replica:
        await replica.signals.tell("keys", b"1")
        assert replica.heard == [b"1"]
        async with asyncio.timeout(PATIENT):
            assert await replica.signals.ask("explain", b"?", seconds=3600) == [b"? here"]


async def test_it_comes_back_by_itself(own_redis_server: RedisServer) -> None:
    async with a_replica(own_redis_server) as replica, a_replica(own_redis_server) as other:
        own_redis_server.stop()
        await eventually(lambda: replica.away and other.away)
        await asyncio.to_thread(own_redis_server.start)
        await eventually(lambda: len(replica.away) == len(other.away) == 2)
        assert replica.away == ["Redis: ConnectionError", None]
        await replica.signals.tell("keys", b"again")
        await eventually(lambda: other.heard)
        assert other.heard == [b"again"]


async def test_a_redis_that_falls_silent_is_noticed(own_redis_server: RedisServer) -> None:
    async with a_replica(own_redis_server, beat=0.1, timeout=0.2) as replica:
        own_redis_server.freeze()
        await eventually(lambda: replica.away)
        own_redis_server.thaw()
        await eventually(lambda: replica.away[-1] is None)
        assert replica.away[0] == "Redis did not answer in time"


async def test_nobody_waits_for_a_redis_that_is_silent(own_redis_server: RedisServer) -> None:
    async with a_replica(own_redis_server, timeout=0.2) as replica:
        own_redis_server.freeze()
        try:
            async with asyncio.timeout(PATIENT):
                await replica.signals.tell("keys", b"1")
                assert await replica.signals.ask("explain", b"?", seconds=3600) == [b"? here"]
            assert replica.heard == [b"1"]
        finally:
            own_redis_server.thaw()


async def test_a_connection_on_which_nothing_arrives_any_more_is_made_anew(
    redis_server: RedisServer,
) -> None:
    """Redis took the subscription back: the connection is alive, and silent."""
    async with a_replica(redis_server, beat=0.1) as replica:
        connection = await subscribed(replica)
        await connection.send_command("UNSUBSCRIBE")
        await eventually(lambda: AT_ONCE in replica.pauses)
        await eventually(replica.is_listening)
        assert replica.away == []


async def subscribed(replica: Replica) -> Any:
    """The connection that listens."""

    async def look() -> Any:
        pool: Any = replica.client.connection_pool
        return next(iter(pool._in_use_connections), None)

    return await eventually(look)


async def test_no_connection_with_a_subscription_goes_back_to_others(redis_server: RedisServer) -> None:
    async with a_replica(redis_server) as replica:
        connection = await subscribed(replica)
        await connection.disconnect()
        await eventually(replica.is_listening)
        assert await replica.client.ping()
        assert await ask(redis_server.url, "PUBSUB", "NUMSUB", replica.own) == [replica.own, 1]


async def test_who_may_not_subscribe_is_told_so(own_redis_server: RedisServer) -> None:
    await ask(own_redis_server.url, "ACL", "SETUSER", "default", "resetchannels")
    async with a_replica(own_redis_server, waits=False) as replica:
        await eventually(lambda: replica.away)
        assert replica.away == ["Redis: NoPermissionError"]
