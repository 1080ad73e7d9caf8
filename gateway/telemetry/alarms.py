"""What operators are told when something is the matter: one metric and one log line, each way."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.core.ids import new_id
from gateway.core.usage import Doubt
from gateway.telemetry.metrics import Metrics

ALL_TEAMS: Final = "*"
"""The label `team` of what counts all teams together. No team can have this name."""

_CLOCK_OFF: Final = 5.0
"""Seconds by which Redis' clock may differ from ours before anybody is told …"""
_CLOCK_RIGHT: Final = 2.5
"""… and below which all is well again."""
_DOUBT_SECONDS: Final = 600.0
"""Between two log lines about the usage of one upstream, for one reason. The metric counts each."""
_MOST_UNPRICED: Final = 1_000
"""Pairs of model and service tier that are told to have no price. Tiers are named by upstreams."""


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A threshold of a budget that was crossed. Its fields are those of the log line and of the webhook."""

    team: str | None
    """None: the budget counts all teams."""
    budget: str
    scope: Mapping[str, str]
    """Whose it is: `team`, `user`, `key`, `model`, as far as it tells them apart."""
    percent: int
    """The threshold. What is spent may be more."""
    spent: int
    amount: int
    """Of the whole window, with the increases that hold at the moment."""
    unit: str
    """`microdollars`, `tokens` …"""
    period: str
    window_ends_at: str
    """When it begins anew: ISO 8601, in the budget's time zone."""
    mode: str


def _nobody(event: str, fields: Mapping[str, Any]) -> None:
    """Where events go when there is no webhook."""


