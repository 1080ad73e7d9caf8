"""A limiter of a worker's own, on the Redis that all workers share; and a budget from the beginning."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from gateway.core.spending import Spending
from gateway.limits.interfaces import Demand
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import CLOCK, RedisLimiter

PATIENT = 30.0
"""Seconds to wait for Redis, on a machine that may be busy: what becomes of time-outs is proved elsewhere."""


@asynccontextmanager
async def limiter_at(url: str, *, lease: float = 60.0, clock: str = CLOCK) -> AsyncIterator[RedisLimiter]:
    """A limiter whose loop is running. `lease` in seconds, `clock` as in RedisLimiter."""
    client = connect(url, timeout=PATIENT)
    limiter = RedisLimiter(client=client, lease=lease, timeout=PATIENT, clock=clock)
    loop = asyncio.create_task(limiter.run())
    try:
        yield limiter
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await client.aclose()


async def begin(limiter: RedisLimiter, demands: Sequence[Demand], spent: int = 0) -> None:
    """Load those that are budgets. `spent`: what the ledger says."""
    for demand in demands:
        if demand.window is not None:
            await limiter.load(demand, Spending(spent))
