"""Limits kept in three ways: in memory; in Redis, as the gateway does it; and in Redis without batching."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any, Final

from redis.asyncio import Redis

from gateway.core.clock import SystemClock
from gateway.limits.connect import connect
from gateway.limits.interfaces import Limiter
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import RedisLimiter
from gateway.limits.scripts import ScriptCall, Scripts, _Errand, _exchange

_PATIENT: Final = 30.0
"""Seconds to wait for Redis: a call that has failed would be no call to measure."""
_CONNECTIONS: Final = 1000


class Way(StrEnum):
    """How limits are kept."""

    MEMORY = "memory"
    BATCHED = "Redis"
    UNBATCHED = "Redis, unbatched"


class Batched(Scripts):
    """Calls that wait at the same time travel together, and it is counted how many do."""

    calls = 0
    pipelines = 0

    async def _do(self, node: Redis, errands: Sequence[_Errand]) -> None:
        self.calls += len(errands)
        self.pipelines += 1
        await super()._do(node, errands)


class Unbatched(Scripts):
    """Each call travels at once and by itself, on a connection of its own, as a client library has it."""

    calls = 0

    def __init__(self, *, client: Redis, timeout: float) -> None:
        super().__init__(client=client, timeout=timeout)
        self._node = client
        self._longest = timeout

    @property
    def pipelines(self) -> int:
        return self.calls

    async def call(self, *calls: ScriptCall) -> list[Any]:
        async with asyncio.timeout(self._longest):
            if len(calls) == 1:
                return [await self._alone(calls[0])]
            return await asyncio.gather(*map(self._alone, calls))

    async def _alone(self, call: ScriptCall) -> Any:
        self.calls += 1
        unread = asyncio.get_running_loop().create_future()
        (reply,) = await _exchange(self._node, [_Errand(call, unread)])
        if isinstance(reply, Exception):
            raise reply
        return reply


@asynccontextmanager
async def kept_in_redis(way: Way, url: str) -> AsyncIterator[tuple[Limiter, Batched | Unbatched]]:
    """A limiter on this Redis, and what tells of its calls."""
    client = connect(url, timeout=_PATIENT)
    assert isinstance(client, Redis)
    client.connection_pool.max_connections = _CONNECTIONS
    limiter = RedisLimiter(client=client, timeout=_PATIENT)
    scripts = (Batched if way is Way.BATCHED else Unbatched)(client=client, timeout=_PATIENT)
    limiter._scripts = scripts  # the gateway itself knows one way only
    loop = asyncio.create_task(limiter.run())
    try:
        yield limiter, scripts
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await limiter.close()


def kept_in_memory() -> Limiter:
    """As a gateway without Redis keeps them."""
    return MemoryLimiter(clock=SystemClock())
