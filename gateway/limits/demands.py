"""Which buckets an exchange draws on, and how those are named. Pure, but for remembering what it worked out.

A name is `{tag}:limit:unit:scope=value...`, such as `{search}:user-tokens:tokens:team=search:user=alice`. The
braces put all that one exchange draws on on one node of a Redis Cluster, so that one script may touch it
together: usually a tag is a team; it is `*` for all teams of a house with a limit that counts them together.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from math import inf
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from gateway.core.clock import Clock
from gateway.core.decision import Mode
from gateway.core.patterns import matches
from gateway.core.policy import Budget, Counted, Limit, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.amounts import Amounts
from gateway.limits.bucket import Rate, rate_of
from gateway.limits.budget import Window, holds_until, window_of
from gateway.limits.interfaces import Demand

_PLACES: Final = {unit: Amounts._fields.index(unit) for unit in Counted}
_NAME: Final = re.compile(r"\{(?P<tag>[^}]*)\}:(?P<limit>[^:]+):(?P<counts>\w+)(?P<whose>(?::\w+=[^:=]*)*)")


class Name(NamedTuple):
    """A bucket's name, taken apart."""

    tag: str
    limit: str
    counts: str
    whose: Mapping[str, str]
    """Values by scope. Empty: the organization's."""


def demand_of(limit: Limit | Budget, bucket: str, cost: int, now: float) -> Demand:
    """What an exchange of this cost wants of this limit. `now`: seconds since 1970."""
    if isinstance(limit, Budget):
        return Demand(limit, bucket, cost, None, window_of(limit, now))
    return Demand(limit, bucket, cost, None if limit.counts is Counted.CONCURRENT else rate_of(limit))


def bucket_of(tag: str, limit: Limit | Budget, principal: Principal, model: str | None) -> str:
    """The name of the bucket that this caller draws on."""
    values = {
        Scope.TEAM: principal.team,
        Scope.USER: principal.subject,
        Scope.KEY: principal.key_id,
        Scope.MODEL: model or "",
    }
    scopes = "".join(f":{scope}={quote(values[scope], safe='')}" for scope in _narrowing(limit.per))
    return f"{{{tag}}}:{limit.name}:{limit.counts}{scopes}"


def name_of(bucket: str) -> Name | None:
    """A bucket's name, taken apart; None for what is no bucket."""
    parts = _NAME.fullmatch(bucket)
    if parts is None or parts["counts"] not in _PLACES:
        return None
    pairs = [pair.split("=") for pair in parts["whose"].split(":")[1:]]
    return Name(
        parts["tag"], parts["limit"], parts["counts"], {scope: unquote(value) for scope, value in pairs}
    )


def whose(demand: Demand) -> str:
    """Whose bucket it is, for a sentence: "team `search`", "user `alice` and model `gpt-5`"."""
    name = name_of(demand.bucket)
    scopes = dict(name.whose) if name else {}
    if len(scopes) > 1:
        scopes.pop(Scope.TEAM, None)
    return " and ".join(f"{scope} `{value}`" for scope, value in scopes.items()) or "the organization"


class Demands:
    """What exchanges want of their limits. What depends on the caller and the model alone, and on no more of
    the time than the window of a budget, is worked out once."""

    def __init__(self, *, clock: Clock, most: int = 10_000) -> None:
        """`most`: pairs of caller and model that are remembered; the one longest unused is forgotten."""
        self._clock = clock
        self._most = most
        self._known: OrderedDict[tuple[str, str, str, str | None], _Known] = OrderedDict()

    def of(
        self,
        principal: Principal,
        policy: Policy,
        model: str | None,
        expected: Amounts,
        bound: Amounts | None = None,
    ) -> tuple[Demand, ...]:
        """What one exchange wants of each limit that counts it. `model`: the catalogue's name, None for none.
        `bound`: the most that it can spend, which strict budgets want; None: `expected`."""
        caller = (principal.team, principal.key_id, principal.subject, model)
        known, now = self._known.get(caller), self._clock.now()
        if known is None or known.policy is not policy or known.until <= now:
            known = self._known[caller] = _worked_out(principal, policy, model, now)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(caller)
        most = bound or expected
        return tuple(
            [
                Demand(limit, bucket, (most if strict else expected)[place], rate, window)
                for limit, bucket, rate, window, place, strict in known.demands
            ]
        )


class _Row(NamedTuple):
    """A demand without its cost."""

    limit: Limit | Budget
    bucket: str
    rate: Rate | None
    window: Window | None
    place: int
    """Of its cost among an exchange's amounts."""
    strict: bool


class _Known(NamedTuple):
    policy: Policy
    until: float
    demands: tuple[_Row, ...]


def _worked_out(principal: Principal, policy: Policy, model: str | None, now: float) -> _Known:
    rows, until = [], inf
    tag = policy.counters or principal.team
    for limit in _counting(policy, model):
        demand = demand_of(limit, bucket_of(tag, limit, principal, model), 0, now)
        strict = isinstance(limit, Budget) and limit.strict
        rows.append(_Row(limit, demand.bucket, demand.rate, demand.window, _PLACES[limit.counts], strict))
        if isinstance(limit, Budget) and demand.window is not None:
            until = min(until, holds_until(limit, demand.window, now))
    return _Known(policy, until, tuple(rows))


def _counting(policy: Policy, model: str | None) -> Iterator[Limit | Budget]:
    """The limits that count such an exchange."""
    limits: tuple[Limit | Budget, ...] = (*policy.limits, *policy.budgets)
    for limit in limits:
        if limit.mode is Mode.OFF:
            continue
        if model is None and (Scope.MODEL in limit.per or "*" not in limit.models):
            continue
        if model is None or matches(limit.models, model):
            yield limit


def _narrowing(per: tuple[Scope, ...]) -> list[Scope]:
    """The scopes that tell buckets apart, the widest first. Of a team, unless it counts all teams."""
    within = () if Scope.ORGANIZATION in per else (Scope.TEAM,)
    return [*within, *(scope for scope in (Scope.USER, Scope.KEY, Scope.MODEL) if scope in per)]
