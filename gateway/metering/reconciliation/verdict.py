"""Whether two books agree well enough: all differences together, without signs, against what there is."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from gateway.metering.reconciliation.amounts import NOTHING, Amounts
from gateway.metering.reconciliation.explain import Explained, Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sums over all places."""

    provider: Amounts
    ledger: Amounts
    off: Amounts
    """Each place's difference without its sign, so that too much here does not make up for too little there;
    rounding aside."""

    @property
    def ratio(self) -> Decimal:
        """The worst of requests, tokens and cost: how much of it is off. 1 is all of it."""
        return max(
            _part(off, max(theirs, ours))
            for off, theirs, ours in (
                (self.off.requests, self.provider.requests, self.ledger.requests),
                (self.off.tokens, self.provider.tokens, self.ledger.tokens),
                (self.off.cost, self.provider.cost, self.ledger.cost),
            )
        )

    def holds(self, tolerance: Decimal) -> bool:
        return self.ratio <= tolerance


def judge(explained: Iterable[Explained]) -> Verdict:
    provider = ledger = off = NOTHING
    for each in explained:
        difference = each.comparison.difference.minus(each.of(Reason.ROUNDING))
        provider = provider.plus(each.comparison.provider)
        ledger = ledger.plus(each.comparison.ledger)
        off = off.plus(difference.sizes())
    return Verdict(provider, ledger, off)


def _part(off: int, whole: int) -> Decimal:
    return Decimal(off) / whole if whole else Decimal(off > 0)
