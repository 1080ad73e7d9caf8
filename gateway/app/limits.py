"""How much callers have left: limits and budgets, in memory or in Redis, and what they hold of them."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from gateway.app.ground import Ground
from gateway.limits.alerts import BudgetWatch
from gateway.limits.away.lateness import INTERVAL as LATENESS_INTERVAL
from gateway.limits.away.lateness import Lateness
from gateway.limits.away.resilient import ResilientLimiter
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Limiter
from gateway.limits.loading import BudgetLoader
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.redis.connect import Client
from gateway.limits.redis.findings import Fault, Finding
from gateway.limits.redis.fitness import Fitness
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.metering.reports.books import SqlBooks
from gateway.telemetry.alarms import Alarms

_RENEW_SECONDS: Final = 4.0
_BEAT_SECONDS: Final = 1.0
_FITNESS_SECONDS: Final = 60.0
_BUDGET_WINDOW_SECONDS: Final = 30.0
_BOOK_THREADS: Final = 2
"""Sums may take long; key look-ups must not wait behind them."""
_LOAD_SECONDS: Final = 5.0
"""A month of some 25 million attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    limiter: Limiter
    loader: BudgetLoader
    reservations: Reservations
    refusals: RecentRefusals
    is_degraded: Callable[[], bool]


def limits(ground: Ground, stack: AsyncExitStack) -> Limits:
    """Made, and kept going."""
    clock, background = ground.clock, ground.background
    refusals = RecentRefusals(clock=clock)
    budgets = BudgetWatch(alarms=ground.alarms, metrics=ground.metrics, clock=clock)
    background.every("budget_windows", _BUDGET_WINDOW_SECONDS, budgets.begin_anew)

    async def on_return() -> None:
        """Redis is back: what runs is held there again, and who was refused meanwhile may ask again."""
        refusals.clear()
        await reservations.renew_all()

    limiter: Limiter = MemoryLimiter(clock=clock)
    is_degraded: Callable[[], bool] = bool
    if ground.redis is not None:
        _watch_fitness(ground, ground.redis)
        shared = RedisLimiter(client=ground.redis)
        lateness = Lateness(clock)
        background.every("lateness", LATENESS_INTERVAL, lateness.tick)
        resilient = ResilientLimiter(
            primary=shared,
            clock=clock,
            replica=ground.replica,
            replicas=ground.settings.replicas,
            on_change=ground.alarms.redis,
            on_charged=budgets.charged,
            on_clock=ground.metrics.redis_clock,
            on_emptied=ground.alarms.redis_emptied,
            on_return=on_return,
            is_late=lateness.is_late,
        )
        background.loop("redis", shared.run)
        background.loop("redis_breaker", resilient.run)
        background.every("redis_beat", _BEAT_SECONDS, resilient.beat)
        stack.push_async_callback(resilient.retire)
        limiter, is_degraded = resilient, lambda: resilient.degraded
    books = ground.further_threads(stack, threads=_BOOK_THREADS, timeout=_LOAD_SECONDS)
    loader = BudgetLoader(
        books=SqlBooks(books, flush=ground.ledger.flush), limiter=limiter, clock=clock, seconds=_LOAD_SECONDS
    )
    reservations = Reservations(
        limiter=limiter,
        loader=loader,
        demands=Demands(clock=clock),
        refusals=refusals,
        hand_over=background.hand_over,
        on_leak=ground.alarms.leaked,
        on_charged=budgets.charged,
    )
    background.every("renew_holds", _RENEW_SECONDS, reservations.renew_all)
    return Limits(
        limiter=limiter,
        loader=loader,
        reservations=reservations,
        refusals=refusals,
        is_degraded=is_degraded,
    )


def _watch_fitness(ground: Ground, redis: Client) -> None:
    fitness = Fitness(client=redis, clock=ground.clock, tell=_told_to(ground.alarms))
    ground.background.every("redis_fitness", _FITNESS_SECONDS, fitness.look)
    ground.background.hand_over(fitness.look)


def _told_to(alarms: Alarms) -> Callable[[Finding], None]:
    def tell(finding: Finding) -> None:
        if finding.fault is not Fault.CLOCK:  # of that every beat tells
            alarms.redis_unfit(finding.fault, finding.sentence)

    return tell
