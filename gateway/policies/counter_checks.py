"""Rules that would get into each other's way where they are counted. The law: what has one name, one unit and
one `per` has one counter, whichever level says it; so all levels must count it in the same way.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from gateway.core.policy import Counted, Scope
from gateway.policies.levels import Level, families_of
from gateway.policies.problems import Problem
from gateway.policies.reading import Files
from gateway.policies.rule import SwitchedOff

_KINDS: Final = {"limits": "limit", "budgets": "budget"}
_OWN: Final = frozenset({Scope.USER, Scope.KEY})
"""A caller's own counters: what other keys of the team are told does not touch them."""


class _Counter(NamedTuple):
    """What rules with one counter have in common."""

    kind: str
    name: str
    counts: Counted
    per: tuple[Scope, ...]

    @property
    def is_of_all_teams(self) -> bool:
        return Scope.ORGANIZATION in self.per

    @property
    def is_shared(self) -> bool:
        """Whether keys draw on it that may be told different things."""
        return self.is_of_all_teams or _OWN.isdisjoint(self.per)


_Counters = dict[_Counter, tuple[Level, Any]]
"""Counters with the rule by which each is counted, and the level that says it."""


def check_counters(files: Files) -> Iterator[Problem]:
    """Silent while the organization cannot be read: then nobody knows what is inherited."""
    if files.organization is None:
        return
    (organization,), *teams = families_of(files)
    yield from _check_names([organization])
    of_all = {counter: said for counter, said in _counters(organization).items() if counter.is_of_all_teams}
    for team in teams:
        yield from _check_names([organization, *team])
        yield from _check_beginnings(team, of_all)
        yield from _check_pace(team, of_all)


def _check_names(levels: Sequence[Level]) -> Iterator[Problem]:
    """A limit and a budget of one name could be taken for each other. Told of the last file alone."""
    names: dict[str, str] = {}
    for level in levels:
        for counter in _own_counters(level):
            other = names.setdefault(counter.name, counter.kind)
            if other != counter.kind and level.source is levels[-1].source:
                message = f"is already the name of a {_KINDS[other]}: choose another"
                yield level.problem(counter.kind, counter.name, message=message)


def _check_beginnings(levels: Iterable[Level], of_all: _Counters) -> Iterator[Problem]:
    """What counts all teams is said to all teams, or it would count some of them and not others."""
    for level in levels:
        for counter in _own_counters(level):
            if counter.is_of_all_teams and counter not in of_all:
                message = (
                    "counts all teams, so organization.yaml must have it first: "
                    f"by the same name, in `{counter.counts}`, with the same `per`"
                )
                yield level.problem(counter.kind, counter.name, message=message)


def _check_pace(levels: Iterable[Level], of_all: _Counters) -> Iterator[Problem]:
    """Who counts together counts alike. Amounts of budgets and slots may differ: each stops at its own."""
    known = dict(of_all)
    for level in levels:
        for counter, (said_by, rule) in _counters(level).items():
            first_by, first = known.setdefault(counter, (said_by, rule))
            differ = [f"`{key}`" for key, value in first.pace.items() if rule.pace[key] != value]
            if counter.is_shared and differ and said_by is level:
                other = first_by.problem(counter.kind, counter.name, message="")
                message = (
                    f"is counted together with the one of {other.file}:{other.line}, "
                    f"so {' and '.join(differ)} must be the same; or give it another name"
                )
                yield level.problem(counter.kind, counter.name, message=message)


def _counters(level: Level) -> _Counters:
    """The counters on which this level draws."""
    return {
        _Counter(kind, name, rule.counts, rule.per): (said_by, rule)
        for kind in _KINDS
        for name, (said_by, rule) in level.in_force(kind).items()
    }


def _own_counters(level: Level) -> list[_Counter]:
    """Those of the rules that stand here."""
    return [
        _Counter(kind, name, rule.counts, rule.per)
        for kind in _KINDS
        for name, rule in getattr(level.says, kind).items()
        if not isinstance(rule, SwitchedOff)
    ]
