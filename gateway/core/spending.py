"""What the ledger knows of a budget: the question, and its answer."""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.policy import Counted


@dataclass(frozen=True, slots=True)
class SpendingQuery:
    """Which attempts a budget counts. None: all of them."""

    counts: Counted
    since: int
    """Seconds since 1970: what was settled before does not count."""
    until: int
    """Nor what is settled from then on."""
    team: str | None = None
    subject: str | None = None
    key_id: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ("*",)
    """Patterns of the catalogue's names, for a budget that does not count each model by itself."""


class UnderWay(NamedTuple):
    """What an exchange that is not settled yet is expected to spend."""

    exchange_id: str
    amount: int


class Spending(NamedTuple):
    """Sums of the ledger, of one moment."""

    spent: int
    """By what was settled in the window."""
    under_way: tuple[UnderWay, ...] = ()
    """What was admitted and is not settled: it will be, or has been a moment ago."""
