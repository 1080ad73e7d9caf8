"""One budget in memory: what `budget.lua` keeps, in Python.

What is held is the sum of what each holder holds, and each has a lease; one that has ended is taken back by
whoever comes next. Windows go by the calendar; leases by ticks, which are microseconds that never jump.
"""

from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.spending import Spending, UnderWay
from gateway.limits.budget import MOST, Edges, State, Window, carried
from gateway.limits.interfaces import LOAD, Look
from gateway.limits.memory.leases import Leases, shown
from gateway.limits.verdict import Fit

_UNLOADED_SECONDS: Final = 600.0
"""For which a budget that nobody loads is remembered."""
_SLICE: Final = "slice:"


class MemoryBudget:
    """What is spent and held of a budget, and by whom."""

    __slots__ = ("_clock", "_ends", "_exchanges", "_marks", "_settled", "_slices", "_state")

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._state: State | None = None
        """None before it is loaded."""
        self._exchanges = Leases()
        self._slices = Leases()
        self._settled: dict[str, int] = {}
        """What was spent by exchanges that were settled before it was loaded, in their order."""
        self._marks: dict[str, int] = {}
        """How many those were when a load asked the ledger, by its id."""
        self._ends = 0.0
        """When it may be forgotten, if nothing is held."""

    def __len__(self) -> int:
        """How many holders, settlements and marks are remembered."""
        return len(self._exchanges) + len(self._slices) + len(self._settled) + len(self._marks)

    def mine(self, holder: str) -> int:
        """What this one holds."""
        amount, _ = self._leases(holder).get(holder, (0, 0))
        return amount

    def room(self, more: int, window: Window) -> tuple[Fit, int]:
        """Whether so much more fits, and what is spent and held."""
        state = self._now(window.edges)
        if state is None:
            return Fit.UNLOADED, 0
        level = state.spent + state.held
        if state.fits(more, window.amount):
            return Fit.YES, level
        if state.fits_without_slices(more, window.amount):
            return Fit.SET_ASIDE, level
        return Fit.HELD if state.fits_without_holds(more, window.amount) else Fit.NO, level

    def hold(self, holder: str, amount: int, lease_ends: int, edges: Edges) -> int:
        """This one holds at least so much from now on, under a lease that begins anew if that is more than
        before. How much more it is."""
        mine = self.mine(holder)
        if amount <= mine:
            return 0
        self._begin(edges)
        self._leases(holder).begin(holder, amount, lease_ends)
        self._add(holder, amount - mine)
        return amount - mine

    def renew(self, holder: str, amount: int, lease_ends: int, edges: Edges) -> None:
        """The lease begins anew. If nothing is held any more, so much is held again."""
        mine = self.mine(holder)
        if mine:
            self._leases(holder).begin(holder, mine, lease_ends)
        else:
            self.hold(holder, amount, lease_ends, edges)

    def settle(self, holder: str, amount: int, edges: Edges) -> tuple[int, int]:
        """What was spent before and after it; equal when it spent nothing, or nobody knows yet."""
        given_back = self._give_back(holder)
        if self.is_loaded(edges) and not given_back and not amount:
            return 0, 0
        state = self._begin(edges)
        if state is None:
            self._state = None
            self._settled[holder] = amount
            return 0, 0
        after = min(state.spent + amount, MOST)
        self._state = state._replace(spent=after)
        return state.spent, after

    def is_loaded(self, edges: Edges) -> bool:
        """Whether anybody knows what is spent."""
        return self._now(edges) is not None

    def load(self, spending: Spending, lease_ends: int, edges: Edges) -> None:
        """Begin with what the ledger says, or leave the mark of who asks it."""
        spent, under_way = spending
        since = self._asked_at(under_way)
        if since is None:
            return
        missing = {holder for holder, _ in under_way}
        for number, (holder, amount) in enumerate(self._settled.items()):
            if number >= since or holder in missing:
                spent += amount
        for holder, amount in under_way:
            if amount and holder not in self._settled and not self.mine(holder):
                self._leases(holder).begin(holder, amount, lease_ends)
        self._settled.clear()
        self._marks.clear()
        set_aside = self._slices.held
        self._state = State(edges[1], min(spent, MOST), self._exchanges.held + set_aside, set_aside)
        self._ends = _forgotten_at(edges)

    def look(self, edges: Edges, tick: int) -> Look:
        """What is known of it."""
        state = self._now(edges)
        if state is None:
            return Look(0, loaded=False)
        slices = self._slices.live(tick)
        holders = self._exchanges.live(tick) + slices
        level = state.spent + sum(holder.amount for holder in holders)
        set_aside = sum(holder.amount for holder in slices)
        return Look(level, state.spent, set_aside, True, shown(holders))

    def take_back_ended(self, tick: int) -> None:
        """What is held under leases that have ended is held no more."""
        for leases in (self._exchanges, self._slices):
            for holder in leases.ended(tick):
                self._give_back(holder)

    def is_over(self, tick: int) -> bool:
        """Whether it may be forgotten."""
        if self._clock.now() < self._ends:
            return False
        self.take_back_ended(tick)
        return not self._exchanges and not self._slices

    def _asked_at(self, under_way: Sequence[UnderWay]) -> int | None:
        """How many were settled before this load asked the ledger. None: it leaves its mark now."""
        load_id = under_way[0].exchange_id if under_way else ""
        if not load_id.startswith(LOAD):
            return len(self._settled)
        if load_id in self._marks:
            return self._marks[load_id]
        self._marks[load_id] = len(self._settled)
        return None

    def _now(self, edges: Edges) -> State | None:
        return carried(self._state, edges, self._clock.now())

    def _begin(self, edges: Edges) -> State | None:
        """The state at this moment, about to be changed."""
        state = self._now(edges)
        if state is None:
            self._ends = self._clock.now() + _UNLOADED_SECONDS
        elif state is not self._state:
            self._state, self._ends = state, _forgotten_at(edges)
        return state

    def _leases(self, holder: str) -> Leases:
        return self._slices if holder.startswith(_SLICE) else self._exchanges

    def _give_back(self, holder: str) -> int:
        amount, _ = self._leases(holder).pop(holder, (0, 0))
        if amount:
            self._add(holder, -amount)
        return amount

    def _add(self, holder: str, amount: int) -> None:
        if self._state is not None:
            start, spent, held, set_aside = self._state
            aside = amount if holder.startswith(_SLICE) else 0
            self._state = State(start, spent, held + amount, set_aside + aside)


def _forgotten_at(edges: Edges) -> float:
    """A window beyond the next one."""
    return float(2 * edges[3] - edges[2])
