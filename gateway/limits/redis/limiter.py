"""Limits that all replicas share, kept in Redis. Decides as `memory/` does, by Redis' own clock.

What is decided together is one script, so it happens wholly or not at all. All that one exchange draws on
shares its hash tag. The words in which scripts are told of demands are those of `demand.lua`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from secrets import token_hex
from typing import Any, Final

from gateway.core.decision import Mode
from gateway.core.spending import Spending
from gateway.limits.bucket import MICRO, Rate
from gateway.limits.demands import name_of
from gateway.limits.interfaces import (
    LOAD,
    MOST_SHOWN,
    Charged,
    Demand,
    Grant,
    Hold,
    Holder,
    Look,
    More,
    Pulse,
    Refusal,
    Share,
    Spent,
    Unloaded,
)
from gateway.limits.redis.connect import TIMEOUT, Client, keys_of
from gateway.limits.redis.scripts import Script, ScriptCall, Scripts
from gateway.limits.verdict import judge

CLOCK: Final = Script.of("clock.lua").text

_SENT_TOGETHER: Final = 32
"""Calls that share one deadline. A thousand would miss it by their number alone."""
_LEASES: Final = ":leases"


class RedisLimiter:
    """A RemoteLimiter. `run` must be kept going while it is used."""

    def __init__(
        self,
        *,
        client: Client,
        lease: float = 12.0,
        slice_lease: float = 600.0,
        keep: float = 3600.0,
        forget: float = 60.0,
        keep_alive: float = 5.0,
        timeout: float = TIMEOUT,
        clock: str = CLOCK,
    ) -> None:
        """Seconds: `lease`, `slice_lease`, `keep` and `forget` as in MemoryLimiter; `keep_alive`, for which a
        replica counts after each beat; `timeout`, the longest wait for an answer. `clock`: what stands for
        clock.lua."""
        self._client = client
        self._timeout = timeout
        self._scripts = Scripts(client=client, timeout=timeout)
        self._lease_us = str(int(lease * MICRO))
        self._slice_lease_us = str(int(slice_lease * MICRO))
        self._keep_ms = str(int(keep * 1000))
        self._forget_ms = str(int(forget * 1000))
        self._keep_alive_us = str(int(keep_alive * MICRO))
        self._word: bytes | None = None
        """What Redis said in the last beat. It says something else once it has lost everything."""
        parts = clock, Script.of("bucket.lua", "demand.lua", "budget.lua").text
        self._reserve = _script(*parts, "reserve.lua")
        self._extend = _script(*parts, "extend.lua")
        self._settle = _script(*parts, "settle.lua")
        self._renew = _script(*parts, "renew.lua")
        self._load = _script(*parts, "load.lua")
        self._look = _script(*parts, "look.lua")
        self._restore = _script(*parts, "restore.lua")
        self._beat = _script(clock, "beat.lua")
        self._probe = Script.of("probe.lua")

    async def run(self) -> None:
        """Carry the calls. Never returns; to be run in the background."""
        await self._scripts.run()

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        (reply,) = await self._scripts.call(self._call_with_lease(self._reserve, hold))
        return judge(hold.demands, reply[0::2], reply[1::2])

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        replies = await self._send([self._extension(more) for more in mores])
        return [
            more.hold.demands[number - 1] if number else None
            for more, number in zip(mores, replies, strict=True)
        ]

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        replies = await self._send([self._settlement(spent) for spent in spents])
        return [
            Charged(spent.hold.demands[number - 1], before, after)
            for spent, reply in zip(spents, replies, strict=True)
            for number, before, after in zip(reply[0::3], reply[1::3], reply[2::3], strict=True)
        ]

    async def renew(self, holds: Sequence[Hold]) -> None:
        leased = [hold for hold in holds if any(demand.rate is None for demand in hold.demands)]
        await self._send([self._call_with_lease(self._renew, hold) for hold in leased])

    async def load(self, demand: Demand, spending: Spending) -> None:
        spent, under_way = spending
        keys = _kept_in(demand)
        if under_way and under_way[0].exchange_id.startswith(LOAD):
            keys = *keys, _record(demand.bucket, under_way[0].exchange_id)
        args = [_words(demand, 0), self._forget_ms, str(spent), self._lease_us]
        args += chain.from_iterable((each.exchange_id, str(each.amount)) for each in under_way)
        await self._scripts.call(ScriptCall(self._load, keys, args))

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        most = str(MOST_SHOWN)
        calls = [ScriptCall(self._look, _kept_in(demand), (_words(demand, 0), most)) for demand in demands]
        return [_look_of(reply) for reply in await self._send(calls)]

    async def buckets(self, tag: str) -> Sequence[str]:
        return [key for key in await keys_of(self._client, tag, timeout=self._timeout) if name_of(key)]

    async def probe(self) -> None:
        await self._scripts.call(ScriptCall(self._probe, ("gateway:probe",), ()))

    async def beat(self, replica: str) -> Pulse:
        keys = "{gateway}:replicas", "{gateway}:alive"
        args = replica, self._keep_alive_us, token_hex(8)
        (reply,) = await self._scripts.call(ScriptCall(self._beat, keys, args))
        rank, of, word, now = reply
        known, self._word = self._word, word
        return Pulse(Share(rank, of), known not in (None, word), now / MICRO)

    async def restore(self, debts: Sequence[tuple[Demand, int]]) -> None:
        calls = [
            ScriptCall(self._restore, (bucket,), (_words_of_rate(rate, debt, limit.mode),))
            for (limit, bucket, _, rate, _), debt in debts
            if rate is not None
        ]
        await self._send(calls)

    async def _send(self, calls: Sequence[ScriptCall]) -> list[Any]:
        replies: list[Any] = []
        for together in _portions(calls):
            replies += await self._scripts.call(*together)
        return replies

    def _call_with_lease(self, script: Script, hold: Hold, *more: str) -> ScriptCall:
        wanted = [_words(demand, demand.cost) for demand in hold.demands]
        lease_us = self._slice_lease_us if hold.slice else self._lease_us
        return ScriptCall(script, _keys(hold), [hold.exchange_id, lease_us, self._keep_ms, *wanted, *more])

    def _extension(self, more: More) -> ScriptCall:
        amounts = [
            str(amount if demand.rate is None else amount * MICRO)
            for demand, amount in zip(more.hold.demands, more.amounts, strict=True)
        ]
        return self._call_with_lease(self._extend, more.hold, *amounts)

    def _settlement(self, spent: Spent) -> ScriptCall:
        hold = spent.hold
        words = map(_words, hold.demands, spent.amounts)
        return ScriptCall(self._settle, _keys(hold), [hold.exchange_id, self._forget_ms, *words])


def _script(*texts_and_file: str) -> Script:
    *texts, file = texts_and_file
    return Script("\n".join([*texts, Script.of(file).text]))


def _keys(hold: Hold) -> list[str]:
    """The exchange's record, the demands' buckets, and the leases of those that are budgets."""
    demands = hold.demands
    keys = [_record(demands[0].bucket, hold.exchange_id)]
    keys += [demand.bucket for demand in demands]
    keys += [demand.bucket + _LEASES for demand in demands if demand.window is not None]
    return keys


def _record(bucket: str, exchange_id: str) -> str:
    """Where something is remembered of an exchange, or a load, beside this bucket."""
    tag = bucket.partition("}")[0]
    return f"{tag}}}:exchange:{exchange_id}"


def _kept_in(demand: Demand) -> tuple[str, ...]:
    bucket = demand.bucket
    return (bucket,) if demand.window is None else (bucket, bucket + _LEASES)


def _words(demand: Demand, amount: int) -> str:
    """As demand.lua reads them, with this amount in the place of the cost."""
    limit, _, _, rate, window = demand
    if rate is not None:
        return _words_of_rate(rate, amount * MICRO, limit.mode)
    if window is not None:
        (last, this, following, after), most = window
        return f"budget {amount} {most} {last} {this} {following} {after} {limit.mode}"
    return f"slot {limit.amount} {limit.mode}"


def _words_of_rate(rate: Rate, micro: int, mode: Mode) -> str:
    return f"rate {micro} {rate.size} {rate.gain} {rate.per} {mode}"


def _look_of(reply: Sequence[Any]) -> Look:
    level, spent, set_aside, loaded, *rest = reply
    holders = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    return Look(
        level,
        spent,
        set_aside,
        loaded == 1,
        tuple(Holder(holder.decode(), amount, left_us / MICRO) for holder, amount, left_us in holders),
    )


def _portions(calls: Sequence[ScriptCall]) -> Iterator[Sequence[ScriptCall]]:
    for at in range(0, len(calls), _SENT_TOGETHER):
        yield calls[at : at + _SENT_TOGETHER]
