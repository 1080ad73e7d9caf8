"""The provider's own books: sums by the minute, which outlive the log of requests and are bounded too."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.simulator.bill import Bill, Kind, Purchase

MOST_SUMS = 100_000
"""More than so many, and they are kept by the day: those of all days but the last first."""

MINUTE = 60
DAY = 86_400


class Slot(NamedTuple):
    """What is summed together."""

    minute: int
    """Unix time at which it begins; when minutes are not told apart any more, at which the day begins."""
    kind: Kind
    project: str
    model: str
    tier: str
    source: str | None


class Sum(NamedTuple):
    requests: int
    bill: Bill


class Account:
    """What was generated for whom. Refused requests are not in it; those whose clients left are."""

    def __init__(self) -> None:
        self._sums: dict[Slot, Sum] = {}

    def __iter__(self) -> Iterator[tuple[Slot, Sum]]:
        """In no order."""
        return iter(self._sums.items())

    def add(self, purchase: Purchase, *, at: float, generated: int | None = None, requests: int = 1) -> None:
        """Note what was bought. `generated`: tokens so far, of an answer that may have broken off; None: all.

        Tests call it for traffic that they need not make: so many `requests`, which together had this bill.
        """
        planned = purchase.planned
        bill = purchase.bill.so_far(planned if generated is None else generated, planned)
        slot = Slot(
            minute=int(at) // MINUTE * MINUTE,
            kind=purchase.kind,
            project=purchase.project,
            model=purchase.model,
            tier=purchase.tier,
            source=purchase.source,
        )
        self._put(slot, Sum(requests, bill))
        if len(self._sums) > MOST_SUMS:
            self._shrink()

    def _put(self, slot: Slot, more: Sum) -> None:
        had = self._sums.get(slot)
        self._sums[slot] = Sum(had.requests + more.requests, had.bill.plus(more.bill)) if had else more

    def _shrink(self) -> None:
        """Days before the last are put together, then the last too; at the very last the oldest half goes."""
        today = max(slot.minute for slot in self._sums) // DAY * DAY
        for first_in_minutes in (today, today + DAY):
            if len(self._sums) > MOST_SUMS // 2:
                self._put_together(first_in_minutes)
        if len(self._sums) > MOST_SUMS // 2:
            oldest_first = sorted(self._sums.items(), key=lambda item: item[0].minute)
            self._sums = dict(oldest_first[-MOST_SUMS // 2 :])

    def _put_together(self, before: int) -> None:
        sums, self._sums = self._sums, {}
        for slot, each in sums.items():
            day = slot.minute // DAY * DAY
            self._put(slot if slot.minute >= before else slot._replace(minute=day), each)
