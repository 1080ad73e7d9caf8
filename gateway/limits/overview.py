"""What is left of a team's limits and budgets, and who holds it: every limit of its policies, by every bucket
that the store knows. Takes nothing and holds nothing; but a budget that nobody has asked for yet is loaded,
so that what it shows is what was spent.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from gateway.core.clock import Clock
from gateway.core.decision import Mode
from gateway.core.patterns import matches
from gateway.core.policy import Budget, Limit, Policy, Scope
from gateway.core.principal import Principal
from gateway.limits.alerts import moment, unit_of
from gateway.limits.bucket import rate_of
from gateway.limits.budget import window_of
from gateway.limits.demands import bucket_of, demand_of, name_of
from gateway.limits.interfaces import Demand, Limiter, Loader, Look
from gateway.limits.left import BudgetLeft, Held, Raised, RateLeft, SlotsLeft, TeamLimits

_MOST_BUCKETS: Final = 1_000
"""Buckets of one limit that are looked at."""
_MOST_SHOWN: Final = 50
"""Buckets of one limit that are shown: those of which most is used."""
_MOST_HOLDERS: Final = 10
"""Holders of one bucket that are shown: those who hold most."""
_MOST_LOADED: Final = 20
"""Budgets that are loaded from the ledger for one overview."""
_LOOKED_AT_ONCE: Final = 200


class Only(NamedTuple):
    """Narrows the answer to what counts a call by this key, of this user, to this model. None: any."""

    key: str | None = None
    """Its id."""
    user: str | None = None
    model: str | None = None
    """The catalogue's name."""


_EVERYTHING: Final = Only()


@dataclass(frozen=True, slots=True)
class Team:
    """Of whom is asked."""

    name: str
    policy: Policy
    keys: Mapping[str, Policy]
    """The policies of keys that differ, by the keys' names."""
    key_names: Mapping[str, str]
    """By id."""

    def policy_of(self, key_id: str | None) -> str:
        """The name of the key's own policy; empty for the team's."""
        name = self.key_names.get(key_id or "", "")
        return name if name in self.keys else ""


class _Rule(NamedTuple):
    limit: Limit | Budget
    policies: tuple[str, ...]
    """Names of the keys whose policies it stands in; the team's is the empty one."""


class _Row(NamedTuple):
    rule: _Rule
    demand: Demand
    whose: Mapping[str, str]
    look: Look = Look(0)
    unused: bool = False


_Known = Mapping[tuple[str, str], Sequence[tuple[str, Mapping[str, str]]]]
"""Buckets and whose they are, by their limit and its unit."""


class Overview:
    """Looks at a limiter."""

    def __init__(self, *, limiter: Limiter, loader: Loader, clock: Clock) -> None:
        self._limiter = limiter
        self._loader = loader
        self._clock = clock

    async def of(self, team: Team, only: Only = _EVERYTHING) -> TeamLimits:
        """What is left. Raises StoreUnavailable when the limiter's store is away, or the ledger."""
        now = self._clock.now()
        known = _known(await self._limiter.buckets(_tag(team)), team.name)
        of_each = [_rows(rule, known, team, only, now) for rule in _rules(team, only)]
        some = [row for rows in of_each for row in rows[:_MOST_BUCKETS]]
        shown = _most_used(await self._looked_at(some))
        lefts = [_left(row, team, now) for row in shown]
        return TeamLimits(
            team=team.name,
            key=only.key,
            user=only.user,
            model=only.model,
            at=moment(now),
            rates=tuple(left for left in lefts if isinstance(left, RateLeft)),
            concurrency=tuple(left for left in lefts if isinstance(left, SlotsLeft)),
            budgets=tuple(left for left in lefts if isinstance(left, BudgetLeft)),
            not_shown=sum(map(len, of_each)) - len(shown),
        )

    async def _looked_at(self, rows: Sequence[_Row]) -> list[_Row]:
        """With what the store knows; without budgets that are too many to be loaded."""
        looked = await self._look(rows)
        unloaded = [row for row in looked if not row.look.loaded][:_MOST_LOADED]
        if unloaded:
            await self._loader.load([row.demand for row in unloaded])
            loaded = {row.demand.bucket: row.look for row in await self._look(unloaded)}
            looked = [row._replace(look=loaded.get(row.demand.bucket, row.look)) for row in looked]
        return [row for row in looked if row.look.loaded]

    async def _look(self, rows: Sequence[_Row]) -> list[_Row]:
        """Blank rows stay as they are."""
        looks: list[Look] = []
        drawn = [row for row in rows if not row.unused]
        for start in range(0, len(drawn), _LOOKED_AT_ONCE):
            part = drawn[start : start + _LOOKED_AT_ONCE]
            looks += await self._limiter.look([row.demand for row in part])
        answers = iter(looks)
        return [row if row.unused else row._replace(look=next(answers)) for row in rows]


def _tag(team: Team) -> str:
    return team.policy.counters or team.name


