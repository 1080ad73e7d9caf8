"""The first screen: what to paste, and a key that is shown once."""

import asyncio

import pytest

from gateway.auth.keys.api_keys import parse_key
from gateway.cli.welcome import greet, takes_the_simulator, with_admin_token
from gateway.settings.reading import load_settings
from gateway.settings.tree import Settings
from tests.unit.cli.conftest import Installation


def welcome(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    *,
    address: str = "127.0.0.1:8080",
    simulated: bool = True,
) -> list[str]:
    """The lines of the screen."""
    asyncio.run(greet(settings, address, "127.0.0.1:9090", simulated=simulated))
    return capsys.readouterr().out.splitlines()


def key_in(lines: list[str]) -> str:
    (line,) = [line for line in lines if line.startswith("export OPENAI_API_KEY=")]
    return line.removeprefix("export OPENAI_API_KEY=")


def test_what_to_paste_stands_on_lines_of_its_own(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = welcome(gateway.settings, capsys)
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8080/v1" in lines
    assert parse_key(key_in(lines)) is not None


def test_the_key_is_for_the_example_team(gateway: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    welcome(gateway.settings, capsys)
    listed = gateway("keys", "list").stdout
    assert "search" in listed
    assert "first-run" in listed


def test_the_key_is_shown_once(gateway: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_in(welcome(gateway.settings, capsys))
    again = welcome(gateway.settings, capsys)
    assert key not in "\n".join(again)
    assert not any(line.startswith("export OPENAI_API_KEY=") for line in again)


def test_who_comes_back_is_told_how_to_make_another_key(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    welcome(gateway.settings, capsys)
    again = welcome(gateway.settings, capsys)
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8080/v1" in again
    assert any(line.endswith("gateway keys create --team search --name another") for line in again)


def test_without_the_example_team_another_gets_the_key(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    (gateway.policies / "teams" / "search.yaml").unlink()
    welcome(gateway.settings, capsys)
    assert "ads" in gateway("keys", "list").stdout


def test_the_rest_can_be_found(gateway: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    screen = "\n".join(welcome(gateway.settings, capsys))
    assert "http://127.0.0.1:9090/metrics" in screen
    assert f"{gateway.policies}/" in screen
    assert "curl $OPENAI_BASE_URL/chat/completions" in screen
    assert "from openai import OpenAI" in screen


def test_an_address_in_brackets_is_shown_as_it_is(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = "\n".join(welcome(gateway.settings, capsys, address="[fe80::1]:8080"))
    assert "listens on http://[fe80::1]:8080," in screen
    assert "export OPENAI_BASE_URL=http://[fe80::1]:8080/v1" in screen


@pytest.mark.parametrize(
    ("simulated", "before"), [(True, "before the simulator"), (False, "before http://vllm:8000/v1.")]
)
def test_it_is_said_before_whom_it_stands(
    gateway: Installation, capsys: pytest.CaptureFixture[str], simulated: bool, before: str
) -> None:
    gateway.environment["GATEWAY_UPSTREAM__BASE_URL"] = "http://vllm:8000/v1"
    assert before in "\n".join(welcome(gateway.settings, capsys, simulated=simulated))


@pytest.mark.parametrize(
    ("environment", "simulated"),
    [
        ({}, True),
        ({"GATEWAY_UPSTREAM__API_KEY": "sk-1"}, False),
        ({"OPENAI_API_KEY": "sk-1"}, False),
        ({"OPENAI_API_KEY": "gwk_abc"}, True),
        ({"GATEWAY_UPSTREAM__BASE_URL": "http://vllm:8000/v1"}, False),
    ],
    ids=repr,
)
def test_the_simulator_stands_in_when_no_upstream_was_given(
    environment: dict[str, str], simulated: bool
) -> None:
    assert takes_the_simulator(load_settings(environment)) is simulated


def test_the_console_is_told_with_the_setting_that_opens_it(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = welcome(gateway.settings, capsys)
    assert "Console: http://127.0.0.1:9090/console   (sign in with GATEWAY_ADMIN_TOKEN)" in lines


def test_who_has_set_no_operators_token_gets_one_for_this_run(
    gateway: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = with_admin_token(gateway.settings), with_admin_token(gateway.settings)
    assert first.admin_token is not None
    assert first.admin_token != second.admin_token
    asyncio.run(greet(first, "x", "127.0.0.1:9090", simulated=True, made_token=first.admin_token))
    assert f"for this run, sign in with {first.admin_token.get_secret_value()}" in capsys.readouterr().out


def test_an_operators_token_that_was_set_stays(gateway: Installation) -> None:
    settings = load_settings({**gateway.environment, "GATEWAY_ADMIN_TOKEN": "the-operators-own-token"})
    assert with_admin_token(settings) is settings
