"""`gateway keys`: made, listed, revoked."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.auth.keys.api_keys import parse_key
from tests.unit.cli.conftest import Installation


def key_id(key: str) -> str:
    parsed = parse_key(key)
    assert parsed is not None
    return parsed.id


def test_a_new_key_is_alone_on_standard_output(gateway: Installation) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", "web")
    assert made.exit_code == 0
    assert made.stdout == f"{made.stdout.strip()}\n"
    assert parse_key(made.stdout.strip()) is not None


def test_what_is_said_about_a_new_key_is_not_the_key(gateway: Installation) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", "web")
    assert "team search" in made.stderr
    assert made.stdout.strip() not in made.stderr


def test_a_team_that_there_is_not_gets_no_key(gateway: Installation) -> None:
    made = gateway("keys", "create", "--team", "unheard-of", "--name", "web")
    assert (made.exit_code, made.stdout) == (1, "")
    assert "no team `unheard-of` in the policy files. There are: ads, search." in made.stderr


def test_a_name_that_is_taken_is_told(gateway: Installation) -> None:
    gateway.new_key()
    made = gateway("keys", "create", "--team", "search", "--name", "web")
    assert (made.exit_code, made.stdout) == (1, "")
    assert "`web`" in made.stderr


@pytest.mark.parametrize("name", ["[/]", "[bold]", "[red]web", "a[b]", "ünïcode"])
def test_a_name_is_shown_as_it_is(gateway: Installation, name: str) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", name)
    assert (made.exit_code, name in made.stderr) == (0, True)
    assert parse_key(made.stdout.strip()) is not None
    assert name in gateway("keys", "list").stdout


def test_a_key_can_be_made_to_expire(gateway: Installation) -> None:
    gateway.new_key("search", "web", "--days", "30")
    day = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%d")
    assert day in gateway("keys", "list").stdout


@pytest.mark.parametrize("days", ["0", "-1", "99999999999", "soon"])
def test_a_time_that_cannot_be_is_refused(gateway: Installation, days: str) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", "web", "--days", days)
    assert (made.exit_code, made.stdout) == (2, "")


def test_keys_are_listed_without_their_secrets(gateway: Installation) -> None:
    keys = [gateway.new_key("search", "web"), gateway.new_key("ads", "bot")]
    listed = gateway("keys", "list")
    assert listed.exit_code == 0
    assert [key_id(key) in listed.stdout for key in keys] == [True, True]
    assert [key in listed.output for key in keys] == [False, False]
    assert listed.stdout.count("live") == 2


def test_one_teams_keys_are_listed_alone(gateway: Installation) -> None:
    gateway.new_key("search", "web")
    gateway.new_key("ads", "bot")
    listed = gateway("keys", "list", "--team", "ads").stdout
    assert ("bot" in listed, "web" in listed) == (True, False)


def test_a_revoked_key_is_listed_as_revoked(gateway: Installation) -> None:
    key = gateway.new_key()
    revoked = gateway("keys", "revoke", key_id(key))
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert "revoked" in gateway("keys", "list").stdout


def test_the_name_of_a_revoked_key_is_free_again(gateway: Installation) -> None:
    gateway("keys", "revoke", key_id(gateway.new_key()))
    assert gateway.new_key()


def test_a_key_that_there_is_not_cannot_be_revoked(gateway: Installation) -> None:
    revoked = gateway("keys", "revoke", "unheard-of")
    assert revoked.exit_code == 1
    assert "no key with the id `unheard-of`" in revoked.stderr


def test_a_shared_database_needs_a_pepper_that_is_told(gateway: Installation) -> None:
    del gateway.environment["GATEWAY_KEY_PEPPER"]
    made = gateway("keys", "list", database_url="postgresql://127.0.0.1:9/gateway")
    assert made.exit_code == 1
    assert "GATEWAY_KEY_PEPPER" in made.stderr


def test_a_database_that_is_away_is_told(gateway: Installation) -> None:
    listed = gateway("keys", "list", database_url=f"sqlite:///{gateway.folder}/policies")
    assert (listed.exit_code, listed.stdout) == (1, "")
    assert listed.stderr.startswith("✗ ")
