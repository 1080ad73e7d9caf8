"""How limits lie in Redis. What is decided is in tests/conformance/test_limits.py."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from gateway.core.errors import StoreUnavailable
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, Spent
from gateway.limits.redis import RedisLimiter, connect
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS

HOLD = Hold(
    "ex_1",
    tuple(demand_of(limit, f"{{search}}:{limit.name}:team", 100) for limit in (REQUESTS, TOKENS, SLOTS)),
)


@pytest.fixture
async def limiter(redis: Redis) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(client=redis, lease=60.0, keep=600.0, forget=30.0, timeout=10.0)
    loop = asyncio.create_task(limiter.run())
    yield limiter
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


def test_a_client_tries_nothing_twice() -> None:
    options = connect("redis://localhost:1").get_connection_kwargs()
    assert options["retry"].get_retries() == 0


def test_a_client_speaks_the_protocol_in_which_nothing_comes_unasked() -> None:
    assert connect("redis://localhost:1").get_connection_kwargs()["protocol"] == 2


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        connect(url)


async def test_every_key_is_of_the_team_and_has_an_end(limiter: RedisLimiter, redis: Redis) -> None:
    await limiter.reserve(HOLD)
    ends = {key: await redis.ttl(key) async for key in redis.scan_iter()}
    assert ends == {
        b"{search}:exchange:ex_1": pytest.approx(600, abs=5),
        b"{search}:team-requests:team": pytest.approx(1, abs=1),
        b"{search}:key-tokens:team": pytest.approx(6, abs=3),
        b"{search}:team-streams:team": pytest.approx(60, abs=5),
    }
    assert len({key_slot(key) for key in ends}) == 1


async def test_a_settlement_is_remembered_for_as_long_as_was_said(
    limiter: RedisLimiter, redis: Redis
) -> None:
    await limiter.reserve(HOLD)
    await limiter.settle([Spent(HOLD, (0, 0, 0))])
    assert [key async for key in redis.scan_iter()] == [b"{search}:exchange:ex_1"]
    assert await redis.ttl("{search}:exchange:ex_1") == pytest.approx(30, abs=5)


async def test_renewal_reaches_the_hold_as_well_as_the_slot(limiter: RedisLimiter, redis: Redis) -> None:
    await limiter.reserve(HOLD)
    for key in ("{search}:exchange:ex_1", "{search}:team-streams:team"):
        await redis.expire(key, 5)
    await limiter.renew([HOLD])
    assert await redis.ttl("{search}:exchange:ex_1") == pytest.approx(600, abs=5)
    assert await redis.ttl("{search}:team-streams:team") == pytest.approx(60, abs=5)


async def test_a_debt_that_would_last_for_ages_still_has_an_end(limiter: RedisLimiter, redis: Redis) -> None:
    slow = demand_of(replace(TOKENS, amount=1, seconds=86_400.0), "{search}:slow:team", 0)
    await limiter.settle([Spent(Hold("ex_2", (slow,)), (10**9,))])
    assert 0 < await redis.ttl("{search}:slow:team") <= 400 * 86_400


async def test_it_goes_on_after_redis_has_lost_everything(limiter: RedisLimiter, redis: Redis) -> None:
    await limiter.reserve(HOLD)
    await redis.flushall()
    await redis.script_flush()
    await limiter.settle([Spent(HOLD, (1, 300, 1))])
    grant = await limiter.reserve(Hold("ex_2", HOLD.demands))
    assert isinstance(grant, Grant)
    assert [standing.remaining for standing in grant.standings] == [58, pytest.approx(600, abs=40)]


async def test_a_probe_passes_when_writes_do(limiter: RedisLimiter) -> None:
    await limiter.probe()


async def test_a_probe_fails_on_a_redis_that_takes_no_writes(limiter: RedisLimiter, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await limiter.probe()
        with pytest.raises(StoreUnavailable):
            await limiter.reserve(Hold("ex_2", HOLD.demands[:2]))
    finally:
        await redis.config_set("maxmemory", 0)
