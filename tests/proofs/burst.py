"""What one worker does in `test_accuracy.py`: clients in a hurry, who keep what they ask and are told.

Redis goes by a clock of the test's own: each script that asks what time it is makes it later, by steps of
uneven length, and writes down who it was. So no two decisions are of one moment, and their order is known.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.limits.amounts import Amounts
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Charged, Grant, Hold, More, Refusal, Spent
from gateway.limits.redis.limiter import RedisLimiter
from tests.proofs.limiter import limiter_at
from tests.support.clock import ManualClock

CLIENTS: Final = 50
"""Of each worker."""
LEASE: Final = 20.0
TIME, PACE, PAUSE, ORDER = "{clock}", "{clock}:pace", "{clock}:pause", "{clock}:order"
"""Keys: the microsecond it is; so many pass between two decisions, at most; and so many more before each
199th; and a line for each decision, whose it is and when it was."""

CLOCK: Final = f"""
local function now_us()
  local now = tonumber(redis.call('GET', '{TIME}'))
  now = now + 1 + now % 1000003 * 31 % tonumber(redis.call('GET', '{PACE}'))
  if now % 199 == 0 then now = now + tonumber(redis.call('GET', '{PAUSE}')) end
  redis.call('SET', '{TIME}', string.format('%.0f', now))
  redis.call('RPUSH', '{ORDER}', ARGV[1], string.format('%.0f', now))
  return now
end

-- Redis' own time, by which keys end, is another: so here none does.
local real = redis
local redis = {{}}
function redis.call(command, ...)
  local words = {{ ... }}
  if command == 'PEXPIRE' then return 1 end
  if command == 'SET' and words[3] == 'PX' then return real.call(command, words[1], words[2]) end
  return real.call(command, ...)
end
"""

MODELS: Final = "small", "large"


@dataclass(frozen=True)
class Burst:
    """What a worker is told."""

    url: str
    policies: Sequence[Policy]
    decisions: int
    now: float
    """What this replica takes for the time, in seconds. Its clock is not Redis'."""
    pace: float
    """Seconds by which that is later after each decision."""
    seed: str


class Reserved(NamedTuple):
    hold: Hold
    refusal: Refusal | None


class Extended(NamedTuple):
    hold: Hold
    amounts: tuple[int, ...]
    exhausted: str | None
    """The bucket of the budget that had no more room."""


class Settled(NamedTuple):
    hold: Hold
    amounts: tuple[int, ...]
    charged: Sequence[Charged]


Act = Reserved | Extended | Settled


def callers(policy: Policy) -> list[Principal]:
    """Who draws on a team's limits."""
    names = [f"{policy.team}-{number}" for number in range(3)]
    return [Principal(subject=name, team=policy.team, key_id=name, key_name=name) for name in names]


async def burst(part: Burst) -> list[Act]:
    """All that the clients of this worker did; for each exchange in the order in which they did it."""
    async with limiter_at(part.url, lease=LEASE, clock=CLOCK) as limiter:
        worker = _Worker(part, limiter)
        await asyncio.gather(*(worker.client() for _ in range(CLIENTS)))
        return worker.acts


@dataclass
class _Worker:
    part: Burst
    limiter: RedisLimiter
    acts: list[Act] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self._chance = Random(self.part.seed)
        self._clock = ManualClock(self.part.now)
        self._demands = Demands(clock=self._clock)

    async def client(self) -> None:
        while self.asked < self.part.decisions:
            hold = self._hold()
            decision = await self.limiter.reserve(hold)
            self.acts.append(Reserved(hold, decision if isinstance(decision, Refusal) else None))
            if isinstance(decision, Grant):
                await self._run(hold)
            elif not isinstance(decision, Refusal):
                raise RuntimeError("all budgets are loaded")

    def _hold(self) -> Hold:
        chance = self._chance
        self._count()
        policy = chance.choice(self.part.policies)
        principal, model = chance.choice(callers(policy)), chance.choice(MODELS)
        expected = _amounts(chance, chance.choice([1, 10, 100, 1000]))
        demands = self._demands.of(principal, policy, model, expected)
        return Hold(f"ex_{self.part.seed}_{self.asked}", demands)

    async def _run(self, hold: Hold) -> None:
        chance = self._chance
        for _ in range(chance.choice([0, 0, 3, 20])):
            await asyncio.sleep(0)
        if chance.random() < 0.2 and self.asked < self.part.decisions:
            self._count()
            more = _of_each(hold, _amounts(chance, 50)._replace(requests=0))
            (exhausted,) = await self.limiter.extend([More(hold, more)])
            self.acts.append(Extended(hold, more, exhausted.bucket if exhausted else None))
        if chance.random() < 0.01:
            return  # it has died: what it held is free once its lease has ended
        spent = _of_each(hold, _amounts(chance, chance.choice([1, 50, 500])))
        charged = await self.limiter.settle([Spent(hold, spent)])
        self.acts.append(Settled(hold, spent, charged))

    def _count(self) -> None:
        self.asked += 1
        self._clock.advance(self.part.pace)


def _amounts(chance: Random, most: int) -> Amounts:
    given, taken = chance.randint(0, most), chance.randint(0, most)
    return Amounts(1, given + taken, given, taken, dollars=given + 4 * taken, concurrent=1)


def _of_each(hold: Hold, amounts: Amounts) -> tuple[int, ...]:
    return tuple(getattr(amounts, demand.limit.counts) for demand in hold.demands)
