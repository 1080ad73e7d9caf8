"""Where each rule stands, so that whoever is refused can be told which line to look at.

Rules are called here as refusals call them: `limits.team-tokens`, `models`. Of each level only what it says
itself is kept; what it inherits is looked up when somebody asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from gateway.policies.levels import Level, families_of
from gateway.policies.reading import Files
from gateway.policies.schema import Team

_NAMED: Final = ("limits", "budgets", "filters", "shaping")
_ALONE: Final = ("endpoints", "models", "objects", "unpriced", "when_client_leaves")

_Holder = tuple[str, str]
"""A team and the name of a key: empty ones for the team itself, and for the organization."""


@dataclass(frozen=True, slots=True)
class Origins:
    """`file:line` of every rule, by the level that says it."""

    said: Mapping[_Holder, Mapping[str, str]]

    @classmethod
    def of(cls, files: Files) -> Self:
        levels = [level for family in families_of(files) for level in family]
        said = {_holder(level): _places(level) for level in levels}
        return cls({holder: places for holder, places in said.items() if places})

    def of_rule(self, team: str, key_name: str, rule: str) -> str:
        """Of the rule that holds for a key of a team: its own, or what it inherits. Empty when nobody says
        it."""
        for holder in ((team, key_name), (team, ""), ("", "")):
            place = self.said.get(holder, {}).get(rule)
            if place is not None:
                return place
        return ""


NOWHERE: Final = Origins({})


def _holder(level: Level) -> _Holder:
    if level.above is None:
        return "", ""
    if isinstance(level.says, Team):
        return level.says.team, ""
    (team, _), (_, key_name) = _holder(level.above), level.path
    return team, str(key_name)


def _places(level: Level) -> dict[str, str]:
    """What a level says itself, and where."""
    named = [(kind, name) for kind in _NAMED for name in getattr(level.says, kind)]
    alone = [(name,) for name in _ALONE if getattr(level.says, name) is not None]
    return {".".join(path): _place(level, *path) for path in (*named, *alone)}


def _place(level: Level, *path: str) -> str:
    found = level.problem(*path, message="")
    return f"{found.file}:{found.line}"
