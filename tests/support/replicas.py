"""Replicas of a gateway in one process, as far as limits go: put together as gateway/app/limits.py does it.

    books = TeamBooks()
    async with replicas([proxy.url] * 3, books=books) as three:
        reservation = await three[0].reservations.reserve(...)
        three[0].changes                    # when it held Redis for away, and for back

Each has connections of its own, and its loops are going. What takes seconds in a gateway takes less here; but
the deadline is longer: this machine does other things too, and then nobody is to take Redis for away.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

from gateway.background import Background
from gateway.core.clock import SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.limits.amounts import NOTHING, Amounts
from gateway.limits.away.breaker import Breaker
from gateway.limits.away.lateness import INTERVAL, Lateness
from gateway.limits.away.resilient import ResilientLimiter
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Books, Grant, Hold, Pulse, Refusal, Share, Unloaded
from gateway.limits.loading import BudgetLoader
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from tests.support.log import Log

DEADLINE: Final = 0.4
"""Seconds that a call may take."""
BREAKER: Final = Breaker(slow=0.35)
BEAT: Final = 0.1
LEASE: Final = 12.0
SLICE_LEASE: Final = 30.0
"""Seconds, all of them."""
RENEWALS: Final = 3
"""In a lease."""

_PATIENT: Final = 0.5


class Change(NamedTuple):
    """Redis counts as away from now on, or as back."""

    at: float
    """By the monotonic clock, as everywhere here."""
    away: bool
    why: str


class WatchedLimiter(RedisLimiter):
    """A RedisLimiter that remembers when exchanges asked it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[float] = []
        self.failed: list[float] = []
        """When it turned out that Redis did not answer."""
        self.shares: list[Share] = []
        """As beats told them."""

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        self.asked.append(monotonic())
        try:
            return await super().reserve(hold)
        except StoreUnavailable:
            self.failed.append(monotonic())
            raise

    async def beat(self, replica: str) -> Pulse:
        pulse = await super().beat(replica)
        self.shares.append(pulse.share)
        return pulse


class TeamBooks:
    """A ledger of one team, in memory. Its Books count all that is settled here, whatever Redis knows."""

    def __init__(self) -> None:
        self.settled = NOTHING
        self.under_way: dict[str, Amounts] = {}
        """What exchanges are expected to spend, by their ids."""

    def admit(self, exchange_id: str, expected: Amounts) -> None:
        self.under_way[exchange_id] = expected

    def settle(self, exchange_id: str, spent: Amounts) -> None:
        """Counts once."""
        if self.under_way.pop(exchange_id, None) is not None:
            self.settled = self.settled.plus(spent)

    async def spending(self, query: SpendingQuery) -> Spending:
        under_way = [UnderWay(each, getattr(of, query.counts)) for each, of in self.under_way.items()]
        return Spending(getattr(self.settled, query.counts), tuple(under_way))


@asynccontextmanager
async def onlooker(url: str, *, sentinel_password: str | None = None) -> AsyncIterator[RedisLimiter]:
    """Asks Redis what it knows, beside the replicas."""
    client = connect(url, timeout=_PATIENT, sentinel_password=sentinel_password)
    limiter = RedisLimiter(client=client, timeout=_PATIENT)
    loop = asyncio.ensure_future(limiter.run())
    try:
        yield limiter
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await limiter.close()


@dataclass(eq=False)
class Replica:
    """One of them, and what was seen of it."""

    number: int
    primary: WatchedLimiter
    limiter: ResilientLimiter
    reservations: Reservations
    background: Background
    changes: list[Change]
    emptied: list[float]
    """When it found that Redis had lost everything."""
    log: Log = field(repr=False)

    async def die(self) -> None:
        """As if it were killed: what it holds is given back by nobody. What it has settled is settled."""
        await self.background.stop()

    async def retire(self) -> None:
        """As it ends when it is told to: what is handed over is done, and what is set aside is given back."""
        await self.limiter.retire()


@asynccontextmanager
async def replicas(
    urls: Sequence[str],
    *,
    books: Books,
    lease: float = LEASE,
    slice_lease: float = SLICE_LEASE,
    sentinel_password: str | None = None,
) -> AsyncIterator[list[Replica]]:
    """One for each URL, gone at the end. `lease`, `slice_lease`: seconds."""
    async with AsyncExitStack() as stack:
        made = []
        for number, url in enumerate(urls):
            client = connect(url, timeout=DEADLINE, sentinel_password=sentinel_password)
            primary = WatchedLimiter(client=client, lease=lease, slice_lease=slice_lease, timeout=DEADLINE)
            one = _replica(number, len(urls), primary, books, lease / RENEWALS, slice_lease)
            one.background.start()
            stack.push_async_callback(one.primary.close)
            stack.push_async_callback(one.background.stop, drain_seconds=1.0)
            made.append(one)
        yield made


def _replica(
    number: int, count: int, primary: WatchedLimiter, books: Books, renew: float, slice_lease: float
) -> Replica:
    clock, log = SystemClock(), Log()
    changes: list[Change] = []
    emptied: list[float] = []
    background = Background(log=log.logger)

    async def on_return() -> None:
        await reservations.renew_all()

    lateness = Lateness(clock)
    limiter = ResilientLimiter(
        primary=primary,
        clock=clock,
        replica=f"replica-{number}",
        replicas=count,
        on_change=lambda away, why: changes.append(Change(monotonic(), away, why)),
        on_charged=lambda charged: None,
        on_clock=lambda seconds: None,
        on_emptied=lambda: emptied.append(monotonic()),
        on_return=on_return,
        is_late=lateness.is_late,
        breaker=BREAKER,
        slice_lease=slice_lease,
    )
    reservations = Reservations(
        limiter=limiter,
        loader=BudgetLoader(books=books, limiter=limiter, clock=clock),
        demands=Demands(clock=clock),
        refusals=RecentRefusals(clock=clock),
        hand_over=background.hand_over,
        on_leak=lambda exchange_id: None,
        on_charged=lambda charged: None,
    )
    background.every("lateness", INTERVAL, lateness.tick)
    background.loop("redis", primary.run)
    background.loop("redis_breaker", limiter.run)
    background.every("redis_beat", BEAT, limiter.beat)
    background.every("renew_holds", renew, reservations.renew_all)
    return Replica(number, primary, limiter, reservations, background, changes, emptied, log)
