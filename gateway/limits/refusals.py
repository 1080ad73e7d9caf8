"""Who was just refused is refused again from memory, unread, until waiting has helped.

Only refusals that no other call could escape are remembered: of what every call spends, by the caller or its
team, on all models. One for rate lasts until its retry time; one for a budget with nothing left lasts a
second, since nobody knows when there is more. A new policy version forgets them, since it may have a higher
limit.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import ErrorCode
from gateway.core.policy import Counted, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.interfaces import Refusal
from gateway.limits.verdict import too_soon

_BUDGET_SECONDS: Final = 1.0
_SPENT_BY_ALL: Final = frozenset({Counted.REQUESTS, Counted.TOKENS, Counted.DOLLARS})
"""Units of budgets. Who has no pictures left may still chat."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    refusal: Refusal
    at: float
    until: float


class RecentRefusals:
    """Of one process."""

    def __init__(self, *, clock: Clock, most: int = 10_000) -> None:
        """`most`: callers that are remembered; the one refused longest ago is forgotten."""
        self._clock = clock
        self._most = most
        self._known: OrderedDict[tuple[str, str, str, str], _Remembered] = OrderedDict()

    def find(self, principal: Principal, policy: Policy) -> Refusal | None:
        """The refusal that still stands, with the time that is left of it."""
        caller = _caller(principal, policy)
        known = self._known.get(caller)
        if known is None:
            return None
        now = self._clock.monotonic()
        if now >= known.until:
            del self._known[caller]
            return None
        return _later(known.refusal, left=known.until - now, elapsed=now - known.at)

    def clear(self) -> None:
        """Forget all: what was refused may have room now."""
        self._known.clear()

    def remember(self, principal: Principal, policy: Policy, refusal: Refusal) -> None:
        """Keep it, if it will be the same for every call of this caller."""
        seconds = _lasts(refusal)
        if seconds <= 0:
            return
        caller, now = _caller(principal, policy), self._clock.monotonic()
        self._known[caller] = _Remembered(refusal, now, now + seconds)
        self._known.move_to_end(caller)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def _caller(principal: Principal, policy: Policy) -> tuple[str, str, str, str]:
    return principal.team, principal.key_id, principal.subject, policy.version


def _lasts(refusal: Refusal) -> float:
    """The seconds for which it will be the same for every call of this caller."""
    limit, deny = refusal.demand.limit, refusal.deny
    if Scope.MODEL in limit.per or "*" not in limit.models:
        return 0.0
    match deny.code:
        case ErrorCode.RATE_LIMIT_EXCEEDED if limit.counts is Counted.REQUESTS:
            return deny.retry_after or 0.0
        case ErrorCode.INSUFFICIENT_QUOTA if limit.counts in _SPENT_BY_ALL and _is_empty(refusal):
            return _BUDGET_SECONDS
    return 0.0


def _is_empty(refusal: Refusal) -> bool:
    """Whether it is of a budget with nothing left at all, so that no call is small enough; and nothing comes
    back from what is under way."""
    window = refusal.demand.window
    return window is not None and refusal.level >= window.amount and refusal.deny.retry_after is None


def _later(refusal: Refusal, *, left: float, elapsed: float) -> Refusal:
    standings = tuple(
        standing._replace(reset=max(0.0, standing.reset - elapsed)) for standing in refusal.standings
    )
    deny = refusal.deny
    if deny.retry_after is not None:
        deny = replace(deny, reason=too_soon(refusal.demand, left), retry_after=left)
    return replace(refusal, deny=deny, standings=standings)
