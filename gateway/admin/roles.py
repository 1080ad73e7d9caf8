"""Who may do what: the groups of roles that the table of operations speaks of, and what a team admin sees."""

from typing import Final

from gateway.admin.problems import Problem
from gateway.core.actor import Actor, Role

EVERYBODY: Final = frozenset(Role)
ALL_TEAMS: Final = EVERYBODY - {Role.TEAM_ADMIN}
"""Who sees what no single team owns."""
MANAGERS: Final = frozenset({Role.OPERATOR, Role.TEAM_ADMIN})
"""Who may change anything."""
INSPECTORS: Final = frozenset({Role.OPERATOR, Role.AUDITOR})
"""Who reads the audit trail."""

NO_TEAM: Final = "There is no such team."


def check_role(actor: Actor, roles: frozenset[Role]) -> None:
    """Raises Problem: 403 that names the roles that would do."""
    if actor.role not in roles:
        wanted = " or ".join(f"`{role}`" for role in Role if role in roles)
        raise Problem(403, f"This needs the role {wanted}. You are signed in as `{actor.role}`.")


def teams_in_view(actor: Actor, asked: str | None = None) -> tuple[str, ...] | None:
    """The teams that are meant, by name: the one asked for, or all that the actor may see; None: all there
    are. Raises Problem: 404 for another's team, exactly as for none."""
    if asked:
        if not actor.may_see(asked):
            raise Problem(404, NO_TEAM, field="team")
        return (asked,)
    return tuple(sorted(actor.teams)) if actor.role is Role.TEAM_ADMIN else None
