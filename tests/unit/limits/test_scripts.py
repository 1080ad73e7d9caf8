"""Calls to Redis travel together, and nobody gets another's answer."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.core.errors import StoreUnavailable
from gateway.limits.redis import connect
from gateway.limits.scripts import Script, ScriptCall, Scripts
from tests.support.redis_server import RedisServer, running_redis

ECHO = Script("redis.call('INCR', KEYS[1]) return ARGV[1]")
WRONG = Script("return redis.call('LPUSH', KEYS[1], 1)")


def echo(tag: object) -> ScriptCall:
    return ScriptCall(ECHO, ("{t}:count",), (str(tag),))


@pytest.fixture
async def scripts(redis: Redis) -> AsyncIterator[Scripts]:
    scripts = Scripts(client=redis, timeout=10.0)
    loop = asyncio.create_task(scripts.run())
    yield scripts
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_each_call_gets_its_own_reply(scripts: Scripts) -> None:
    replies = await asyncio.gather(*(scripts.call(echo(number)) for number in range(500)))
    assert replies == [[str(number).encode()] for number in range(500)]


async def test_calls_of_one_caller_are_answered_in_order(scripts: Scripts) -> None:
    assert await scripts.call(echo("a"), echo("b"), echo("c")) == [b"a", b"b", b"c"]


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
        scripts = Scripts(client=client, timeout=0.05)
        loop = asyncio.create_task(scripts.run())
        await scripts.call(echo(1))
        server.freeze()
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailable):
            await scripts.call(echo(2))
        assert asyncio.get_running_loop().time() - began < 0.25
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await client.aclose()


async def test_a_redis_that_is_not_there_is_away_at_once(redis_server: RedisServer) -> None:
    client = connect(redis_server.url + ".gone")
    scripts = Scripts(client=client, timeout=10.0)
    loop = asyncio.create_task(scripts.run())
    with pytest.raises(StoreUnavailable):
        await scripts.call(echo(1))
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    await client.aclose()


async def test_calls_time_out_when_nobody_carries_them(redis: Redis) -> None:
    with pytest.raises(StoreUnavailable):
        await Scripts(client=redis, timeout=0.01).call(echo(1))
