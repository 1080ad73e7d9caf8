"""What becomes of requests when Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis as AsyncRedis

from gateway.core.clock import SystemClock
from gateway.limits.degraded import Breaker, ResilientLimiter
from gateway.limits.interfaces import Grant
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import RedisLimiter
from tests.conformance.conftest import (
    REQUESTS,
    SLOTS,
    TOKENS,
    granted,
    hold_of,
    redis_client,
    redis_limiter,
    remaining,
    spent,
)
from tests.support.redis_server import RedisServer


@dataclass
class Replica:
    """A limiter that goes on without its Redis, and what can be seen of it."""

    server: RedisServer
    client: AsyncRedis
    primary: RedisLimiter
    limiter: ResilientLimiter
    changes: asyncio.Queue[bool]

    async def next_change(self) -> bool:
        """Whether it is degraded from then on."""
        async with asyncio.timeout(10):
            return await self.changes.get()


@pytest.fixture
async def replica(own_redis_server: RedisServer) -> AsyncIterator[Replica]:
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with (
        redis_client(own_redis_server, timeout=0.1) as client,
        redis_limiter(client, timeout=0.1) as primary,
    ):
        limiter = ResilientLimiter(
            primary=primary,
            fallback=MemoryLimiter(clock=SystemClock()),
            clock=SystemClock(),
            on_change=lambda degraded, why: changes.put_nowait(degraded),
            breaker=Breaker(interval=0.01),
        )
        healing = asyncio.create_task(limiter.run())
        yield Replica(own_redis_server, client, primary, limiter, changes)
        healing.cancel()


class TestRedisAway:
    """Nobody waits for a Redis that is not there, and all is as before when it is back."""

    @pytest.mark.parametrize("fault", ["stopped", "frozen"])
    async def test_requests_go_on_within_250_ms(self, replica: Replica, fault: str) -> None:
        server, limiter, time = replica.server, replica.limiter, asyncio.get_running_loop().time
        await granted(limiter, hold_of(REQUESTS))
        server.stop() if fault == "stopped" else server.freeze()
        waits = []
        for _ in range(6):
            began, hold = time(), hold_of(REQUESTS, TOKENS)
            await granted(limiter, hold)
            waits.append(time() - began)
            await limiter.settle([spent(hold, 50)])
        assert max(waits) < 0.25
        assert limiter.degraded

    @pytest.mark.parametrize("fault", ["stopped", "frozen"])
    async def test_it_heals_when_redis_is_back(self, replica: Replica, fault: str) -> None:
        server, limiter = replica.server, replica.limiter
        server.stop() if fault == "stopped" else server.freeze()
        while not limiter.degraded:
            await granted(limiter, hold_of(REQUESTS))
        server.start() if fault == "stopped" else server.thaw()
        assert [await replica.next_change(), await replica.next_change()] == [True, False]
        hold = hold_of(TOKENS)
        await granted(limiter, hold)
        assert await replica.client.exists(f"{{search}}:exchange:{hold.exchange_id}")

    async def test_limits_hold_while_redis_is_away(self, replica: Replica) -> None:
        replica.server.stop()
        decisions = [await replica.limiter.reserve(hold_of(replace(REQUESTS, burst=5))) for _ in range(10)]
        assert sum(isinstance(decision, Grant) for decision in decisions) == 5

    async def test_settlements_that_redis_missed_are_delivered(self, replica: Replica) -> None:
        hold = hold_of(SLOTS, TOKENS, tokens=500)
        await granted(replica.limiter, hold)
        replica.server.freeze()
        while not replica.limiter.degraded:
            await granted(replica.limiter, hold_of(REQUESTS))
        await replica.limiter.settle([spent(hold, 700)])
        replica.server.thaw()
        assert [await replica.next_change(), await replica.next_change()] == [True, False]
        async with asyncio.timeout(10):
            while await replica.client.zcard("{search}:team-streams:team"):
                pass
        assert await remaining(replica.primary, TOKENS) == 300
        assert await remaining(replica.primary, REQUESTS) == 100, "what it held for lost replies is undone"
