"""The promise of a filter: it names what to look for, and says in words what was found."""

from collections.abc import Sequence
from typing import Protocol

from gateway.core.policy import FilterRule


class Filter(Protocol):
    """One kind of filter. All filters of a policy are scanned for at once, by `review.py`."""

    def patterns(self, rule: FilterRule) -> Sequence[str]:
        """The RE2 expressions whose occurrence is a match, in an order that `finding` knows."""

    def finding(self, rule: FilterRule, which: int) -> str:
        """A sentence for the client when pattern number `which` occurred. Never quotes the text."""
