"""Calls to Redis travel together, and nobody gets another's answer."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.connect import connect
from gateway.limits.redis.scripts import Script, ScriptCall, Scripts
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_server import RedisServer, running_redis

ECHO = Script("redis.call('INCR', KEYS[1]) return ARGV[1]")
WRONG = Script("return redis.call('LPUSH', KEYS[1], 1)")


def echo(tag: object) -> ScriptCall:
    return ScriptCall(ECHO, ("{t}:count",), (str(tag),))


@asynccontextmanager
async def carried(client: Redis, timeout: float = 10.0) -> AsyncIterator[Scripts]:
    scripts = Scripts(client=client, timeout=timeout)
    loop = asyncio.create_task(scripts.run())
    try:
        yield scripts
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
async def scripts(redis: Redis) -> AsyncIterator[Scripts]:
    async with carried(redis) as scripts:
        yield scripts


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with fault_proxy(redis_server.path) as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: FaultProxy, redis: Redis) -> AsyncIterator[Scripts]:
    """Scripts on a Redis behind the proxy, which is empty; impatient."""
    client = connect(proxy.url)
    async with carried(client, timeout=0.25) as scripts:
        await scripts.call(ScriptCall(ECHO, ("{t}:other",), ("warm",)))
        yield scripts
    await client.aclose()


async def test_each_call_gets_its_own_reply(scripts: Scripts) -> None:
    replies = await asyncio.gather(*(scripts.call(echo(number)) for number in range(500)))
    assert replies == [[str(number).encode()] for number in range(500)]


async def test_calls_of_one_caller_are_answered_in_order(scripts: Scripts) -> None:
    assert await scripts.call(echo("a"), echo("b"), echo("c")) == [b"a", b"b", b"c"]


async def test_no_calls_have_no_replies(redis: Redis) -> None:
    assert await Scripts(client=redis, timeout=0.01).call() == []


async def test_cancelled_callers_spoil_nobodys_reply(scripts: Scripts) -> None:
    chance = random.Random(7)
    for _ in range(20):
        tasks = [asyncio.create_task(scripts.call(echo(number))) for number in range(100)]
        left = set(chance.sample(range(100), 50))
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        for number in left:
            tasks[number].cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for number in set(range(100)) - left:
            assert replies[number] == [str(number).encode()]


async def test_what_a_caller_no_longer_waits_for_is_not_sent(scripts: Scripts, redis: Redis) -> None:
    task = asyncio.create_task(scripts.call(echo("never")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scripts.call(echo("after"))
    assert await redis.get("{t}:count") == b"1"


async def test_of_several_calls_that_nobody_waits_for_none_is_sent(scripts: Scripts, redis: Redis) -> None:
    task = asyncio.create_task(scripts.call(echo("never"), echo("nor this"), echo("nor that")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scripts.call(echo("after"))
    assert await redis.get("{t}:count") == b"1"


async def test_a_script_that_redis_has_forgotten_is_sent_again(scripts: Scripts, redis: Redis) -> None:
    await scripts.call(echo(1))
    await redis.script_flush()
    assert await scripts.call(echo(2), echo(3)) == [b"2", b"3"]
    assert await redis.get("{t}:count") == b"3"


async def test_an_error_of_one_call_is_no_matter_of_its_neighbours(scripts: Scripts, redis: Redis) -> None:
    await redis.set("{t}:text", "not a list")
    wrong = ScriptCall(WRONG, ("{t}:text",), ())
    first, failed, last = await asyncio.gather(
        scripts.call(echo(1)), scripts.call(wrong), scripts.call(echo(2)), return_exceptions=True
    )
    assert (first, last) == ([b"1"], [b"2"])
    assert isinstance(failed, StoreUnavailable)
    assert "LPUSH" not in str(failed)


async def test_a_redis_that_does_not_answer_is_away_in_time() -> None:
    with running_redis() as server:
        client = connect(server.url)
        async with carried(client, timeout=0.05) as scripts:
            await scripts.call(echo(1))
            server.freeze()
            began = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable):
                await scripts.call(echo(2))
            assert asyncio.get_running_loop().time() - began < 0.25
        await client.aclose()


async def test_a_redis_that_is_not_there_is_away_at_once(redis_server: RedisServer) -> None:
    client = connect(redis_server.url + ".gone")
    async with carried(client) as scripts:
        with pytest.raises(StoreUnavailable):
            await scripts.call(echo(1))
    await client.aclose()


async def test_a_call_whose_reply_was_lost_is_not_made_again(
    through: Scripts, proxy: FaultProxy, redis: Redis
) -> None:
    proxy.lose_replies()
    with pytest.raises(StoreUnavailable):
        await through.call(echo(1))
    proxy.heal()
    assert await redis.get("{t}:count") == b"1"


FAULTS = {
    "refused": FaultProxy.refuse,
    "silent": FaultProxy.black_hole,
    "late": lambda proxy: proxy.delay(2.0),
    "lost": FaultProxy.lose_replies,
    "cut": FaultProxy.cut_next_reply,
    "loading": lambda proxy: proxy.inject("-LOADING Redis is loading the dataset in memory"),
    "full": lambda proxy: proxy.inject("-OOM command not allowed when used memory > 'maxmemory'."),
    "replica": lambda proxy: proxy.inject("-READONLY You can't write against a read only replica."),
    "stale": lambda proxy: proxy.inject("-MASTERDOWN Link with MASTER is down"),
    "no Redis": lambda proxy: proxy.inject("HTTP/1.1 400 Bad Request"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_fault_everybody_gets_his_own_reply(
    through: Scripts, proxy: FaultProxy, fault: str
) -> None:
    FAULTS[fault](proxy)
    with pytest.raises(StoreUnavailable):
        await through.call(echo("during"))
    proxy.heal()
    for turn in range(3):
        replies = await asyncio.gather(*(through.call(echo(f"{turn}.{number}")) for number in range(20)))
        assert replies == [[f"{turn}.{number}".encode()] for number in range(20)]


@pytest.mark.parametrize(
    "line",
    [
        "-READONLY You can't write against a read only replica.",
        "-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write.",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ],
)
async def test_whoever_turns_out_to_be_a_replica_is_left(
    through: Scripts, proxy: FaultProxy, line: str
) -> None:
    with running_redis() as promoted:
        proxy.target = promoted.path  # where the name leads from now on
        assert await through.call(echo("by the old connection"))
        proxy.inject(line)
        with pytest.raises(StoreUnavailable):
            await through.call(echo("told"))
        await through.call(echo("by a new one"))
        client = connect(promoted.url)
        assert await client.get("{t}:count") == b"1"
        await client.aclose()


async def test_calls_time_out_when_nobody_carries_them(redis: Redis) -> None:
    with pytest.raises(StoreUnavailable):
        await Scripts(client=redis, timeout=0.01).call(echo(1))


async def test_the_loop_outlives_whatever_goes_wrong(scripts: Scripts, redis: Redis) -> None:
    unspeakable = ScriptCall(ECHO, ("{t}:count",), (object(),))  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await scripts.call(unspeakable)
    assert await scripts.call(echo(1)) == [b"1"]
