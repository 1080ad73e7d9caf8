"""Who sits at the command line."""

import getpass
import os
import pwd

import pytest

from gateway.cli.actor import at_the_keyboard
from gateway.core.actor import Role


def test_whoever_runs_the_command_is_an_operator_by_name() -> None:
    actor = at_the_keyboard()
    assert (actor.name, actor.role) == (f"cli:{pwd.getpwuid(os.getuid()).pw_name}", Role.OPERATOR)


def test_the_environment_does_not_say_who_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert getpass.getuser() == "somebody-else"
    assert at_the_keyboard().name != "cli:somebody-else"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert at_the_keyboard().name == "cli:4000000000"
