"""Which buckets an exchange draws on, and how those are named. Pure, but for remembering what it worked out.

A name is `{team}:limit:team`, `{team}:limit:key:<key id>` or `{team}:limit:model:<model>`. The braces put all
buckets of a team on one node of a Redis Cluster, so that one script may touch them together.
"""

from collections import OrderedDict
from typing import Final

from gateway.core.decision import Mode
from gateway.core.patterns import matches
from gateway.core.policy import Counted, Limit, Scope
from gateway.core.principal import Principal
from gateway.limits.bucket import rate_of
from gateway.limits.interfaces import Demand

_Limits = tuple[Limit, ...]
_Demands = tuple[Demand, ...]

_TOKENS: Final = Counted.TOKENS


def demands_of(principal: Principal, limits: _Limits, model: str | None, expected_tokens: int) -> _Demands:
    """What one call wants of each limit that counts it. `model`: the catalogue's name, None for none."""
    return tuple(
        demand_of(limit, _bucket(limit, principal, model), expected_tokens)
        for limit in limits
        if limit.mode is not Mode.OFF and _counts(limit, model)
    )


def demand_of(limit: Limit, bucket: str, tokens: int) -> Demand:
    """What one call that is expected to use so many tokens wants of this limit."""
    rate = None if limit.counts is Counted.CONCURRENT else rate_of(limit)
    return Demand(limit, bucket, tokens if limit.counts is Counted.TOKENS else 1, rate)


def whose(demand: Demand) -> str:
    """Whose bucket it is, for a sentence: "team `search`"."""
    scope = demand.limit.scope
    team, _, value = demand.bucket.removeprefix("{").partition(f"}}:{demand.limit.name}:{scope}")
    return f"{scope} `{value.removeprefix(':') or team}`"


class Demands:
    """`demands_of`, faster: what depends on the caller and the model alone is worked out once."""

    def __init__(self, *, most: int = 10_000) -> None:
        """`most`: pairs of caller and model that are remembered; the one longest unused is forgotten."""
        self._most = most
        self._known: OrderedDict[tuple[str, str, str | None], tuple[_Limits, _Demands]] = OrderedDict()

    def of(self, principal: Principal, limits: _Limits, model: str | None, expected_tokens: int) -> _Demands:
        """As `demands_of`."""
        caller = (principal.team, principal.key_id, model)
        known = self._known.get(caller)
        if known is None or known[0] != limits:
            known = self._known[caller] = limits, demands_of(principal, limits, model, 0)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(caller)
        return tuple(
            [
                Demand(demand.limit, demand.bucket, expected_tokens, demand.rate)
                if demand.limit.counts is _TOKENS
                else demand
                for demand in known[1]
            ]
        )


def _counts(limit: Limit, model: str | None) -> bool:
    if model is None:
        return limit.scope is not Scope.MODEL and "*" in limit.models
    return matches(limit.models, model)


def _bucket(limit: Limit, principal: Principal, model: str | None) -> str:
    if limit.scope is Scope.TEAM:
        return f"{{{principal.team}}}:{limit.name}:team"
    value = principal.key_id if limit.scope is Scope.KEY else model
    return f"{{{principal.team}}}:{limit.name}:{limit.scope}:{value}"
