"""What one worker does in `test_races.py`: clients that reserve, spend and settle until a budget is used up.

They tell what they have seen by their own watch, whose time all processes of a machine share: what is held
counts from the moment at which its grant has arrived to the one at which its settlement is sent. In the store
that lasts longer; so whatever the clients add up to, the store has had at the same moment, or more.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from time import monotonic_ns
from typing import NamedTuple

from gateway.core.clock import SystemClock
from gateway.core.policy import Counted, Policy
from gateway.core.principal import Principal
from gateway.limits.amounts import Amounts
from gateway.limits.bucket import MICRO
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Demand, Grant, Hold, More, Refusal, Spent, Unloaded
from gateway.limits.redis.limiter import RedisLimiter
from tests.proofs.limiter import begin, limiter_at

CLIENTS = 50
"""Of each worker."""
REFUSED_OFTEN = 3
"""So often a client is refused by the budget before it leaves."""
MOST_SECONDS = 45.0
"""That a round may take; it takes about one."""


@dataclass(frozen=True)
class Part:
    """What a worker is told."""

    url: str
    policy: Policy
    most: int
    """The most that one exchange may cost, in micro-dollars."""
    strict: bool
    """Whether the bound is held and any of it may be spent; otherwise what is held grows."""
    seed: str


class Moment(NamedTuple):
    """When a client knew of more, or less, that is held or spent."""

    at: int
    """Nanoseconds."""
    dollars: int
    """Micro-dollars."""
    slots: int = 0


class Met(NamedTuple):
    """A refusal: what did not fit, in the limit's own numbers."""

    counts: Counted
    level: int
    cost: int
    most: int


@dataclass
class Told:
    """What the clients of one worker have seen."""

    moments: list[Moment] = field(default_factory=list)
    refusals: list[Met] = field(default_factory=list)
    charged: list[tuple[int, int]] = field(default_factory=list)
    """What was spent of the budget before and after each settlement."""
    settled: int = 0
    """Micro-dollars."""
    exchanges: int = 0
    outgrown: int = 0
    """Exchanges that wanted to hold more than there was room for."""


class Wish(NamedTuple):
    """What a client is going to do."""

    expected: Amounts
    bound: Amounts
    spends: float
    """This part of what is held."""
    turns: int
    """Of the event loop, for which it is under way."""
    grows: int
    """How often it turns out to cost more."""


async def race(part: Part) -> Told:
    """Let all clients of this worker run until none of them gets anything any more. Raises TimeoutError when
    they cannot, since slots are never free again."""
    told, demands = Told(), Demands(clock=SystemClock())
    async with limiter_at(part.url) as limiter, asyncio.timeout(MOST_SECONDS):
        clients = [_Client(part, number, limiter, demands, told) for number in range(CLIENTS)]
        await asyncio.gather(*(client.run() for client in clients))
    return told


class _Client:
    def __init__(self, part: Part, number: int, limiter: RedisLimiter, demands: Demands, told: Told) -> None:
        name, team = f"user-{number % 8}", part.policy.team
        self._part = part
        self._principal = Principal(subject=name, team=team, key_id=f"k-{name}", key_name=name)
        self._name = f"ex_{part.seed}_{number}"
        self._chance = Random(self._name)
        self._limiter = limiter
        self._demands = demands
        self._told = told

    async def run(self) -> None:
        refused = exchanges = 0
        wish = self._wish()
        while refused < REFUSED_OFTEN:
            hold = self._hold(f"{self._name}_{exchanges}", wish)
            match await self._limiter.reserve(hold):
                case Grant():
                    await self._spend(hold, wish)
                case Unloaded(unloaded):
                    await begin(self._limiter, unloaded)
                    continue
                case Refusal() as refusal:
                    self._told.refusals.append(met := _met(refusal))
                    if met.counts is not Counted.DOLLARS:
                        continue  # a slot, or a rate: soon there is room
                    refused += 1
            exchanges, wish = exchanges + 1, self._wish()

    def _wish(self) -> Wish:
        chance, strict = self._chance, self._part.strict
        most = round(self._part.most ** chance.random())  # small ones too: they find the last gap
        dollars = chance.randint(0, most) if strict else most
        return Wish(
            Amounts(1, 40, 30, 10, dollars=dollars, concurrent=1),
            Amounts(1, 80, 30, 50, dollars=most, concurrent=1),
            spends=chance.choice([1.0, chance.random()]),
            turns=chance.randrange(12),
            grows=0 if strict else chance.choice([0, 0, 1, 2]),
        )

    def _hold(self, exchange_id: str, wish: Wish) -> Hold:
        demands = self._demands.of(self._principal, self._part.policy, None, wish.expected, wish.bound)
        return Hold(exchange_id, demands)

    async def _spend(self, hold: Hold, wish: Wish) -> None:
        told = self._told
        held = wish.bound.dollars if self._part.strict else wish.expected.dollars
        told.moments.append(Moment(monotonic_ns(), held, 1))
        for _ in range(wish.grows):
            held += await self._grow(hold, wish.expected.dollars)
        for _ in range(wish.turns):
            await asyncio.sleep(0)
        spent = round(held * wish.spends)
        amounts = wish.expected._replace(dollars=spent)
        told.moments.append(Moment(monotonic_ns(), spent - held, -1))
        charged = await self._limiter.settle([Spent(hold, _of_each(hold, amounts))])
        told.charged += [(before, after) for _, before, after in charged]
        told.settled += spent
        told.exchanges += 1

    async def _grow(self, hold: Hold, dollars: int) -> int:
        """What is held beyond; 0 when there was no room."""
        amounts = _of_each(hold, Amounts(tokens=5, dollars=dollars))
        (exhausted,) = await self._limiter.extend([More(hold, amounts)])
        if exhausted is not None:
            self._told.outgrown += 1
            return 0
        self._told.moments.append(Moment(monotonic_ns(), dollars))
        return dollars


def _of_each(hold: Hold, amounts: Amounts) -> tuple[int, ...]:
    return tuple(getattr(amounts, demand.limit.counts) for demand in hold.demands)


def _met(refusal: Refusal) -> Met:
    demand = refusal.demand
    return Met(demand.limit.counts, refusal.level, *_cost_and_most(demand))


def _cost_and_most(demand: Demand) -> tuple[int, int]:
    if demand.rate is not None:
        return demand.cost * MICRO, demand.rate.size
    return demand.cost, demand.window.amount if demand.window is not None else demand.limit.amount
