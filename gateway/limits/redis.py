"""Limits that all replicas share, kept in Redis. Decides as `memory.py` does, by Redis' own clock.

What is decided together is one script, so it happens wholly or not at all. A team's keys share its hash tag.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.limits.bucket import MICRO
from gateway.limits.interfaces import Demand, Grant, Hold, Refusal, Spent
from gateway.limits.scripts import Script, ScriptCall, Scripts
from gateway.limits.verdict import judge

TIMEOUT: Final = 0.1
"""Seconds."""

_RESERVE: Final = Script.of("bucket.lua", "reserve.lua")
_SETTLE: Final = Script.of("bucket.lua", "settle.lua")
_RENEW: Final = Script.of("renew.lua")
_PROBE: Final = Script.of("probe.lua")

_SETTLED_TOGETHER: Final = 32
"""Settlements that share one deadline. A thousand would miss it by their number alone."""


def connect(url: str, *, timeout: float = TIMEOUT) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; it connects when first used. Raises ValueError.

    Without retries, since a script whose reply was lost has perhaps been run. With RESP2, in which nothing
    comes unasked: a connection with something to read is known to be spoilt, and not used again. Without a
    time-out of its own for commands: for that it uses a `wait_for` that can swallow a cancellation (Python
    3.11), so whoever uses it sets the deadline, as Scripts does.
    """
    return Redis.from_url(
        url, socket_connect_timeout=timeout, socket_timeout=None, retry=Retry(NoBackoff(), 0), protocol=2
    )


class RedisLimiter:
    """A RemoteLimiter. `run` must be kept going while it is used."""

    def __init__(
        self,
        *,
        client: Redis,
        lease: float = 60.0,
        keep: float = 3600.0,
        forget: float = 60.0,
        timeout: float = TIMEOUT,
    ) -> None:
        """Seconds: `lease`, `keep` and `forget` as in MemoryLimiter; `timeout`, the longest wait for an
        answer."""
        self._client = client
        self._scripts = Scripts(client=client, timeout=timeout)
        self._lease_us = str(int(lease * MICRO))
        self._keep_ms = str(int(keep * 1000))
        self._forget_ms = str(int(forget * 1000))

    async def run(self) -> None:
        """Carry the calls. Never returns; to be run in the background."""
        await self._scripts.run()

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        args = [hold.exchange_id, self._lease_us, self._keep_ms, *map(_wanted, hold.demands)]
        (reply,) = await self._scripts.call(ScriptCall(_RESERVE, _keys(hold, hold.demands), args))
        return judge(hold.demands, [fits == 1 for fits in reply[1::2]], reply[2::2])

    async def settle(self, spents: Sequence[Spent]) -> None:
        calls = [self._settlement(spent) for spent in spents]
        for together in _portions(calls):
            await self._scripts.call(*together)

    async def renew(self, holds: Sequence[Hold]) -> None:
        calls = [call for hold in holds if (call := self._renewal(hold)) is not None]
        for together in _portions(calls):
            await self._scripts.call(*together)

    async def probe(self) -> None:
        await self._scripts.call(ScriptCall(_PROBE, ("gateway:probe",), ()))

    def _settlement(self, spent: Spent) -> ScriptCall:
        hold = spent.hold
        args = [hold.exchange_id, self._forget_ms, *map(_spent, hold.demands, spent.amounts)]
        return ScriptCall(_SETTLE, _keys(hold, hold.demands), args)

    def _renewal(self, hold: Hold) -> ScriptCall | None:
        slots = [demand for demand in hold.demands if demand.rate is None]
        if not slots:
            return None
        return ScriptCall(_RENEW, _keys(hold, slots), (hold.exchange_id, self._lease_us, self._keep_ms))


def _keys(hold: Hold, demands: Sequence[Demand]) -> list[str]:
    """The exchange's record, and the demands' buckets."""
    team = demands[0].bucket.partition("}")[0]
    return [f"{team}}}:exchange:{hold.exchange_id}", *(demand.bucket for demand in demands)]


def _wanted(demand: Demand) -> str:
    """As reserve.lua reads it."""
    limit, rate = demand.limit, demand.rate
    if rate is None:
        return f"slot 1 {limit.amount} 0 0 {limit.mode}"
    return f"rate {demand.cost * MICRO} {rate.size} {rate.gain} {rate.per} {limit.mode}"


def _spent(demand: Demand, amount: int) -> str:
    """As settle.lua reads it."""
    rate = demand.rate
    return "slot 0 0 0" if rate is None else f"rate {amount * MICRO} {rate.gain} {rate.per}"


def _portions(calls: Sequence[ScriptCall]) -> Iterator[Sequence[ScriptCall]]:
    for at in range(0, len(calls), _SETTLED_TOGETHER):
        yield calls[at : at + _SETTLED_TOGETHER]
