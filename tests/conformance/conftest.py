"""The stores on which one suite runs. Each is a world in which a test can let time pass."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import pytest
from redis.asyncio import Redis

from gateway.limits.bucket import MICRO
from gateway.limits.interfaces import Limiter
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import RedisLimiter, connect
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer, running_redis

LEASE = 60.0
PATIENT = 10.0
"""Seconds that tests of other facts than time-outs wait for Redis, on a machine that may be busy."""


class World(Protocol):
    """A limiter, and what tests do around it."""

    @property
    def limiters(self) -> tuple[Limiter, Limiter]:
        """The limiters of two replicas, on one store."""

    async def advance(self, seconds: float) -> None:
        """Let time pass."""


class MemoryWorld:
    """Memory is one process's own, so both replicas are one."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._limiter = MemoryLimiter(clock=self._clock, lease=LEASE)

    @property
    def limiters(self) -> tuple[Limiter, Limiter]:
        return self._limiter, self._limiter

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)


@dataclass
class RedisWorld:
    """Time is Redis' own and cannot be set. So everything that is stored is made older instead."""

    client: Redis
    limiters: tuple[Limiter, Limiter]

    async def advance(self, seconds: float) -> None:
        async for key in self.client.scan_iter():
            if await self.client.type(key) == b"zset":
                await self._age_slots(key, seconds)
            elif b":exchange:" not in key:
                await self._age_bucket(key, seconds)
            await self.client.pexpire(key, await self.client.pttl(key) - int(seconds * 1000))

    async def _age_slots(self, key: bytes, seconds: float) -> None:
        for holder, ends in await self.client.zrange(key, 0, -1, withscores=True):
            await self.client.zadd(key, {holder: ends - seconds * MICRO})

    async def _age_bucket(self, key: bytes, seconds: float) -> None:
        debt, at = (await self.client.get(key)).split()
        await self.client.set(key, f"{int(debt)} {int(at) - int(seconds * MICRO)}", keepttl=True)


@asynccontextmanager
async def redis_limiter(client: Redis, *, timeout: float = PATIENT) -> AsyncIterator[RedisLimiter]:
    """A limiter whose loop is running."""
    limiter = RedisLimiter(client=client, lease=LEASE, timeout=timeout)
    loop = asyncio.create_task(limiter.run())
    try:
        yield limiter
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


@asynccontextmanager
async def redis_client(server: RedisServer, *, timeout: float = PATIENT) -> AsyncIterator[Redis]:
    client = connect(server.url, timeout=timeout)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """One that a test may stop."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_client(server) as client, redis_client(server) as other:
        await client.flushall()
        async with redis_limiter(client) as limiter, redis_limiter(other) as second:
            yield RedisWorld(client, (limiter, second))
