"""All policies of one version of the files, resolved. Immutable: a reload makes a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.policy import Catalogue, Policy


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
