"""From what settlements did to budgets to what somebody should know: thresholds that were crossed, and how
much is spent. A threshold is crossed once, by whichever replica settles the request that crosses it: the
store tells each settlement what was spent before it and after.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from gateway.core.clock import Clock
from gateway.core.policy import Budget, Counted, Scope
from gateway.limits.budget import Edges, crossed
from gateway.limits.demands import name_of
from gateway.limits.interfaces import Charged
from gateway.telemetry.alarms import ALL_TEAMS, Alarms, BudgetAlert
from gateway.telemetry.metrics import Metrics

_WIDE: Final = frozenset({Scope.ORGANIZATION, Scope.TEAM})

_Labels = tuple[str, str]


class BudgetWatch:
    """Told of every charge; tells whoever is to be woken, and keeps the gauges of budgets."""

    def __init__(self, *, alarms: Alarms, metrics: Metrics, clock: Clock) -> None:
        self._alarms = alarms
        self._metrics = metrics
        self._clock = clock
        self._shown: dict[_Labels, tuple[int, int]] = {}
        """Of each budget that has gauges, its amount and when its window ends."""

    def charged(self, charges: Sequence[Charged]) -> None:
        """Settlements have done this to budgets."""
        now = self._clock.now()
        for charge in charges:
            for alert in alerts_of(charge, now):
                self._alarms.budget(alert)
        # Of many settlements that went together, the last says how much is spent.
        for last in {charge.demand.bucket: charge for charge in charges}.values():
            self._show(last, now)

    async def begin_anew(self) -> None:
        """Nothing is spent of what nobody has charged since its window ended. To be called now and again."""
        now = self._clock.now()
        for (team, budget), (amount, ends) in list(self._shown.items()):
            if ends <= now:
                self._metrics.budget_charged(team, budget, 0, amount)
                del self._shown[team, budget]

    def _show(self, charge: Charged, now: float) -> None:
        window = charge.demand.window
        labels = _labels(charge)
        if window is not None and labels is not None:
            self._metrics.budget_charged(*labels, charge.after, window.amount)
            self._shown[labels] = window.amount, end_of(window.edges, now)


def alerts_of(charge: Charged, now: float) -> list[BudgetAlert]:
    """The thresholds that this charge crossed. `now`: seconds since 1970."""
    budget, window = charge.demand.limit, charge.demand.window
    if window is None or not isinstance(budget, Budget):
        return []
    percents = crossed(charge.before, charge.after, window.amount, budget.alert_at)
    if not percents:
        return []
    scope = _whose(charge)
    return [
        BudgetAlert(
            team=scope.get(Scope.TEAM),
            budget=budget.name,
            scope=scope,
            percent=percent,
            spent=charge.after,
            amount=window.amount,
            unit=unit_of(budget.counts),
            period=budget.period.value,
            window_ends_at=moment(end_of(window.edges, now), budget.zone),
            mode=budget.mode.value,
        )
        for percent in percents
    ]


def unit_of(counts: Counted) -> str:
    """The unit as machines read it: a dollar is a million of what is counted."""
    return "microdollars" if counts is Counted.DOLLARS else counts.value


def moment(seconds: float, zone: str = "UTC") -> str:
    """Seconds since 1970 as ISO 8601, by the clocks of that zone."""
    return datetime.fromtimestamp(int(seconds), ZoneInfo(zone)).isoformat()


def end_of(edges: Edges, now: float) -> int:
    """Where the window of this moment ends; the last edge that is known, for a moment beyond them all."""
    return next((edge for edge in edges if edge > now), edges[-1])


def _whose(charge: Charged) -> dict[str, str]:
    name = name_of(charge.demand.bucket)
    return dict(name.whose) if name else {}


def _labels(charge: Charged) -> _Labels | None:
    """Team and budget, for one that counts a whole team or all teams. One for each user or key is none that
    metrics could tell of: there is no end of them."""
    limit = charge.demand.limit
    if not _WIDE.issuperset(limit.per):
        return None
    return _whose(charge).get(Scope.TEAM, ALL_TEAMS), limit.name
