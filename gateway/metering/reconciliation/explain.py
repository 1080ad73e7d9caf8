"""Why two books differ: each difference is shared out among reasons, nothing twice and nothing left. Pure.

What is exact is asked first (a request that the ledger never saw), what is only possible later (an estimate
may be wrong by so much), and what is left over is said to be unexplained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from gateway.metering.reconciliation.amounts import NOTHING, Amounts
from gateway.metering.reconciliation.compare import Comparison

_FINAL_AFTER: Final = 2
"""Days: what a provider says of today and yesterday may still grow."""


class Reason(StrEnum):
    UNMETERED_PATH = "unmetered path"
    """The gateway has no lines for the model at all."""
    MIDNIGHT = "midnight"
    """Attempts that were under way then: the provider may count them for the day before."""
    OUTSIDE = "traffic outside the gateway"
    """The provider counts more requests."""
    LATE = "late"
    """The provider counts fewer requests, or no cost yet, of a day whose figures are not final."""
    ESTIMATES = "estimates"
    """Attempts that were counted by ourselves may be off by so much."""
    UNPRICED = "unpriced"
    """Attempts whose cost the ledger does not know."""
    PRICE_CHANGE = "price change"
    """The tokens agree, the cost does not."""
    ROUNDING = "rounding"
    """At most half a micro-dollar for each attempt."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Share:
    """What of a difference one reason explains."""

    reason: Reason
    amounts: Amounts
    ratio: Decimal | None = None
    """Of a price change: what the provider charges for what costs 1 by the book. None: the book says 0."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A comparison and the reasons for its difference: none where the books agree."""

    comparison: Comparison
    shares: Sequence[Share]

    def of(self, reason: Reason) -> Amounts:
        return next((share.amounts for share in self.shares if share.reason is reason), NOTHING)


def explain_all(comparisons: Sequence[Comparison], *, today: int) -> Sequence[Explained]:
    """`today`: days since 1970, in UTC."""
    known = {(each.place.upstream, each.place.model) for each in comparisons if each.recorded}
    return [
        Explained(
            each,
            list(
                _shares(
                    each,
                    is_known=(each.place.upstream, each.place.model) in known,
                    is_final=each.place.day <= today - _FINAL_AFTER,
                )
            ),
        )
        for each in comparisons
    ]


def _shares(each: Comparison, *, is_known: bool, is_final: bool) -> Iterator[Share]:
    rest = each.difference
    for share in _steps(each, rest, is_known, is_final):
        if share.amounts != NOTHING:
            rest = rest.minus(share.amounts)
            yield share
    if rest != NOTHING:
        yield Share(Reason.UNEXPLAINED, rest)


def _steps(each: Comparison, rest: Amounts, is_known: bool, is_final: bool) -> Iterator[Share]:
    """Each takes its part of what those before it have left."""
    if each.agrees:
        yield Share(Reason.ROUNDING, rest)
        return
    if not is_known:
        yield Share(Reason.UNMETERED_PATH, rest)
        return
    shifted = _shifted(each, rest)
    yield Share(Reason.MIDNIGHT, shifted)
    rest, taken = rest.minus(shifted), NOTHING
    if rest.requests > 0:
        taken = rest.above()
        yield Share(Reason.OUTSIDE, taken)
    elif not is_final and (rest.requests < 0 or each.provider.cost == 0):
        taken = rest.below()
        yield Share(Reason.LATE, taken)
    rest = rest.minus(taken)
    if each.lines is not None:
        unsure = rest.within(each.lines.bound)
        yield Share(Reason.ESTIMATES, unsure)
        rest = rest.minus(unsure)
    yield from _of_the_cost(each, rest)


def _shifted(each: Comparison, rest: Amounts) -> Amounts:
    """What the lines say was under way at this day's end, or at its beginning."""
    if rest.requests > 0:
        return rest.above().within(each.into_next)
    if rest.requests < 0 and each.lines is not None:
        return rest.below().within(each.lines.from_before)
    return NOTHING


def _of_the_cost(each: Comparison, rest: Amounts) -> Iterator[Share]:
    """What is left of the cost, in one piece."""
    cost = Amounts(cost=rest.cost)
    if each.recorded is None:
        return
    if each.recorded.unpriced and rest.cost > 0:
        yield Share(Reason.UNPRICED, cost)
    elif rest._replace(cost=0) == NOTHING and each.counted is not None:
        booked = each.ledger.cost
        yield Share(Reason.PRICE_CHANGE, cost, Decimal(each.provider.cost) / booked if booked else None)
