"""Refusals, on record by class: how often which rule refused which team, minute by minute.

A line for each refusal would let anybody fill the audit trail; a line for each class and minute cannot.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from gateway.audit.trail import GATEWAY
from gateway.core.actor import Act
from gateway.core.errors import StoreUnavailable
from gateway.core.exchange import Exchange, Outcome

MOST_CLASSES: Final = 1_000
"""Of one minute. What comes beyond is counted as one class more, which names no team."""
SIGN_IN: Final = "operators.sign_in"
"""The rule by which nobody was let in at the operators' port."""
_REFUSALS: Final = frozenset({Outcome.REFUSED, Outcome.CUT})


class Refused(NamedTuple):
    """A class of refusals. All of it comes from policy files and from our own lists."""

    team: str
    """Empty when nobody knows who asked."""
    code: str
    rule: str


Record = Callable[[Sequence[Act]], Awaitable[None]]
"""Puts acts on record. Raises StoreUnavailable; then none of them is."""

_BEYOND: Final = Refused("", "", "")


class RefusalTally:
    """Counts, and puts what was counted on record when it is told to."""

    def __init__(self, *, record: Record, replica: str) -> None:
        """`replica`: the name of this one, which stands in every line."""
        self._record = record
        self._replica = replica
        self._counted: Counter[Refused] = Counter()

    def count(self, exchange: Exchange) -> None:
        """An exchange is over. Does not wait."""
        if exchange.outcome not in _REFUSALS:
            return
        team = exchange.policy.team if exchange.policy else ""
        error = exchange.error
        self._add(Refused(team, error.code.value if error else "", (error.rule if error else None) or ""))

    def refused_sign_in(self, code: str) -> None:
        """Somebody came to the operators' port with a credential that lets nobody in. `code`: of a small
        fixed set."""
        self._add(Refused("", code, SIGN_IN))

    async def flush(self) -> None:
        """Put everything on record that was counted since the last time. While the database is away it goes
        on counting."""
        counted, self._counted = self._counted, Counter()
        if not counted:
            return
        try:
            await self._record([self._act(found, times) for found, times in sorted(counted.items())])
        except StoreUnavailable:
            self._counted.update(counted)

    def _add(self, found: Refused) -> None:
        known = found in self._counted or len(self._counted) < MOST_CLASSES
        self._counted[found if known else _BEYOND] += 1

    def _act(self, found: Refused, times: int) -> Act:
        return Act(
            actor=GATEWAY,
            action="refused",
            target=f"team:{found.team}" if found.team else "unknown",
            team=found.team,
            details={"code": found.code, "rule": found.rule, "times": times, "replica": self._replica},
        )
