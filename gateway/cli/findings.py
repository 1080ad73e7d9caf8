"""What explains the differences, in sentences: one for each upstream, model and reason, over all days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.cli.wording import dollars, many
from gateway.metering.reconciliation.amounts import NOTHING, Amounts
from gateway.metering.reconciliation.explain import Explained, Reason

ALL_MODELS: Final = "all models"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for differences of one model."""

    upstream: str
    model: str
    """Rounding is told of all models at once."""
    reason: Reason
    days: frozenset[int]
    """On which."""
    amounts: Amounts
    """The provider's less the ledger's."""
    ratio: Decimal | None
    unpriced: int
    """Attempts of these days whose cost the ledger does not know."""
    gone: int
    """Attempts of these days whose lines are no longer kept."""

    @property
    def sentence(self) -> str:
        name = self.model or "(no model)"
        where = f"{self.upstream} {name}, {many(len(self.days), 'day')}"
        return f"{where}: {self.reason}. {_SENTENCES[self.reason](self)}"


def findings(explained: Sequence[Explained]) -> Sequence[Finding]:
    """Sorted by upstream and model, the reasons in the order in which they are asked."""
    found: dict[tuple[str, str, Reason], Finding] = {}
    for each in explained:
        place = each.comparison.place
        unpriced = each.comparison.recorded.unpriced if each.comparison.recorded else 0
        for share in each.shares:
            model = ALL_MODELS if share.reason is Reason.ROUNDING else place.model
            key = (place.upstream, model, share.reason)
            had = found.get(key)
            found[key] = Finding(
                *key,
                days=(had.days if had else frozenset()) | {place.day},
                amounts=share.amounts.plus(had.amounts if had else NOTHING),
                ratio=share.ratio if had is None or had.ratio == share.ratio else None,
                unpriced=unpriced + (had.unpriced if had else 0),
                gone=each.comparison.gone + (had.gone if had else 0),
            )
    order = list(Reason)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1], order.index(key[2])))]


def _unmetered(each: Finding) -> str:
    return (
        f"The provider counts {_spelled(each.amounts)} of what the gateway has not a single line for: it "
        "is used by a path that the gateway does not meter, or not through the gateway at all."
    )


def _outside(each: Finding) -> str:
    return (
        f"The provider counts {_spelled(each.amounts)} more than the ledger: somebody uses this project past "
        "the gateway. Look for other keys of the project, and revoke them."
    )


def _midnight(each: Finding) -> str:
    return (
        f"{_spelled(each.amounts)}, provider less ledger, is no more than what was under way when these days "
        "began or ended: the ledger counts for the day of the settlement, the provider may count for another."
    )


def _late(each: Finding) -> str:
    return (
        f"The provider has {_spelled(each.amounts)} less than the ledger, and its figures of today and "
        "yesterday are not final. Ask again in two days."
    )


def _estimates(each: Finding) -> str:
    return (
        f"{_spelled(each.amounts)} is no more than what attempts may be off that the gateway counted itself, "
        f"since their answers told no usage.{_gone(each)}"
    )


def _unpriced(each: Finding) -> str:
    return (
        f"The ledger lacks the cost of {many(each.unpriced, 'attempt')}, for which the price book has no "
        f"price; the provider charges {dollars(each.amounts.cost)} USD more. Put a price into prices.yaml, "
        "then `gateway prices rerate`."
    )


def _price(each: Finding) -> str:
    by = (
        "other prices than the book's" if each.ratio is None else f"{each.ratio:.4f} times what the book says"
    )
    return (
        f"The tokens agree and the cost does not: the provider charges {by}, a difference of "
        f"{dollars(each.amounts.cost)} USD. Compare prices.yaml with the provider's list, then "
        "`gateway prices rerate`."
    )


def _rounding(each: Finding) -> str:
    return f"{dollars(each.amounts.cost)} USD, since each attempt's cost is rounded to a whole micro-dollar."


def _unexplained(each: Finding) -> str:
    return (
        f"{_spelled(each.amounts)} remains, provider less ledger. Does the upstream's `project` name the "
        f"project of its key? `gateway ledger export` gives every line of these days.{_gone(each)}"
    )


def _gone(each: Finding) -> str:
    if not each.gone:
        return ""
    lines = many(each.gone, "attempt")
    return (
        f" Of {lines} the lines are no longer kept: nobody can tell whether they were estimated, or failed."
    )


def _spelled(amounts: Amounts) -> str:
    """The amounts that are not zero; in words, without signs where all have the same."""
    same = amounts == amounts.above() or amounts == amounts.below()
    shown = amounts.sizes() if same else amounts
    parts = [
        many(number, unit)
        for number, unit in (
            (shown.requests, "request"),
            (shown.input_tokens, "input token"),
            (shown.cached_tokens, "cached token"),
            (shown.output_tokens, "output token"),
        )
        if number
    ]
    return ", ".join([*parts, *([f"{dollars(shown.cost)} USD"] if shown.cost else [])]) or "nothing"


_SENTENCES: Final[Mapping[Reason, Callable[[Finding], str]]] = {
    Reason.UNMETERED_PATH: _unmetered,
    Reason.OUTSIDE: _outside,
    Reason.MIDNIGHT: _midnight,
    Reason.LATE: _late,
    Reason.ESTIMATES: _estimates,
    Reason.UNPRICED: _unpriced,
    Reason.PRICE_CHANGE: _price,
    Reason.ROUNDING: _rounding,
    Reason.UNEXPLAINED: _unexplained,
}