class Alarms:
    """One method for each thing that can be the matter."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        clock: Clock,
        tell: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        """`tell`: takes an event and its fields to whoever is to be woken, without waiting."""
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._tell = tell or _nobody
        self._keys_away = False
        self._issuers_away: set[str] = set()
        self._clock_off = False
        self._unpriced: set[tuple[str, str]] = set()
        self._doubts: dict[tuple[str, Doubt], tuple[float, int]] = {}
        """When each was told last, by the monotonic clock, and how many there were since. Upstreams are those
        of the settings."""

    def budget(self, alert: BudgetAlert) -> None:
        """A threshold of a budget was crossed."""
        fields = asdict(alert)
        self._metrics.budget_alerted(alert.team or ALL_TEAMS, alert.budget, alert.percent)
        self._log.warning("budget_threshold", fields=fields)
        self._tell("budget_threshold", fields)

    def redis(self, away: bool, why: str) -> None:
        """Limits are degraded from now on, or no longer."""
        self._metrics.degraded("redis", away)
        self._log.warning("redis_away" if away else "redis_back", why=why)

    def redis_unfit(self, fault: str, sentence: str) -> None:
        """Something is not as it should be about the Redis: what, and what to do about it."""
        self._metrics.redis_unfit(fault)
        self._log.warning("redis_unfit", fault=fault, finding=sentence)

    def redis_clock(self, seconds: float) -> None:
        """So many seconds is Redis' clock ahead of ours, or behind. Windows of budgets begin by Redis'."""
        self._metrics.redis_clock(seconds)
        off = abs(seconds) > (_CLOCK_RIGHT if self._clock_off else _CLOCK_OFF)
        if off != self._clock_off:
            self._clock_off = off
            self._log.warning("redis_clock_off" if off else "redis_clock_right", seconds=round(seconds, 3))

    def redis_emptied(self) -> None:
        """Redis has lost everything: rates are restored from memory, budgets are loaded from the ledger."""
        self._metrics.redis_emptied()
        self._log.warning("redis_emptied")

    def keys(self, trouble: StoreUnavailable | None) -> None:
        """Keys cannot be looked up, so that only those seen lately are known; or can again (None)."""
        if self._keys_away == (trouble is not None):
            return
        self._keys_away = trouble is not None
        self._metrics.degraded("keys", self._keys_away)
        if trouble is None:
            self._log.warning("keys_back")
        else:
            self._log.error("keys_away", why=str(trouble))

    def keys_of_issuer(self, issuer: str, trouble: str | None) -> None:
        """The keys by which an issuer signs cannot be fetched, and why: those known already stay good; or
        they can again (None)."""
        if (issuer in self._issuers_away) == (trouble is not None):
            return
        self._metrics.issuer_down(issuer, trouble is not None)
        if trouble is None:
            self._issuers_away.discard(issuer)
            self._log.warning("issuer_back", issuer=issuer)
        else:
            self._issuers_away.add(issuer)
            self._log.error("issuer_away", issuer=issuer, why=trouble)

    def signals(self, trouble: str | None) -> None:
        """Nothing is heard from other replicas, and why: what they change is noticed by polling; or it is
        heard again (None)."""
        self._metrics.degraded("signals", trouble is not None)
        if trouble is None:
            self._log.warning("signals_back")
        else:
            self._log.warning("signals_away", why=trouble)

    def doubtful_usage(self, upstream: str, doubt: Doubt) -> None:
        """What an upstream says of its usage cannot be right, so ours is charged."""
        self._metrics.doubtful_usage(upstream, doubt)
        now = self._clock.monotonic()
        told, since = self._doubts.get((upstream, doubt), (-_DOUBT_SECONDS, 0))
        if now - told < _DOUBT_SECONDS:
            self._doubts[upstream, doubt] = told, since + 1
            return
        self._doubts[upstream, doubt] = now, 0
        self._log.warning("doubtful_usage", upstream=upstream, reason=doubt.value, answers=since + 1)

    def unpriced(self, model: str, tier: str, priced_by: str) -> None:
        """The price book has no price for a model that was used, in this service tier: `priced_by` says what
        was charged instead. Told once for each; a metric counts the attempts whose cost is missing."""
        if (model, tier) in self._unpriced or len(self._unpriced) >= _MOST_UNPRICED:
            return
        self._unpriced.add((model, tier))
        self._log.warning(
            "attempt_unpriced", model=model, service_tier=tier or "standard", priced_by=priced_by
        )

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        """The ledger cannot be written, or can again (None)."""
        self._metrics.degraded("ledger", trouble is not None)
        if trouble is None:
            self._log.warning("ledger_back")
        else:
            self._log.error("ledger_away", why=str(trouble))

    def database(self, trouble: StoreUnavailable | None) -> None:
        """The database does not take the ledger's lines, which wait in the journal; or does again (None)."""
        self._metrics.degraded("database", trouble is not None)
        if trouble is None:
            self._log.warning("database_back")
        else:
            self._log.error("database_away", why=str(trouble))

    def journal(self, *, size: int, age: float) -> None:
        """So many bytes wait in the journal; seconds since none did."""
        self._metrics.journal(size, age)

    def journal_damaged(self, file: Path, lines: int, why: str) -> None:
        """So many lines of a journal cannot be shipped; they are kept in this file. None: the file itself
        cannot be opened."""
        self._metrics.journal_damaged(lines)
        self._log.error("journal_damaged", file=str(file), lines=lines, why=why)

    def journal_left(self, size: int) -> None:
        """This process ends before all is shipped, and leaves so many bytes. The next one goes on with it."""
        self._log.warning("journal_left", bytes=size)

    def leaked(self, exchange_id: str) -> None:
        """A reservation was left without a settlement: a fault of ours."""
        self._metrics.reservation_leaked()
        self._log.error("reservation_leaked", request_id=exchange_id)

    def recovered(self, attempts: int) -> None:
        """Attempts that dead processes had left were settled as estimated."""
        self._log.warning("attempts_recovered", count=attempts)

    def malformed(self, error: GatewayError) -> str:
        """Bytes came that are not HTTP. Gives the request id under which that is logged."""
        request_id = new_id("req", self._clock)
        self._metrics.malformed()
        self._log.info("malformed_request", request_id=request_id, code=error.code)
        return request_id
