"""Two books, lined up: by day, upstream and model. Pure.

Providers bill by snapshots (`gpt-4o-2024-08-06`), of which a book may know the alias alone (`gpt-4o`).
Snapshots are told apart where both books know the same names; else they are one model, under the alias.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

from gateway.metering.reconciliation.amounts import NOTHING, Amounts, Counted, Lines, Place, Recorded

_SNAPSHOT: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$", re.ASCII)

Names = Mapping[tuple[str, str], str]
"""The common name, by upstream and a book's own name."""


class _Sum(Protocol):
    def plus(self, other: Self) -> Self: ...


S = TypeVar("S", bound=_Sum)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One place in both books."""

    place: Place
    counted: Counted | None
    """None: the provider says nothing of it."""
    recorded: Recorded | None
    """None: the ledger says nothing of it."""
    lines: Lines | None = None
    """What the lines say; None: nobody asked them."""
    into_next: Amounts = NOTHING
    """What the ledger has on the next day, of attempts that were admitted on this one."""

    @property
    def provider(self) -> Amounts:
        """What the provider counted. Tokens that it does not tell are taken to be the ledger's."""
        if self.counted is None:
            return NOTHING
        if self.counted.tells_tokens or self.recorded is None:
            return self.counted.amounts
        told, ours = self.counted.amounts, self.recorded.amounts
        return ours._replace(requests=told.requests, cost=told.cost)

    @property
    def ledger(self) -> Amounts:
        """What the ledger has, without attempts that the provider does not count since they failed."""
        if self.recorded is None:
            return NOTHING
        amounts = self.recorded.amounts
        if self.lines is None:
            return amounts
        left = max(amounts.requests - self.lines.failed, 0)
        more = max(left - self.counted.amounts.requests, 0) if self.counted else left
        return amounts._replace(requests=left - min(self.gone, more))

    @property
    def gone(self) -> int:
        """Attempts whose lines retention has taken: nobody can tell whether they failed."""
        if self.recorded is None or self.lines is None:
            return 0
        return max(self.recorded.amounts.requests - self.lines.number, 0)

    @property
    def difference(self) -> Amounts:
        """The provider's less the ledger's."""
        return self.provider.minus(self.ledger)

    @property
    def agrees(self) -> bool:
        """But for rounding: half a micro-dollar for each attempt, and for the provider's own sum."""
        attempts = self.recorded.amounts.requests if self.recorded else 0
        difference = self.difference
        return difference._replace(cost=0) == NOTHING and abs(difference.cost) <= (attempts + 1) // 2


def line_up(
    counted: Mapping[Place, Counted],
    recorded: Mapping[Place, Recorded],
    lines: Mapping[Place, Lines] | None = None,
) -> Sequence[Comparison]:
    """Every place of either book, sorted."""
    names = common_names(counted, recorded)
    theirs, ours, told_by_lines = (
        _renamed(counted, names),
        _renamed(recorded, names),
        _renamed(lines or {}, names),
    )
    return [
        Comparison(
            place,
            theirs.get(place),
            ours.get(place),
            told_by_lines.get(place),
            into_next=told_by_lines.get(place._replace(day=place.day + 1), Lines()).from_before,
        )
        for place in sorted({*theirs, *ours})
    ]


def common_names(counted: Iterable[Place], recorded: Iterable[Place]) -> Names:
    theirs, ours = _families(counted), _families(recorded)
    names: dict[tuple[str, str], str] = {}
    for upstream, alias in {*theirs, *ours}:
        told, known = theirs[upstream, alias], ours[upstream, alias]
        apart = told == known or not told or not known
        names |= {(upstream, name): name if apart else alias for name in told | known}
    return names


def _families(places: Iterable[Place]) -> defaultdict[tuple[str, str], set[str]]:
    """A book's names by upstream and alias."""
    families: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for place in places:
        families[place.upstream, _SNAPSHOT.sub("", place.model)].add(place.model)
    return families


def _renamed(book: Mapping[Place, S], names: Names) -> dict[Place, S]:
    renamed: dict[Place, S] = {}
    for place, each in book.items():
        name = names.get((place.upstream, place.model), place.model)
        common = place._replace(model=name)
        renamed[common] = renamed[common].plus(each) if common in renamed else each
    return renamed
