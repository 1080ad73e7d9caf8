"""Values to begin with, and a Redis for what is about Redis alone. What all stores do: tests/conformance."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.redis.connect import connect
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer, running_redis

REQUESTS = Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), 60, 60.0, 60)
TOKENS = Limit("key-tokens", Counted.TOKENS, (Scope.KEY,), 1000, 60.0, 1000)
SLOTS = Limit("team-streams", Counted.CONCURRENT, (Scope.TEAM,), 2)
DOLLARS = Budget("team-month", Counted.DOLLARS, (Scope.TEAM,), 50_000_000, Period.MONTH)
"""$50."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def principal() -> Principal:
    return Principal(subject="batch@search", team="search", key_id="k1", key_name="batch")


@pytest.fixture
def policy() -> Policy:
    return Policy(
        team="search", version="v1", catalogue=Catalogue(models={}), limits=(REQUESTS, TOKENS, SLOTS)
    )


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    client = connect(redis_server.url, timeout=10)
    await client.flushall()
    yield client
    await client.aclose()
