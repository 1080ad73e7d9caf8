"""The places where rules are said (organization, teams, their keys), each with what it inherits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.core.decision import Mode
from gateway.core.policy import Unpriced
from gateway.policies.problems import Problem
from gateway.policies.reading import Files, Source
from gateway.policies.rule import Node
from gateway.policies.schema import Allowed, Overrides
from gateway.wire.document import Path


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What one file says of all, of a team, or of one key."""

    source: Source[Node]
    path: Path
    """Where it stands in the file: at the top, or below the key's name."""
    says: Overrides
    above: "Level | None" = None
    """What it inherits from."""

    def problem(self, *path: str | int, message: str) -> Problem:
        return self.source.problem(*self.path, *path, message=message)

    @property
    def inherits(self) -> list["Level"]:
        """The levels that it inherits from, the nearest first."""
        return [self.above, *self.above.inherits] if self.above else []

    def in_force(self, kind: str) -> dict[str, tuple["Level", Any]]:
        """The rules of this kind that hold here, by name, each with the level that says it."""
        rules: dict[str, tuple[Level, Any]] = {}
        for level in reversed([self, *self.inherits]):
            rules |= {name: (level, rule) for name, rule in getattr(level.says, kind).items()}
        return {name: said for name, said in rules.items() if said[1].mode != Mode.OFF}

    def allow_list(self) -> tuple["Level", Allowed] | None:
        """The models that may be used here, with the level that says it. None: nobody says any."""
        said = ((level, level.says.models) for level in [self, *self.inherits])
        return next(((level, models) for level, models in said if models is not None), None)

    def unpriced(self) -> tuple["Level | None", Unpriced]:
        """What is done here about what has no price, with the level that says it. None: nobody says it."""
        said = ((level, level.says.unpriced) for level in [self, *self.inherits])
        return next(((level, word) for level, word in said if word is not None), (None, Unpriced.ALARM))


def families_of(files: Files) -> Iterator[list[Level]]:
    """The levels of each file that can be read; whoever inherits comes after what is inherited."""
    organization = None
    if files.organization:
        organization = Level(files.organization, (), files.organization.content)
        yield [organization]
    for source in files.teams:
        team = Level(source, (), source.content, organization)
        keys = source.content.keys.items()
        yield [team, *(Level(source, ("keys", name), key, team) for name, key in keys)]
