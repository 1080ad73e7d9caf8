"""Who administers the gateway, and the record of what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.principal import Principal


class Role(StrEnum):
    """What somebody may do at the operators' port."""

    VIEWER = "viewer"
    """Sees everything of all teams but the audit trail; changes nothing."""
    AUDITOR = "auditor"
    """Sees everything, the audit trail too; changes nothing."""
    TEAM_ADMIN = "team_admin"
    """Sees and manages what belongs to its own teams."""
    OPERATOR = "operator"
    """May do everything."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who was let in at the operators' port, or sits at the command line."""

    name: str
    """As the audit trail tells it: `token:ops`, `entra:alice`, `cli:root`."""
    role: Role
    teams: frozenset[str] = frozenset()
    """Of a team admin: its teams. Of the others empty, and of no meaning."""
    holder: Principal | None = None
    """Whose token of an issuer it was: what takes that back, takes this back. None for all others. It has no
    team: a team's callers are not its administrators."""

    def may_see(self, team: str) -> bool:
        """Whether what belongs to this team is any of its business."""
        return self.role is not Role.TEAM_ADMIN or team in self.teams


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done, for the audit trail. Holds no secret, no prompt and no answer."""

    actor: str
    action: str
    """`key.created`, `key.rotated`, `revoked`, `refused` …"""
    target: str
    """What it was done to: `key:a1B2c3D4e5F6`, `team:search`."""
    team: str = ""
    """Whose it is; empty when it concerns all."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is worth telling, as JSON knows it: `before` and `after`, counts, reasons."""
