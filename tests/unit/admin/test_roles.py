"""What a role may do, and which teams are in view."""

import pytest

from gateway.admin.problems import Problem
from gateway.admin.roles import INSPECTORS, check_role, teams_in_view
from gateway.core.actor import Actor, Role

VIEWER = Actor("token:viewer", Role.VIEWER)
LEAD = Actor("token:lead", Role.TEAM_ADMIN, frozenset({"search", "ads"}))


def test_who_lacks_a_role_is_told_which_would_do() -> None:
    with pytest.raises(Problem) as refused:
        check_role(VIEWER, INSPECTORS)
    told = refused.value
    assert (told.status, told.detail) == (
        403,
        "This needs the role `auditor` or `operator`. You are signed in as `viewer`.",
    )


@pytest.mark.parametrize(
    ("actor", "asked", "teams"),
    [
        (VIEWER, None, None),
        (VIEWER, "", None),
        (VIEWER, "gone", ("gone",)),
        (LEAD, None, ("ads", "search")),
        (LEAD, "ads", ("ads",)),
        (Actor("token:new", Role.TEAM_ADMIN), None, ()),
    ],
)
def test_a_team_admin_has_its_own_teams_in_view(
    actor: Actor, asked: str | None, teams: tuple[str, ...] | None
) -> None:
    assert teams_in_view(actor, asked) == teams


def test_no_other_team_is_in_its_view() -> None:
    with pytest.raises(Problem) as refused:
        teams_in_view(LEAD, "legal")
    assert (refused.value.status, refused.value.field) == (404, "team")
