"""What the fault suite puts replicas through, and what is seen of it: a load that never rests, and its watch.

Every kind of limit is at its edge all the time: the rate is refused more often than granted, all slots are
taken, money is spent. What clients were granted counts by their own watch, from the moment at which they ask
to the one at which they know; in the store it was in between.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Final, NamedTuple

from gateway.core.clock import SystemClock
from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Budget, Catalogue, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.amounts import NOTHING, Amounts
from gateway.limits.away.slices import PART
from gateway.limits.bucket import MICRO
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Demand, Limiter, Look
from gateway.limits.reservation import Reservation
from tests.support.eventually import eventually
from tests.support.replicas import Replica, TeamBooks

REPLICAS: Final = 3

SIZE, GAIN, COST = 1000, 250, 10
"""Tokens: of the bucket, paid back in a second, of one exchange."""
SLOTS: Final = 11
PARTS: Final = 4, 4, 3
"""Of each replica, while it is alone."""
DOLLARS, PRICE = 120_000, 200
"""Micro-dollars: of the budget, of one exchange at most."""
SLICE: Final = DOLLARS // (PART * REPLICAS)

_PACED, _STREAM, _PAID = "paced", "stream", "paid"
"""Models: each is counted by one limit …"""
_SESSION: Final = "session"
"""… but for this one, which takes a slot and money."""
_THINKS: Final = 0.02
_RUNS: Final = 0.03
_SPENDS: Final = 10.0
"""Seconds: for which a client does nothing; for which an exchange runs; in which all money can be spent."""


def policy_of(team: str, *, ample: bool = False) -> Policy:
    """One limit of each kind. In Kathmandu a month does not begin at an hour at which builds run."""
    more = 1000 if ample else 1
    tokens = Limit("tokens", Counted.TOKENS, (Scope.TEAM,), GAIN * more, 1.0, SIZE * more, models=(_PACED,))
    slots = Limit("slots", Counted.CONCURRENT, (Scope.TEAM,), SLOTS * more, models=(_STREAM, _SESSION))
    month = partial(Budget, per=(Scope.TEAM,), period=Period.MONTH, zone="Asia/Kathmandu")
    money = month(
        name="money", counts=Counted.DOLLARS, amount=DOLLARS * more, strict=True, models=(_PAID, _SESSION)
    )
    requests = month(name="requests", counts=Counted.REQUESTS, amount=100, mode=Mode.WARN)
    return Policy(
        team=team,
        version="1",
        catalogue=Catalogue({}),
        limits=(tokens, slots),
        budgets=(money, requests),
    )


class Admission(NamedTuple):
    """Tokens that were let through at some moment between these two."""

    asked: float
    told: float
    tokens: int


class Refused(NamedTuple):
    at: float
    replica: int
    code: ErrorCode


class Slot(NamedTuple):
    """One was given."""

    asked: float
    told: float
    replica: int
    own: int
    """That this replica's exchanges have since …"""
    all: int
    """… and those of all."""


class Wait(NamedTuple):
    """For a decision."""

    began: float
    seconds: float
    replica: int


@dataclass(eq=False)
class Exchange:
    """One that was granted and is not settled."""

    id: str
    replica: Replica
    model: str
    expected: Amounts
    reservation: Reservation = field(repr=False)
    alone: bool
    """Whether its replica had taken Redis for away."""


class Looks(NamedTuple):
    """What Redis knows of each limit."""

    tokens: Look
    slots: Look
    money: Look
    requests: Look


UNSEEN: Final = Looks(*[Look(0, loaded=False)] * 4)


