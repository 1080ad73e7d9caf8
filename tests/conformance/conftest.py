"""The stores on which one suite runs. Each is a world in which a test says what time it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Protocol

import pytest
from redis.asyncio import Redis

from gateway.core.policy import Budget, Counted, Limit, Period, Scope
from gateway.limits.bucket import MICRO
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Grant, Hold, Limiter, Refusal, Spent, Unloaded
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import CLOCK, RedisLimiter
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer, running_redis

LEASE = 60.0
SLICE_LEASE = 600.0
PATIENT = 10.0
"""Seconds that tests of other facts than time-outs wait for Redis, on a machine that may be busy."""
TIME = "{clock}"
"""The key under which a Redis of a test keeps the microsecond it is."""
TIME_OF_TESTS = f"""
local function now_us() return tonumber(redis.call('GET', '{TIME}')) end

-- While that stands still Redis' own time goes on, by which keys end: so here none does.
local real = redis
local redis = {{}}
function redis.call(command, ...)
  local words = {{ ... }}
  if command == 'PEXPIRE' then return 1 end
  if command == 'SET' and words[3] == 'PX' then return real.call(command, words[1], words[2]) end
  return real.call(command, ...)
end
"""

DAY = 86_400.0
START = 1_795_000_000.0
"""A Wednesday, 11:06:40 UTC: when the worlds begin."""
REQUESTS = Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), 100, DAY, 100)
TOKENS = Limit("team-tokens", Counted.TOKENS, (Scope.TEAM,), 1000, DAY, 1000)
SLOTS = Limit("team-streams", Counted.CONCURRENT, (Scope.TEAM,), 2)
BUDGET = Budget("team-day", Counted.TOKENS, (Scope.TEAM,), 1000, Period.DAY)

_ids = count()


def hold_of(
    *limits: Limit | Budget, tokens: int = 100, exchange_id: str | None = None, now: float = START
) -> Hold:
    """One request, and so many tokens."""
    demands = tuple(_demand(limit, tokens if limit.counts is Counted.TOKENS else 1, now) for limit in limits)
    return Hold(exchange_id or f"ex_{next(_ids)}", demands)


def _demand(limit: Limit | Budget, cost: int, now: float) -> Demand:
    return demand_of(limit, f"{{search}}:{limit.name}:{limit.counts}:team=search", cost, now)


def spent(hold: Hold, tokens: int = 0) -> Spent:
    """Everything is spent, and so many tokens."""
    return Spent(
        hold, tuple(tokens if demand.limit.counts is Counted.TOKENS else 1 for demand in hold.demands)
    )


def nothing(hold: Hold) -> Spent:
    return Spent(hold, (0,) * len(hold.demands))


async def granted(limiter: Limiter, hold: Hold) -> Grant:
    decision = await limiter.reserve(hold)
    assert isinstance(decision, Grant)
    return decision


async def refused(limiter: Limiter, hold: Hold) -> Refusal:
    decision = await limiter.reserve(hold)
    assert isinstance(decision, Refusal)
    return decision


async def unloaded(limiter: Limiter, hold: Hold) -> Unloaded:
    decision = await limiter.reserve(hold)
    assert isinstance(decision, Unloaded)
    return decision


async def remaining(limiter: Limiter, limit: Limit) -> int:
    """What is left, seen by a hold that is given back at once."""
    seen = hold_of(limit, tokens=0)
    decision = await limiter.reserve(seen)
    await limiter.settle([nothing(seen)])
    assert not isinstance(decision, Unloaded)
    taken = 1 if isinstance(decision, Grant) and limit.counts is Counted.REQUESTS else 0
    return decision.standings[0].remaining + taken


class World(Protocol):
    """Limiters, and what tests do around them."""

    @property
    def limiters(self) -> Sequence[Limiter]:
        """The limiters of two replicas, on one store."""

    @property
    def now(self) -> float:
        """Seconds since 1970."""

    async def advance(self, seconds: float) -> None:
        """Let time pass, or put the clock back."""

    async def lose_everything(self) -> None:
        """An empty store from now on, with limiters of its own."""


class MemoryWorld:
    """Memory is one process's own, so both replicas are one."""

    def __init__(self) -> None:
        self._clock = ManualClock(START)
        self.limiters: Sequence[Limiter] = ()

    @property
    def now(self) -> float:
        return self._clock.now()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def lose_everything(self) -> None:
        limiter = MemoryLimiter(clock=self._clock, lease=LEASE, slice_lease=SLICE_LEASE)
        self.limiters = limiter, limiter


class RedisWorld:
    """Two replicas on one Redis, which goes by the test's time."""

    def __init__(self, client: Redis, limiters: Sequence[Limiter]) -> None:
        self._client = client
        self.limiters = limiters
        self.now = START

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await self._client.set(TIME, int(self.now * MICRO))

    async def lose_everything(self) -> None:
        await self._client.flushall()
        await self.advance(0)


@asynccontextmanager
async def redis_limiter(
    client: Redis, *, timeout: float = PATIENT, clock: str = CLOCK
) -> AsyncIterator[RedisLimiter]:
    """A limiter whose loop is running."""
    limiter = RedisLimiter(client=client, lease=LEASE, slice_lease=SLICE_LEASE, timeout=timeout, clock=clock)
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
    assert isinstance(client, Redis)
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
        memory = MemoryWorld()
        await memory.lose_everything()
        yield memory
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with (
        redis_client(server) as client,
        redis_client(server) as other,
        redis_limiter(client, clock=TIME_OF_TESTS) as limiter,
        redis_limiter(other, clock=TIME_OF_TESTS) as second,
    ):
        redis = RedisWorld(client, (limiter, second))
        await redis.lose_everything()
        yield redis
