"""What a corrected price book changes about an attempt: the difference to what the ledger says of it today.

A difference is reckoned against the settlement and all corrections before, so re-rating twice is re-rating
once. A known cost never becomes unknown: a model that has left the book keeps what its attempts have cost.
"""

from dataclasses import dataclass, replace

from gateway.core.usage import Usage
from gateway.metering.interfaces import Adjustment, Reason
from gateway.metering.prices.pricing import Charge


@dataclass(frozen=True, slots=True)
class Rated:
    """A settled attempt, and what it costs by the ledger, its corrections included."""

    attempt_id: str
    admitted_at: int
    """Milliseconds since 1970: by which the book is asked."""
    settled_at: int
    team: str
    key_id: str
    model: str
    endpoint: str
    upstream: str
    tier: str | None
    usage: Usage
    cost: int | None
    """Micro-dollars; None: not known."""
    corrections: int = 0
    """How often it was corrected."""

    def corrected(self, cost: int, unpriced: int, corrections: int) -> "Rated":
        """With all its corrections, of which these are the sums and the number."""
        is_unknown = (self.cost is None) + unpriced > 0
        amount = None if is_unknown else (self.cost or 0) + cost
        return replace(self, cost=amount, corrections=corrections)


def keeps_its_cost(rated: Rated, charged: Charge) -> bool:
    """Whether the book has no price for what it had a price for."""
    return charged.cost is None and rated.cost is not None


def rerated(rated: Rated, charged: Charge, now: int) -> Adjustment | None:
    """The line to be added; None when nothing changes. `now`: milliseconds since 1970.

    Its id follows from the attempt and from how often it was corrected: who reckons the same at the same time
    writes the same line.
    """
    if charged.cost is None or charged.cost == rated.cost:
        return None
    return Adjustment(
        id=f"{Reason.RERATED}_{rated.corrections + 1}_{rated.attempt_id}",
        attempt_id=rated.attempt_id,
        settled_at=rated.settled_at,
        adjusted_at=now,
        reason=Reason.RERATED,
        usage=Usage(rated.usage.source),
        cost=charged.cost - (rated.cost or 0),
        unpriced=-1 if rated.cost is None else 0,
        estimated=0,
        priced_by=charged.by,
        price_version=charged.version,
    )