def _known(buckets: Iterable[str], team: str) -> _Known:
    """Those that may be the team's. Of a tag that all teams share, most are not: they are not even read."""
    known = defaultdict(list)
    own = f":{Scope.TEAM}={quote(team, safe='')}"
    for bucket in buckets:
        if own in bucket or f":{Scope.TEAM}=" not in bucket:
            name = name_of(bucket)
            if name is not None:
                known[name.limit, name.counts].append((bucket, name.whose))
    return known


def _rules(team: Team, only: Only) -> list[_Rule]:
    """The limits and budgets of the policies that are asked for, equal ones once."""
    policies = {"": team.policy, **team.keys}
    if only.key is not None:
        name = team.policy_of(only.key)
        policies = {name: policies[name]}
    found: dict[Limit | Budget, list[str]] = {}
    for name, policy in policies.items():
        limits: tuple[Limit | Budget, ...] = (*policy.limits, *policy.budgets)
        for limit in limits:
            if limit.mode is not Mode.OFF and (only.model is None or matches(limit.models, only.model)):
                found.setdefault(limit, []).append(name)
    return [_Rule(limit, tuple(names)) for limit, names in found.items()]


def _rows(rule: _Rule, known: _Known, team: Team, only: Only, now: float) -> list[_Row]:
    """Its buckets: the very one, when it is clear which; else all that are known; else one that is blank."""
    limit, tag = rule.limit, _tag(team)
    caller = Principal(subject=only.user or "", team=team.name, key_id=only.key or "", key_name="")
    bucket = bucket_of(tag, limit, caller, only.model)
    name = name_of(bucket)
    asked = name.whose if name else {}
    blank = _Row(rule, demand_of(limit, bucket, 0, now), asked)
    if all(asked.values()):
        return [blank]
    found = [
        blank._replace(demand=blank.demand._replace(bucket=bucket), whose=whose)
        for bucket, whose in known.get((limit.name, limit.counts), ())
        if whose.keys() == asked.keys()
        and all(asked[scope] in ("", value) for scope, value in whose.items())
        and (Scope.KEY not in whose or team.policy_of(whose[Scope.KEY]) in rule.policies)
    ]
    return found or [blank._replace(unused=True)]


def _most_used(rows: Sequence[_Row]) -> list[_Row]:
    """The limits in their order; of each the buckets of which most is used."""
    by_rule: dict[_Rule, list[_Row]] = defaultdict(list)
    for row in rows:
        by_rule[row.rule].append(row)
    shown = []
    for of_rule in by_rule.values():
        of_rule.sort(key=lambda row: (-row.look.level, row.demand.bucket))
        shown += of_rule[:_MOST_SHOWN]
    return shown


def _left(row: _Row, team: Team, now: float) -> RateLeft | SlotsLeft | BudgetLeft:
    limit = row.demand.limit
    key_id = row.whose.get(Scope.KEY)
    common = {
        "limit": limit.name,
        "unit": unit_of(limit.counts),
        "per": limit.per,
        "models": limit.models,
        "mode": limit.mode,
        "keys": () if "" in row.rule.policies else row.rule.policies,
        "whose": {scope: value or None for scope, value in row.whose.items()},
        "key_name": team.key_names.get(key_id) if key_id else None,
        "unused": row.unused,
    }
    if isinstance(limit, Budget):
        return _budget(common, limit, row.look, now)
    return _slots(common, limit, row.look) if row.demand.rate is None else _rate(common, limit, row.look)


def _rate(common: Mapping[str, Any], limit: Limit, look: Look) -> RateLeft:
    rate = rate_of(limit)
    return RateLeft(
        **common,
        amount=limit.amount,
        left=rate.remaining(look.level),
        burst=limit.burst,
        window_seconds=limit.seconds,
        full_in_seconds=rate.seconds_to_pay(look.level),
    )


def _slots(common: Mapping[str, Any], limit: Limit, look: Look) -> SlotsLeft:
    return SlotsLeft(**common, amount=limit.amount, taken=look.level, holders=_holders(look))


def _budget(common: Mapping[str, Any], budget: Budget, look: Look, now: float) -> BudgetLeft:
    window = window_of(budget, now)
    _, begins, ends, _ = window.edges
    return BudgetLeft(
        **common,
        amount=window.amount,
        spent=look.spent,
        held=max(0, look.level - look.spent - look.set_aside),
        set_aside=look.set_aside,
        left=max(0, window.amount - look.level),
        percent=round(look.spent * 100 / max(1, window.amount), 1),
        period=budget.period.value,
        zone=budget.zone,
        begins_at=moment(begins, budget.zone),
        ends_at=moment(ends, budget.zone),
        strict=budget.strict,
        alert_at=budget.alert_at,
        increases=tuple(
            Raised(each.amount, moment(each.until, budget.zone))
            for each in budget.increases
            if now < each.until
        ),
        holders=_holders(look),
    )


def _holders(look: Look) -> tuple[Held, ...]:
    most = sorted(look.holders, key=lambda holder: (-holder.amount, holder.seconds))[:_MOST_HOLDERS]
    return tuple(Held(holder.exchange_id, holder.amount, holder.seconds) for holder in most)
