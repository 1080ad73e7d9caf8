"""How much of a limit is left: what `x-ratelimit-*` headers say."""

from typing import NamedTuple

from gateway.core.policy import Counted


class Standing(NamedTuple):
    """One limit after a decision."""

    limit: str
    """The limit's name in the policy files."""
    counts: Counted
    amount: int
    remaining: int
    reset: float
    """Seconds until it is full again if nothing more is spent."""
