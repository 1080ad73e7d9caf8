"""What is left, as the operators' endpoint tells it: these names are the names of its answer.

All amounts are whole numbers of the unit, and a dollar is a million microdollars.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.decision import Mode
from gateway.core.policy import Scope


@dataclass(frozen=True, slots=True)
class Held:
    """What one request holds."""

    request_id: str
    """`slice:…` for what a replica has set aside."""
    amount: int
    lease_seconds: float
    """Until it is given back by itself, unless it is renewed."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An increase that holds at the moment."""

    amount: int
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One limit, by one bucket."""

    limit: str
    unit: str
    per: tuple[Scope, ...]
    models: tuple[str, ...]
    mode: Mode
    keys: tuple[str, ...]
    """The names of the keys whose own policies say so; none: the team's policy does."""
    whose: Mapping[str, str | None]
    """Whom it counts, by scope: `team`, `user`, `key` (its id), `model`. Empty: all teams."""
    key_name: str | None
    unused: bool
    """Nobody has drawn on it yet, so `whose` is not known; the numbers are those with which it begins."""
    amount: int
    """Of a rate, what comes back in its window; slots; of a budget, with the increases that hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLeft(Left):
    left: int
    """What may be spent at this moment."""
    burst: int
    """The most that `left` can be."""
    window_seconds: float
    full_in_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsLeft(Left):
    taken: int
    holders: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLeft(Left):
    """What is spent, held, set aside and left is the amount, unless it is overspent."""

    spent: int
    held: int
    """By requests under way."""
    set_aside: int
    """By replicas, to spend while Redis is away."""
    left: int
    percent: float
    """How much of the amount is spent."""
    period: str
    zone: str
    begins_at: str
    ends_at: str
    """ISO 8601, in its zone."""
    strict: bool
    alert_at: tuple[int, ...]
    increases: tuple[Raised, ...]
    holders: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLimits:
    """The answer."""

    team: str
    key: str | None
    user: str | None
    model: str | None
    at: str
    rates: tuple[RateLeft, ...]
    concurrency: tuple[SlotsLeft, ...]
    budgets: tuple[BudgetLeft, ...]
    not_shown: int
    """Buckets that are left out, being too many: those of which least is used."""
