"""All policies of one version of the files, resolved. Immutable: a reload makes a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.identity import Identity
from gateway.core.policy import Catalogue, Policy
from gateway.policies.origins import NOWHERE, Origins


@dataclass(frozen=True, slots=True)
class TeamPolicies:
    """One team's policy, and those of its keys that differ from it."""

    policy: Policy
    keys: Mapping[str, Policy] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True)
class PolicySet:
    version: str
    """Twelve hexadecimal digits of a hash over all files."""
    catalogue: Catalogue = field(repr=False)
    teams: Mapping[str, TeamPolicies] = field(repr=False)
    identity: Identity = field(default_factory=Identity, repr=False)
    """Who vouches for callers without a key of this gateway."""
    origins: Origins = field(default=NOWHERE, repr=False)

    def origin(self, team: str, key_name: str, rule: str) -> str:
        """Where the rule stands that holds for a key of a team, `teams/search.yaml:12`. Rules are called as
        refusals call them: `limits.team-tokens`, `models`. Empty when no file says it."""
        return self.origins.of_rule(team, key_name, rule)
