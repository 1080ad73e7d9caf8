"""Limits kept in three ways: in memory; in Redis, as the gateway does it; and in Redis without batching."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.core.clock import SystemClock
from gateway.limits.interfaces import Limiter
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.redis.scripts import ScriptCall, Scripts

_PATIENT: Final = 30.0
"""Seconds to wait for Redis: a call that has failed would be no call to measure."""
_CONNECTIONS: Final = 1000


class Way(StrEnum):
    """How limits are kept."""

    MEMORY = "memory"
    BATCHED = "Redis"
    UNBATCHED = "Redis, unbatched"


class Batched(Scripts):
    """Calls that wait at the same time travel together, and their pipelines are counted."""

    pipelines = 0

    async def _do(self, node: Redis, errands: Sequence[Any]) -> None:
        self.pipelines += 1
        await super()._do(node, errands)


class Unbatched(Scripts):
    """Each call travels at once and by itself, on a connection of its own, as a client library has it."""

    def __init__(self, *, client: Redis, timeout: float) -> None:
        super().__init__(client=client, timeout=timeout)
        self.pipelines = 0
        self._longest = timeout
        self._pool: Any = client.connection_pool

    async def call(self, *calls: ScriptCall) -> list[Any]:
        async with asyncio.timeout(self._longest):
            if len(calls) == 1:
                return [await self._alone(calls[0])]
            return await asyncio.gather(*map(self._alone, calls))

    async def _alone(self, call: ScriptCall) -> Any:
        self.pipelines += 1
        connection = await self._pool.get_connection()
        try:
            try:
                return await _reply(connection, "EVALSHA", call.script.sha, call)
            except NoScriptError:
                return await _reply(connection, "EVAL", call.script.text, call)
        finally:
            await self._pool.release(connection)


async def _reply(connection: Any, command: str, script: str, call: ScriptCall) -> Any:
    words: tuple[Any, ...] = (command, script, len(call.keys), *call.keys, *call.args)
    await connection.send_packed_command([pack_command(words)])
    return await connection.read_response()


@asynccontextmanager
async def kept_in_redis(way: Way, url: str) -> AsyncIterator[tuple[Limiter, Batched | Unbatched]]:
    """A limiter on this Redis, and what tells of its pipelines."""
    client = connect(url, timeout=_PATIENT)
    assert isinstance(client, Redis)
    client.connection_pool.max_connections = _CONNECTIONS
    limiter = RedisLimiter(client=client, timeout=_PATIENT)
    kind = Batched if way is Way.BATCHED else Unbatched
    limiter._scripts = scripts = kind(
        client=client, timeout=_PATIENT
    )  # the gateway itself knows one way only
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
