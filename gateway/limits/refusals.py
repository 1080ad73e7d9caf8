"""Who was just refused for rate is refused again from memory, unread, until waiting has helped.

Only refusals that no other call could escape are remembered: of a limit on requests, of the key or the
team, for all models. A new policy version forgets them, since it may have a higher limit.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace

from gateway.core.clock import Clock
from gateway.core.errors import ErrorCode
from gateway.core.policy import Counted, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.interfaces import Refusal
from gateway.limits.verdict import too_soon


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
        self._known: OrderedDict[tuple[str, str, str], _Remembered] = OrderedDict()

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

    def remember(self, principal: Principal, policy: Policy, refusal: Refusal) -> None:
        """Keep it, if it will be the same for every call of this caller."""
        retry_after = refusal.deny.retry_after
        if retry_after is None or not _is_for_every_call(refusal):
            return
        caller, now = _caller(principal, policy), self._clock.monotonic()
        self._known[caller] = _Remembered(refusal, now, now + retry_after)
        self._known.move_to_end(caller)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def _caller(principal: Principal, policy: Policy) -> tuple[str, str, str]:
    return principal.team, principal.key_id, policy.version


def _is_for_every_call(refusal: Refusal) -> bool:
    limit = refusal.demand.limit
    return (
        refusal.deny.code is ErrorCode.RATE_LIMIT_EXCEEDED
        and limit.counts is Counted.REQUESTS
        and Scope.MODEL not in limit.per
        and "*" in limit.models
    )


def _later(refusal: Refusal, *, left: float, elapsed: float) -> Refusal:
    standings = tuple(
        standing._replace(reset=max(0.0, standing.reset - elapsed)) for standing in refusal.standings
    )
    deny = replace(refusal.deny, reason=too_soon(refusal.demand, left), retry_after=left)
    return replace(refusal, deny=deny, standings=standings)