@dataclass
class Load:
    """Clients of all replicas, and what they have seen."""

    replicas: Sequence[Replica]
    policy: Policy
    books: TeamBooks
    admissions: list[Admission] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    live: dict[str, Exchange] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    most_money: int = 0
    """That was spent and held at once."""
    spent_alone: list[int] = field(default_factory=lambda: [0] * REPLICAS)
    """Of money, by each replica."""
    sessions: list[Exchange] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    """When exchanges were."""

    def __post_init__(self) -> None:
        self._ids = count()
        self._clients: dict[Replica, list[asyncio.Future[None]]] = {}
        self._may_ask = asyncio.Event()
        self._asking = 0
        self._ended = False
        self._principal = Principal(subject="alice", team=self.policy.team, key_id="k", key_name="k")

    # Clients

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Clients ask from now on, until the block is left."""
        self._may_ask.set()
        acts = self._paced, self._paced, *[self._stream] * max(PARTS), self._paid
        for replica in self.replicas:
            self._clients[replica] = [asyncio.ensure_future(self._client(replica, act)) for act in acts]
        try:
            yield
            self._ended = True
            self._may_ask.set()
            for clients in self._clients.values():
                await asyncio.gather(*clients)
        finally:
            for replica in self.replicas:
                await self._send_away(replica)

    async def kill(self, replica: Replica) -> None:
        """End it with all that it had under way, of which nothing is settled."""
        await self._send_away(replica)
        await replica.die()
        self.live = {each.id: each for each in self.live.values() if each.replica is not replica}
        self.sessions = [each for each in self.sessions if each.replica is not replica]

    async def _send_away(self, replica: Replica) -> None:
        """Its clients."""
        clients = self._clients.pop(replica, [])
        for client in clients:
            client.cancel()
        for outcome in await asyncio.gather(*clients, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def rest(self) -> None:
        """Nobody asks any more, until `go_on`; nothing is under way but sessions."""
        self._may_ask.clear()
        await eventually(lambda: not self._asking and set(self.live) == {each.id for each in self.sessions})

    def go_on(self) -> None:
        self._may_ask.set()

    async def begin_session(self, replica: Replica) -> None:
        """An exchange that lasts, as soon as there is a slot for it."""
        await self._begin(replica, _SESSION, PRICE)

    async def begin_stream(self, replica: Replica) -> None:
        """One that costs no money."""
        await self._begin(replica, _STREAM, 0)

    async def _begin(self, replica: Replica, model: str, dollars: int) -> None:

        async def begin() -> Exchange | None:
            return await self.reserve(replica, model, Amounts(1, dollars=dollars, concurrent=1))

        self.sessions.append(await eventually(begin))

    def end_sessions(self) -> None:
        for exchange in self.sessions:
            self.settle(exchange, exchange.expected._replace(dollars=exchange.expected.dollars // 2))
        self.sessions.clear()

    async def drain_bucket(self) -> None:
        """Large exchanges take what there is of the rate."""
        tenth = Amounts(1, SIZE // 10)
        while (large := await self.reserve(self.replicas[0], _PACED, tenth)) is not None:
            self.settle(large, tenth)

    async def spend_all(self) -> None:
        """Of money, to the last exchange that fits: or as much as can be had in some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SPENDS):
                for price in (20 * PRICE, PRICE, PRICE // 4):
                    await self._spend_all(price)

    async def _spend_all(self, price: int) -> None:
        expected = Amounts(1, dollars=price)
        last: ErrorCode | None = None
        while last is not ErrorCode.INSUFFICIENT_QUOTA:
            exchange = await self.reserve(self.replicas[-1], _PAID, expected)
            if exchange is not None:
                self.settle(exchange, expected)
            else:
                last = self.refusals[-1].code
                await asyncio.sleep(_THINKS)  # until the others give back what they have set aside

    async def fill_slots(self) -> int:
        """How many can be had at once."""
        exchanges = []
        while exchange := await self.reserve(self.replicas[-1], _STREAM, Amounts(1, concurrent=1)):
            exchanges.append(exchange)
        for exchange in exchanges:
            self.settle(exchange, exchange.expected)
        return len(exchanges)

    def refused(self, code: ErrorCode, since: float) -> bool:
        """Whether every replica has refused somebody so."""
        found = {each.replica for each in self.refusals if each.code is code and each.at >= since}
        return len(found) == len(self.replicas)

    async def reserve(self, replica: Replica, model: str, expected: Amounts) -> Exchange | None:
        """None: refused."""
        exchange_id = f"ex-{self.policy.team}-{next(self._ids)}"
        asked, alone = monotonic(), replica.limiter.degraded
        reservation = await replica.reservations.reserve(
            exchange_id, self._principal, self.policy, model, expected
        )
        told = monotonic()
        self.waits.append(Wait(asked, told - asked, replica.number))
        if reservation.hold is None:
            self.refusals.append(Refused(told, replica.number, reservation.denials[0].code))
            return None
        self.books.admit(exchange_id, expected)
        exchange = Exchange(exchange_id, replica, model, expected, reservation, alone)
        self.live[exchange_id] = exchange
        if model == _PACED:
            self.admissions.append(Admission(asked, told, expected.tokens))
        if model in (_STREAM, _SESSION):
            taken = [each.replica for each in self.live_with(_STREAM, _SESSION)]
            self.slots.append(Slot(asked, told, replica.number, taken.count(replica), len(taken)))
        held = sum(each.expected.dollars for each in self.live_with(_PAID, _SESSION))
        self.most_money = max(self.most_money, self.books.settled.dollars + held)
        return exchange

    def settle(self, exchange: Exchange, spent: Amounts) -> None:
        if exchange.alone:
            self.spent_alone[exchange.replica.number] += spent.dollars
        del self.live[exchange.id]
        self.settled.append(monotonic())
        self.books.settle(exchange.id, spent)
        exchange.reservation.settle(spent)

    def live_with(self, *models: str) -> list[Exchange]:
        return [each for each in self.live.values() if each.model in models]

    async def _client(self, replica: Replica, act: Callable[[Replica], Awaitable[None]]) -> None:
        while True:
            await self._may_ask.wait()
            if self._ended:
                return
            self._asking += 1
            try:
                await act(replica)
            finally:
                self._asking -= 1
            await asyncio.sleep(_THINKS)

    async def _paced(self, replica: Replica) -> None:
        exchange = await self.reserve(replica, _PACED, Amounts(1, COST))
        if exchange is not None:
            self.settle(exchange, exchange.expected)

    async def _stream(self, replica: Replica) -> None:
        exchange = await self.reserve(replica, _STREAM, Amounts(1, concurrent=1))
        if exchange is not None:
            await asyncio.sleep(_RUNS)
            self.settle(exchange, exchange.expected)

    async def _paid(self, replica: Replica) -> None:
        exchange = await self.reserve(replica, _PAID, Amounts(1, dollars=PRICE))
        if exchange is not None:
            await asyncio.sleep(_RUNS)
            self.settle(exchange, Amounts(1, dollars=PRICE * 3 // 4))

    # What Redis says

    async def looks(self, truth: Limiter) -> Looks:
        async def look() -> Looks | None:
            try:
                return Looks(*await truth.look(self.demands()))
            except StoreUnavailable:
                return None  # it may be led to another Redis

        return await eventually(look)

    def demands(self) -> Sequence[Demand]:
        """On every limit, in the order of Looks."""
        demands = Demands(clock=SystemClock())
        wanted = {
            demand.bucket: demand
            for model in (_PACED, _SESSION)
            for demand in demands.of(self._principal, self.policy, model, NOTHING)
        }
        by_name = {demand.limit.name: demand for demand in wanted.values()}
        return [by_name[name] for name in Looks._fields]

    def differences(self, looks: Looks, *, twice: int = 0, lost: int = 0) -> dict[str, Any]:
        """Between what Redis says and what was granted and settled here. While all rest. `twice`, `lost`: so
        many exchanges, at most, are counted twice, or not at all."""
        settled = self.books.settled
        said = {
            "slots": {each.exchange_id.removesuffix(":away") for each in looks.slots.holders},
            "money held": {each.exchange_id: each.amount for each in _no_slices(looks.money)},
        }
        true = {
            "slots": {each.id for each in self.live_with(_STREAM, _SESSION)},
            "money held": {each.id: PRICE for each in self.live_with(_PAID, _SESSION)},
        }
        different: dict[str, Any] = {
            what: (said[what], true[what]) for what in said if said[what] != true[what]
        }
        if not -lost <= looks.requests.spent - settled.requests <= twice:
            different["requests"] = looks.requests.spent, settled.requests
        if not -lost * PRICE <= looks.money.spent - settled.dollars <= twice * PRICE:
            different["money spent"] = looks.money.spent, settled.dollars
        return different


def _no_slices(look: Look) -> list[Any]:
    return [holder for holder in look.holders if not holder.exchange_id.startswith("slice:")]


def most_in_a_span(admissions: Sequence[Admission]) -> float:
    """The most tokens that passed in any span of time, less what time paid back in it: in buckets.

    What was surely let through within a span counts: asked for and told of in it."""
    found = 0.0
    by_end = sorted(admissions, key=lambda each: each.told)
    for first in by_end:
        passed = 0
        for each in by_end:
            if each.asked >= first.asked:
                passed += each.tokens
                found = max(found, passed - GAIN * (each.told - first.asked))
    return found / SIZE


def owed(look: Look) -> float:
    """Tokens."""
    return look.level / MICRO
