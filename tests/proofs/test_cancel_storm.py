"""Clients that leave while Redis is asked for them: nobody gets another's answer, and nothing stays held.

Each client has a bucket to itself and a cost that nobody else has, so the level that it is told is its own
and no other's. Budgets and slots it shares with the clients of its team.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.background import Background
from gateway.core.clock import SystemClock
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.amounts import NOTHING, Amounts
from gateway.limits.bucket import MICRO
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Charged, Look
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from tests.proofs.limiter import PATIENT, limiter_at
from tests.support.log import Log
from tests.support.memory import FreshLoader
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(300)

LEAVING, STAYING = 400, 100
"""Clients of a wave: all are there at once."""
PATIENCE = [3000, 5, 300, 50]
"""Turns of the event loop after which the last of a wave has left. In every second one Redis stands still."""
TEAMS = 10
MONTH = 31 * 86_400.0
LEASE = 3600.0
"""Longer than the storm, so that what is left behind does not end by itself."""


class State(Enum):
    """How far a client came."""

    ASKING = "asking"
    HOLDING = "holding"
    REFUSED = "refused"
    LEFT_ASKING = "left asking"
    LEFT_HOLDING = "left holding"
    SERVED = "served"


@dataclass(eq=False)
class Client:
    number: int
    policy: Policy
    leaves_after: int | None
    """So many turns of the event loop; None: it stays."""
    state: State = State.ASKING
    spent: Amounts = NOTHING

    @property
    def has_left(self) -> bool:
        return self.state in (State.LEFT_ASKING, State.LEFT_HOLDING)

    @property
    def principal(self) -> Principal:
        name = f"client-{self.number}"
        return Principal(subject=name, team=self.policy.team, key_id=name, key_name=name)

    @property
    def cost(self) -> int:
        """Tokens: another's is another."""
        return self.number + 1

    async def run(self, reservations: Reservations) -> None:
        expected = Amounts(1, self.cost, dollars=1000, concurrent=1)
        try:
            with await reservations.reserve(
                f"ex_{self.number}", self.principal, self.policy, None, expected
            ) as reservation:
                self.was_told(reservation)
                await self._spend(reservation)
        except asyncio.CancelledError:
            self.state = State.LEFT_HOLDING if self.state is State.HOLDING else State.LEFT_ASKING
            raise

    def was_told(self, reservation: Reservation) -> None:
        """Nothing but what is left of a bucket that nobody else draws on."""
        (standing,) = reservation.standings
        (tag, _) = self.policy.limits
        refused = reservation.hold is None
        assert (standing.limit, standing.amount) == (tag.name, tag.amount)
        assert standing.remaining == tag.burst - (0 if refused else self.cost)
        self.state = State.REFUSED if refused else State.HOLDING

    async def _spend(self, reservation: Reservation) -> None:
        if self.state is State.REFUSED:
            return
        chance = Random(self.number)
        try:
            for _ in range(chance.choice([0, 10, 1000])):
                await asyncio.sleep(0)
            self.state = State.SERVED
        finally:
            self.spent = Amounts(1, self.cost, dollars=chance.randint(0, 1000), concurrent=1)
            reservation.settle(self.spent)


@dataclass
class Storm:
    """A gateway's reservations, on a Redis that may be stopped for a while."""

    server: RedisServer
    background: Background
    reservations: Reservations
    log: Log
    leaked: list[str] = field(default_factory=list)
    charged: list[Charged] = field(default_factory=list)

    async def wave(self, clients: Sequence[Client], *, freeze: bool) -> None:
        """All come at once; those that leave are gone when it ends, and the others served."""
        if freeze:
            self.server.freeze()
        tasks = [asyncio.create_task(client.run(self.reservations)) for client in clients]
        leaving = defaultdict(list)
        for client, task in zip(clients, tasks, strict=True):
            if client.leaves_after is not None:
                leaving[client.leaves_after].append(task)
        for turn in range(max(leaving) + 1):
            for task in leaving.get(turn, ()):
                task.cancel()
            await asyncio.sleep(0)
        if freeze:
            self.server.thaw()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [each for each in outcomes if each and not isinstance(each, asyncio.CancelledError)]
        assert failed == []


