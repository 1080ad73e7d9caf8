"""The budget: a ledger of a calendar window. Knows when windows begin, and what still fits. Pure.

A budget is three numbers and the window they belong to: what is `spent`, what is `held` for exchanges that
are under way, and how much of that is `set_aside` in slices that replicas may spend while Redis is away. When
a window ends, `spent` begins anew and `held` goes on: an exchange is charged to the window in which it is
settled, as in the ledger.

Whoever keeps budgets is given the edges of three windows, so that it can tell by its own clock which one it
is in, without knowing calendars. `reserve.lua` and its neighbours are this file once more.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.policy import Budget, Period

MOST: Final = 2**52
"""The most that is counted in one window, of anything."""

Edges = tuple[int, int, int, int]


class Window(NamedTuple):
    """When a budget begins anew, and how much of it there is."""

    edges: Edges
    """Seconds since 1970: where the last window began, this one, the next, and the one after it."""
    amount: int
    """With the increases that hold at the moment."""


class State(NamedTuple):
    """What is known of a budget."""

    start: int
    """The window that `spent` belongs to: seconds since 1970."""
    spent: int = 0
    held: int = 0
    """For exchanges under way and for slices."""
    set_aside: int = 0
    """The part of `held` that is in slices."""

    def fits(self, cost: int, amount: int) -> bool:
        """What costs nothing always fits."""
        return self.spent + self.held + cost <= amount or not cost

    def fits_without_slices(self, cost: int, amount: int) -> bool:
        """Whether it would fit if nothing were set aside."""
        return self.spent + self.held - self.set_aside + cost <= amount

    def fits_without_holds(self, cost: int, amount: int) -> bool:
        """Whether it would fit if nothing were held."""
        return self.spent + cost <= amount


def edges_of(period: Period, zone: str, now: float) -> Edges:
    """The edges around this moment, by the calendar of that zone. Weeks begin on Monday."""
    tz = ZoneInfo(zone)
    this = _start(period, datetime.fromtimestamp(int(now), tz))  # a fraction would be rounded, and perhaps up
    following = _next(period, this)
    # Wall-clock arithmetic throughout: a day may have 23 hours, and its midnight may not exist.
    starts = (_start(period, this - timedelta(days=1)), this, following, _next(period, following))
    last, begun, ends, after = (int(start.timestamp()) for start in starts)
    return last, begun, ends, after


def window_of(budget: Budget, now: float) -> Window:
    """The budget's window at this moment."""
    more = sum(increase.amount for increase in budget.increases if now < increase.until)
    return Window(edges_of(budget.period, budget.zone, now), budget.amount + more)


def holds_until(budget: Budget, window: Window, now: float) -> int:
    """The moment from which `window_of` says something else."""
    return min([window.edges[2], *(each.until for each in budget.increases if now < each.until)])


def start_at(edges: Edges, now: float) -> tuple[int, int | None]:
    """Where the window of this moment begins, and the one before it (None: not known)."""
    if now >= edges[3]:
        return edges[3], edges[2]
    if now >= edges[2]:
        return edges[2], edges[1]
    if now >= edges[1]:
        return edges[1], edges[0]
    return edges[0], None


def carried(state: State | None, edges: Edges, now: float) -> State | None:
    """The state at this moment; None when the ledger has to be asked.

    In the window that follows its own, a state begins anew. One of any other window (of long ago, of another
    time zone, of a clock that was wrong) says nothing. A window that has begun is not left again, though the
    clock be put back by a little.
    """
    start, before = start_at(edges, now)
    if state is None or state.start == start or start < state.start == edges[1]:
        return state
    return state._replace(start=start, spent=0) if state.start == before else None


def crossed(before: int, after: int, amount: int, percents: Iterable[int]) -> list[int]:
    """The thresholds that lie between what had been spent and what has been spent now."""
    return [percent for percent in percents if before * 100 < percent * amount <= after * 100]


def _start(period: Period, moment: datetime) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match period:
        case Period.DAY:
            return midnight
        case Period.WEEK:
            return midnight - timedelta(days=midnight.weekday())
        case Period.MONTH:
            return midnight.replace(day=1)


def _next(period: Period, start: datetime) -> datetime:
    """The start of the window after the one that begins here."""
    match period:
        case Period.DAY:
            return start + timedelta(days=1)
        case Period.WEEK:
            return start + timedelta(days=7)
        case Period.MONTH:
            return (start + timedelta(days=32)).replace(day=1)
