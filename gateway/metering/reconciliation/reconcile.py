"""The reconciliation itself: both books are read, lined up, and what differs is explained.

The ledger's lines are read for those days alone on which its sums and the provider's do not agree,
and for the days after these: they have what was under way at midnight.
"""

from collections.abc import Sequence

from gateway.metering.reconciliation.amounts import Counted, Lines, Place
from gateway.metering.reconciliation.compare import line_up
from gateway.metering.reconciliation.explain import Explained, explain_all
from gateway.metering.reconciliation.provider import Provider
from gateway.metering.reconciliation.sums import LedgerSums


async def reconcile(
    providers: Sequence[Provider], ledger: LedgerSums, *, since: int, until: int, today: int
) -> Sequence[Explained]:
    """Every day, upstream and model of either book. Days are numbers since 1970 (UTC); `until` is not in it.

    Raises ProviderError, StoreUnavailable.
    """
    counted: dict[Place, Counted] = {}
    for provider in providers:
        counted |= await provider.books(since, until)
    recorded = await ledger.books(since, until)
    asked = sorted({each.place.day for each in line_up(counted, recorded) if not each.agrees})
    lines: dict[Place, Lines] = {place: Lines() for place in recorded if place.day in asked}
    for day in sorted({*asked, *(day + 1 for day in asked)}):
        lines |= await ledger.lines(day)
    return explain_all(line_up(counted, recorded, lines), today=today)