@pytest.fixture
async def storm(redis_server: RedisServer) -> AsyncIterator[Storm]:
    log, clock = Log(), SystemClock()
    background = Background(log=log.logger)
    client = connect(redis_server.url, timeout=PATIENT)
    limiter = RedisLimiter(client=client, lease=LEASE, timeout=PATIENT)
    leaked: list[str] = []
    charged: list[Charged] = []
    reservations = Reservations(
        limiter=limiter,
        loader=FreshLoader(limiter),
        demands=Demands(clock=clock),
        refusals=RecentRefusals(clock=clock),
        hand_over=background.hand_over,
        on_leak=leaked.append,
        on_charged=charged.extend,
    )
    background.loop("redis", limiter.run)
    background.start()
    yield Storm(redis_server, background, reservations, log, leaked, charged)
    await background.stop()
    await limiter.close()


async def test_who_leaves_takes_nothing_along_and_leaves_nothing_behind(
    storm: Storm, redis: Redis, redis_server: RedisServer, full: bool, record_property: Any
) -> None:
    policies = [policy_of(number) for number in range(TEAMS)]
    clients: list[Client] = []
    before = await connections(redis)
    for number in count():
        wave = wave_of(policies, number)
        await storm.wave(wave, freeze=number % 2 == 1)
        clients += wave
        if sum(client.has_left for client in clients) >= (20_000 if full else 2_000):
            break
    await storm.background.stop(drain_seconds=PATIENT)
    made = await connections(redis) - before
    counts = {state: sum(client.state is state for client in clients) for state in State}
    record_property("clients that left", sum(client.has_left for client in clients))
    record_property("… while Redis was asked", counts[State.LEFT_ASKING])
    record_property("clients that were served", counts[State.SERVED])
    record_property("clients that were refused", counts[State.REFUSED])
    record_property("connections", made)
    assert counts[State.ASKING] == counts[State.HOLDING] == 0
    assert counts[State.LEFT_ASKING] > len(clients) / 3
    assert min(counts[State.LEFT_HOLDING], counts[State.SERVED], counts[State.REFUSED]) > 0
    assert (storm.leaked, storm.log.lines, storm.background.dropped) == ([], [], 0)
    assert made == 1
    for policy in policies:
        own = [client for client in clients if client.policy is policy]
        await check(redis_server, policy, own, storm.charged)


def wave_of(policies: Sequence[Policy], number: int) -> list[Client]:
    chance, first, longest = Random(number), number * (LEAVING + STAYING), PATIENCE[number % len(PATIENCE)]
    leaves: list[int | None] = [1 + chance.randrange(longest) for _ in range(LEAVING)] + [None] * STAYING
    chance.shuffle(leaves)
    return [Client(first + each, chance.choice(policies), after) for each, after in enumerate(leaves)]


def policy_of(number: int) -> Policy:
    """No two teams have one number in common."""
    tag = Limit("tag", Counted.TOKENS, (Scope.USER,), number + 1, MONTH, 10**8 + number * 10**6)
    slots = Limit("slots", Counted.CONCURRENT, (Scope.TEAM,), 10 + number)
    budget = Budget("dollars", Counted.DOLLARS, (Scope.TEAM,), 10**9 + number, Period.MONTH, "Asia/Kathmandu")
    return Policy(
        team=f"team-{number}",
        version="1",
        catalogue=Catalogue({}),
        limits=(tag, slots),
        budgets=(budget,),
    )


async def check(
    redis_server: RedisServer, policy: Policy, clients: Sequence[Client], charged: Sequence[Charged]
) -> None:
    """What a team's buckets owe, count and hold is what its clients have spent, and nothing else."""
    demands = Demands(clock=SystemClock())
    wanted = [demands.of(client.principal, policy, None, NOTHING) for client in clients]
    _, slots, budget = wanted[0]
    spent = sum(client.spent.dollars for client in clients)
    async with limiter_at(redis_server.url) as limiter:
        assert await limiter.look([slots, budget]) == [Look(0), Look(spent, spent)]
        owed = await limiter.look([tag for tag, *_ in wanted])
    assert [round(look.level / MICRO) for look in owed] == [client.spent.tokens for client in clients]
    pairs = sorted((before, after) for demand, before, after in charged if demand.bucket == budget.bucket)
    assert [before for before, _ in pairs] == [0, *(after for _, after in pairs)][:-1]


async def connections(redis: Redis) -> int:
    """That were ever made."""
    return int((await redis.info("stats"))["total_connections_received"])
