"""The names that policy files may refer to, and what is told of one that is none of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from gateway.core.patterns import matches
from gateway.policies.problems import did_you_mean
from gateway.policies.reading import Files


@dataclass(frozen=True, slots=True)
class Known:
    """The names that files may refer to. A complaint is a sentence, or None when there is nothing wrong."""

    upstreams: Collection[str]
    endpoints: Collection[str]
    models: Collection[str] | None
    """None while models.yaml cannot be read: then names of models are not judged."""
    aliases: Mapping[str, str]
    teams: Collection[str] | None
    """None while a team's file cannot be read: then names of teams are not judged."""

    @classmethod
    def of(cls, files: Files, upstreams: Collection[str], endpoints: Collection[str]) -> Self:
        content = files.models.content if files.models else None
        models = content.models.keys() if content else None
        teams = frozenset(source.content.team for source in files.teams) if files.has_all_teams else None
        return cls(upstreams, endpoints, models, content.aliases if content else {}, teams)

    def complaint_of_endpoint(self, pattern: str) -> str | None:
        """Of a pattern that matches nothing: most likely a name that is misspelt."""
        if _matches_any(pattern, self.endpoints):
            return None
        return f"`{pattern}` is no endpoint{did_you_mean(pattern, self.endpoints)}"

    def complaint_of_model(self, pattern: str) -> str | None:
        if self.models is None or _matches_any(pattern, self.models):
            return None
        if pattern in self.aliases:
            return f"`{pattern}` is an alias; name the model it stands for, `{self.aliases[pattern]}`"
        return f"`{pattern}` is no model of models.yaml{did_you_mean(pattern, self.models)}"

    def complaint_of_team(self, name: str) -> str | None:
        if self.teams is None or name in self.teams:
            return None
        return f"no file has a team `{name}`{did_you_mean(name, self.teams)}"


def _matches_any(pattern: str, names: Collection[str]) -> bool:
    return pattern in names or any(matches((pattern,), name) for name in names)
