"""The command and its parts."""

import pytest
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli.main import command
from tests.unit.cli.conftest import Installation


def test_the_version_is_printed_alone(gateway: Installation) -> None:
    printed = gateway("version")
    assert (printed.exit_code, printed.stdout, printed.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    "part", ["serve", "check", "keys", "usage", "limits", "policies", "simulate", "version"]
)
def test_every_part_says_what_it_does(part: str) -> None:
    told = CliRunner().invoke(command, [part, "--help"])
    assert told.exit_code == 0
    assert "Usage:" in told.stdout


def test_the_command_alone_lists_its_parts() -> None:
    told = CliRunner().invoke(command, [])
    for part in ("serve", "check", "keys", "usage", "limits", "policies", "simulate", "version"):
        assert part in told.output


@pytest.mark.parametrize("words", [["nonsense"], ["version", "--nonsense"], ["keys", "nonsense"]], ids=repr)
def test_what_there_is_not_is_an_error(words: list[str]) -> None:
    assert CliRunner().invoke(command, words).exit_code == 2


@pytest.mark.parametrize("words", [["check"], ["keys", "list"], ["usage"], ["serve"]], ids=repr)
def test_a_wrong_setting_is_told_by_every_part(gateway: Installation, words: list[str]) -> None:
    told = gateway(*words, listen="nowhere", nonsense="1")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "GATEWAY_LISTEN" in told.stderr
    assert "GATEWAY_NONSENSE" in told.stderr


@pytest.mark.parametrize(
    "words", [["check"], ["keys", "create", "--team", "search", "--name", "web"], ["serve"]], ids=repr
)
def test_a_wrong_policy_is_told_by_every_part_that_needs_it(gateway: Installation, words: list[str]) -> None:
    (gateway.policies / "organization.yaml").write_text("endpoints: ['*']\nmodels: ['*']\nnonsense: 1\n")
    told = gateway(*words)
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"{gateway.policies}/organization.yaml:3: nonsense:" in told.stderr
