"""The table of operations: what holds for every row."""

import re

import pytest

from gateway.admin.operations import OPERATIONS, PATH_PARAMETERS, Operation
from gateway.core.actor import Role

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def test_names_and_places_are_unique() -> None:
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
    assert len({(each.method, each.path) for each in OPERATIONS}) == len(OPERATIONS)


@EVERY
def test_an_operator_may_do_everything(operation: Operation) -> None:
    assert Role.OPERATOR in operation.roles


@EVERY
def test_viewers_and_auditors_change_nothing(operation: Operation) -> None:
    assert not operation.changes or not operation.roles & {Role.VIEWER, Role.AUDITOR}


@EVERY
def test_an_auditor_sees_what_a_viewer_sees(operation: Operation) -> None:
    assert Role.VIEWER not in operation.roles or Role.AUDITOR in operation.roles


@EVERY
def test_the_audit_trail_is_for_auditors_and_operators(operation: Operation) -> None:
    assert not operation.path.startswith("/admin/audit") or operation.roles == {Role.OPERATOR, Role.AUDITOR}


@EVERY
def test_what_a_team_admin_may_ask_is_narrowed_to_its_teams(operation: Operation) -> None:
    of_everybody = {"me", "document"}
    narrowed = operation.of_teams or operation.name in of_everybody
    assert Role.TEAM_ADMIN not in operation.roles or narrowed


@EVERY
def test_only_what_is_posted_has_a_body(operation: Operation) -> None:
    assert (operation.method == "POST") == (operation.body is not None)


@EVERY
def test_what_stands_in_a_path_is_described(operation: Operation) -> None:
    assert set(re.findall(r"{(\w+)}", operation.path)) <= PATH_PARAMETERS.keys()
