"""Callers that do nothing but ask for what they may spend, and settle it: decisions without HTTP."""

import asyncio
import itertools
import time
from typing import Final

from gateway.background import Job
from gateway.core.clock import SystemClock
from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.core.spending import Spending, SpendingQuery
from gateway.limits.amounts import Amounts
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Limiter
from gateway.limits.loading import BudgetLoader
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations

_EXPECTED: Final = Amounts(1, 436, 180, 256, dollars=181, concurrent=1)
_SPENT: Final = Amounts(1, 300, 180, 120, dollars=99, concurrent=1)
"""As the requests of the bench have it: fewer tokens than were expected."""


class Refused(Exception):
    """A limit of the bench has turned a caller away, and none of them should."""


class Callers:
    """So many at once. Each asks anew as soon as its last decision is settled."""

    def __init__(self, *, count: int, limiter: Limiter, policy: Policy) -> None:
        clock = SystemClock()
        self._count = count
        self._policy = policy
        self._principal = Principal("bench@bench", policy.team, "key_of_the_bench", "bench")
        self._ids = (f"ex_{number:026d}" for number in itertools.count())
        self._settling = _Settling()
        self._reservations = Reservations(
            limiter=limiter,
            loader=BudgetLoader(books=_EmptyBooks(), limiter=limiter, clock=clock),
            demands=Demands(clock=clock),
            refusals=RecentRefusals(clock=clock),
            hand_over=self._settling.hand_over,
            on_leak=lambda exchange_id: None,
            on_charged=lambda charged: None,
        )

    async def decide(self, seconds: float) -> list[float]:
        """For how long each reservation was waited for, in seconds. All is settled when it returns.

        Raises Refused, and StoreUnavailable.
        """
        waits: list[float] = []
        until = time.perf_counter() + seconds
        await asyncio.gather(*(self._decide(until, waits) for _ in range(self._count)))
        return waits

    async def _decide(self, until: float, waits: list[float]) -> None:
        while (began := time.perf_counter()) < until:
            reservation = await self._reservations.reserve(
                next(self._ids), self._principal, self._policy, None, _EXPECTED
            )
            waits.append(time.perf_counter() - began)
            with reservation:
                if reservation.hold is None:
                    raise Refused(reservation.denials[0].reason)
                reservation.settle(_SPENT)
            await self._settling.done()


class _Settling:
    """Does what is handed over at once. The gateway's own callers do not wait for that; these do, so that
    settlements cannot fall behind, and each decision is paid for within its measure."""

    def __init__(self) -> None:
        self._latest: asyncio.Future[None] | None = None

    def hand_over(self, job: Job) -> None:
        self._latest = asyncio.ensure_future(job())

    async def done(self) -> None:
        """What was settled until now has arrived: it waits for its turn in the latest job at most."""
        if self._latest is not None:
            await self._latest


class _EmptyBooks:
    """A ledger in which nothing was ever spent."""

    async def spending(self, query: SpendingQuery) -> Spending:
        return Spending(0)
