"""How the command speaks."""

import errno
from pathlib import Path

import pytest
import typer

from gateway.cli.console import explained, fail, out, say
from gateway.core.errors import StoreUnavailable
from gateway.policies.problems import BrokenPolicies, Problem
from gateway.settings.tree import Settings

SETTINGS = Settings(policies_dir=Path("rules"))


def test_results_are_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("a result")
    assert capsys.readouterr() == ("a result\n", "")


def test_everything_else_is_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("a remark")
    assert capsys.readouterr() == ("", "a remark\n")


def test_every_mistake_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail(["one", "[/] two"])
    assert ended.value.exit_code == 1
    assert capsys.readouterr() == ("", "✗ one\n✗ [/] two\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPolicies([Problem("a.yaml", 3, "x.y", "is odd")]), "rules/a.yaml:3: x.y: is odd"),
        (StoreUnavailable("the database is away"), "the database is away"),
        (ValueError("no pepper"), "no pepper"),
        (PermissionError(errno.EACCES, "Permission denied", "pepper"), "pepper: Permission denied"),
        (OSError(errno.EADDRINUSE, "address already in use"), "cannot listen: address already in use"),
    ],
    ids=repr,
)
def test_what_is_wrong_with_an_installation_is_a_sentence(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), explained(SETTINGS):
        raise error
    assert capsys.readouterr() == ("", f"✗ {told}\n")


def test_a_fault_of_our_own_is_not_explained_away() -> None:
    with pytest.raises(ZeroDivisionError), explained(SETTINGS):
        raise ZeroDivisionError


def test_a_long_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("x" * 1000)
    assert capsys.readouterr().out == "x" * 1000 + "\n"
