"""`gateway keys`: the life of keys at the command line."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.keys.api_keys import parse_key
from gateway.cli.actor import at_the_keyboard
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


@pytest.mark.parametrize("name", ["[/]", "a b", "ünïcode", "-x", "x" * 65])
def test_a_name_that_policy_files_could_not_name_is_refused(gateway: Installation, name: str) -> None:
    made = gateway("keys", "create", "--team", "search", f"--name={name}")
    assert (made.exit_code, made.stdout) == (1, "")
    assert "A name begins with a letter or a digit" in made.stderr


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


# How far a key reaches.


def shown(gateway: Installation, key: str) -> dict[str, Any]:
    told = gateway("keys", "show", key_id(key), "--json")
    assert told.exit_code == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_a_key_reaches_as_far_as_the_options_say(gateway: Installation) -> None:
    options = "--owner user:alice --endpoint chat_* --endpoint models --model gpt-4o-mini --read-only"
    amounts = "--requests-per-minute 5 --tokens-per-minute 6000 --concurrent 2 --dollars-per-month 12.50"
    networks = "--from 10.0.0.0/8 --from 192.0.2.7"
    key = shown(gateway, gateway.new_key("search", "web", *f"{options} {amounts} {networks}".split()))
    assert key["owner"] == "user:alice"
    assert key["addresses"] == ["10.0.0.0/8", "192.0.2.7/32"]
    assert key["grant"] == {
        "endpoints": ["chat_*", "models"],
        "models": ["gpt-4o-mini"],
        "read_only": True,
        "requests_per_minute": 5,
        "tokens_per_minute": 6000,
        "concurrent": 2,
        "dollars_per_month": 12_500_000,
    }


def test_a_key_for_which_nothing_is_said_is_not_narrowed(gateway: Installation) -> None:
    key = shown(gateway, gateway.new_key())
    assert (key["owner"], key["addresses"], key["expires_at"]) == ("", [], None)
    assert (key["grant"]["endpoints"], key["grant"]["requests_per_minute"]) == (["*"], None)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--model", "gpt5", "There is no model `gpt5`"),
        ("--endpoint", "chat_completion", "Did you mean `chat_completions`"),
        ("--from", "10.0.0.7/8", "the network is `10.0.0.0/8`"),
        ("--owner", "alice", "`user:` and a name"),
    ],
)
def test_what_there_is_not_is_told(gateway: Installation, option: str, value: str, sentence: str) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", "web", option, value)
    assert (made.exit_code, made.stdout) == (1, "")
    assert sentence in made.stderr


@pytest.mark.parametrize("option", ["--requests-per-minute", "--tokens-per-minute", "--concurrent"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_an_amount_that_is_none_is_refused(gateway: Installation, option: str, value: str) -> None:
    made = gateway("keys", "create", "--team", "search", "--name", "web", option, value)
    assert (made.exit_code, made.stdout) == (2, "")


# What is listed and shown.


def test_a_list_is_there_as_json(gateway: Installation) -> None:
    keys = [gateway.new_key("search", "web"), gateway.new_key("ads", "bot")]
    listed = json.loads(gateway("keys", "list", "--json").stdout)
    assert {key["id"] for key in listed} == {key_id(key) for key in keys}
    assert [key["state"] for key in listed] == ["live", "live"]


def test_where_there_is_no_key_that_is_said(gateway: Installation) -> None:
    listed = gateway("keys", "list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "no key yet" in listed.stderr
    assert json.loads(gateway("keys", "list", "--json").stdout) == []


def test_a_team_without_keys_is_told(gateway: Installation) -> None:
    gateway.new_key()
    assert "`ads` has no key" in gateway("keys", "list", "--team", "ads").stderr


def test_a_key_that_was_never_used_says_so(gateway: Installation) -> None:
    key = gateway.new_key()
    assert "never" in gateway("keys", "show", key_id(key)).stdout
    assert shown(gateway, key)["last_used_at"] is None


def test_what_is_known_of_a_key_is_shown(gateway: Installation) -> None:
    key = gateway.new_key("search", "web", "--model", "gpt-4o-mini")
    told = gateway("keys", "show", key_id(key)).stdout
    assert f"by {at_the_keyboard().name}" in told
    assert "models gpt-4o-mini" in told
    assert key not in told


# Looking.


def test_keys_are_looked_at_without_pepper_or_policies(gateway: Installation) -> None:
    key = gateway.new_key()
    (gateway.policies / "organization.yaml").write_text("odd: 1\n")
    del gateway.environment["GATEWAY_KEY_PEPPER"]
    assert key_id(key) in gateway("keys", "list").stdout
    assert key_id(key) in gateway("keys", "show", key_id(key)).stdout


@pytest.mark.parametrize("words", [("list",), ("show", "0123456789ab")])
def test_whoever_looks_makes_no_database(gateway: Installation, words: tuple[str, ...]) -> None:
    looked = gateway("keys", *words, database_url=f"sqlite:///{gateway.folder}/other.db")
    assert (looked.exit_code, looked.stdout) == (1, "")
    assert "There is no database at" in looked.stderr
    assert not (gateway.folder / "other.db").exists()


@pytest.mark.parametrize("act", ["show", "rotate", "disable", "enable", "revoke"])
def test_a_whole_key_is_no_id_and_is_not_repeated(gateway: Installation, act: str) -> None:
    key = gateway.new_key()
    told = gateway("keys", act, key)
    assert (told.exit_code, told.stdout) == (2, "")
    assert f"Its id is `{key_id(key)}`" in " ".join(told.stderr.replace("│", "").split())
    assert key[17:25] not in told.stderr


def test_what_is_too_long_for_an_id_is_not_repeated(gateway: Installation) -> None:
    told = gateway("keys", "revoke", "sk-of-another-gateway-1234")
    assert (told.exit_code, "sk-of" in told.output) == (2, False)


# Rotation.


def test_a_new_secret_is_alone_on_standard_output(gateway: Installation) -> None:
    key = gateway.new_key()
    rotated = gateway("keys", "rotate", key_id(key))
    assert rotated.exit_code == 0, rotated.stderr
    new = rotated.stdout.strip()
    assert rotated.stdout == f"{new}\n"
    assert (key_id(new), new == key, new in rotated.stderr) == (key_id(key), False, False)


@pytest.mark.parametrize(("overlap", "seconds"), [((), 86_400), (("--overlap", "30m"), 1_800)])
def test_the_old_secret_is_good_for_as_long_as_is_said(
    gateway: Installation, overlap: tuple[str, ...], seconds: int
) -> None:
    key = gateway.new_key()
    said = gateway("keys", "rotate", key_id(key), *overlap).stderr
    assert re.search(r"the old one is good until 20.* UTC: replace it before", said)
    told = shown(gateway, key)
    assert told["overlap_until"] == told["issued_at"] + seconds


def test_without_an_overlap_the_old_secret_is_good_no_more(gateway: Installation) -> None:
    key = gateway.new_key()
    assert "is good no more" in gateway("keys", "rotate", key_id(key), "--overlap", "0").stderr
    assert shown(gateway, key)["overlap_until"] is None


def test_a_rotation_while_an_overlap_runs_is_refused(gateway: Installation) -> None:
    key = gateway.new_key()
    gateway("keys", "rotate", key_id(key))
    again = gateway("keys", "rotate", key_id(key))
    assert (again.exit_code, again.stdout) == (1, "")
    assert "rotated already" in again.stderr


def test_a_rotation_can_give_a_later_end(gateway: Installation) -> None:
    key = gateway.new_key("search", "web", "--days", "1")
    assert gateway("keys", "rotate", key_id(key), "--overlap", "7d").exit_code == 1
    assert gateway("keys", "rotate", key_id(key), "--overlap", "7d", "--days", "30").exit_code == 0


@pytest.mark.parametrize("overlap", ["soon", "-1h", "24", "1w", "31d"])
def test_an_overlap_that_cannot_be_is_refused(gateway: Installation, overlap: str) -> None:
    rotated = gateway("keys", "rotate", key_id(gateway.new_key()), "--overlap", overlap)
    assert (rotated.exit_code in (1, 2), rotated.stdout) == (True, "")
    assert "overlap" in rotated.stderr


# The rest of its life.


def test_a_disabled_key_can_be_enabled(gateway: Installation) -> None:
    key = gateway.new_key()
    assert gateway("keys", "disable", key_id(key)).exit_code == 0
    assert shown(gateway, key)["state"] == "disabled"
    assert gateway("keys", "enable", key_id(key)).exit_code == 0
    assert shown(gateway, key)["state"] == "live"


def test_a_revoked_key_cannot_be_enabled(gateway: Installation) -> None:
    key = gateway.new_key()
    gateway("keys", "revoke", key_id(key), "--reason", "found in a repository", "--cut-streams")
    enabled = gateway("keys", "enable", key_id(key))
    assert (enabled.exit_code, "stays so" in enabled.stderr) == (1, True)


def test_a_key_is_no_reason(gateway: Installation) -> None:
    key = gateway.new_key()
    revoked = gateway("keys", "revoke", key_id(key), "--reason", f"leaked {key}")
    assert (revoked.exit_code, key in revoked.output) == (1, False)
    assert shown(gateway, key)["state"] == "live"


@pytest.mark.parametrize("act", ["show", "rotate", "disable", "enable", "revoke"])
def test_a_key_that_there_is_not_is_told(gateway: Installation, act: str) -> None:
    told = gateway("keys", act, "unheard-of")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "no key with the id `unheard-of`" in told.stderr


# Keys of other gateways.

HASHES = [f"{number:02x}" * 32 for number in range(1, 50)]


def test_a_key_is_imported_by_its_hash(gateway: Installation) -> None:
    made = gateway("keys", "import", "--team", "search", "--name", "old", "--sha256", HASHES[0])
    assert made.exit_code == 0, made.stderr
    its_id, name = made.stdout.strip().split(",")
    (key,) = json.loads(gateway("keys", "list", "--json").stdout)
    assert (key["id"], key["name"], key["imported"]) == (its_id, name, True)


def test_a_key_is_imported_once(gateway: Installation) -> None:
    words = ("keys", "import", "--team", "search", "--sha256", HASHES[0], "--name")
    assert gateway(*words, "old").exit_code == 0
    again = gateway(*words, "older")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "is here already" in again.stderr


def test_many_keys_are_imported_from_a_file(gateway: Installation) -> None:
    file = gateway.folder / "hashes.csv"
    file.write_text("".join(f"{sha256},n{number}\n" for number, sha256 in enumerate(HASHES)))
    made = gateway("keys", "import", "--team", "search", "--file", str(file))
    assert made.exit_code == 0, made.stderr
    assert [line.split(",")[1] for line in made.stdout.splitlines()] == [f"n{number}" for number in range(49)]
    assert "49 keys brought in; 0 here already" in made.stderr


def test_a_file_can_be_brought_in_again(gateway: Installation) -> None:
    file = gateway.folder / "hashes.csv"
    file.write_text(f"{HASHES[0]},a\n")
    words = ("keys", "import", "--team", "search", "--file", str(file))
    gateway(*words)
    file.write_text(f"{HASHES[0]},a\n\n{HASHES[1]}, b\n")
    again = gateway(*words)
    assert again.exit_code == 0, again.stderr
    assert "1 key brought in; 1 here already" in again.stderr


def test_what_cannot_be_imported_is_told_by_its_line(gateway: Installation) -> None:
    gateway.new_key("search", "web")
    file = gateway.folder / "hashes.csv"
    file.write_text(f"{HASHES[0]},web\n{HASHES[1]},other\n")
    made = gateway("keys", "import", "--team", "search", "--file", str(file))
    assert (made.exit_code, made.stdout.endswith(",other\n")) == (1, True)
    assert "line 1: The team `search` has a key named `web` already." in made.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--sha256", HASHES[0]),
        ("--name", "old"),
        ("--file", "hashes.csv", "--name", "old"),
        ("--file", "hashes.csv", "--sha256", HASHES[0]),
    ],
)
def test_an_import_is_of_one_key_or_of_a_file(gateway: Installation, words: tuple[str, ...]) -> None:
    made = gateway("keys", "import", "--team", "search", *words)
    assert (made.exit_code, "either --sha256 and --name, or --file" in made.stderr) == (2, True)


# What may be wrong with the installation.


def test_a_shared_database_needs_a_pepper_that_is_told(gateway: Installation) -> None:
    del gateway.environment["GATEWAY_KEY_PEPPER"]
    words = ("keys", "create", "--team", "search", "--name", "web")
    made = gateway(*words, database_url="postgresql://127.0.0.1:9/gateway")
    assert made.exit_code == 1
    assert "GATEWAY_KEY_PEPPER" in made.stderr


def test_another_pepper_is_told_before_any_key_is_made(gateway: Installation) -> None:
    gateway.new_key()
    made = gateway("keys", "create", "--team", "search", "--name", "b", key_pepper="another pepper for tests")
    assert (made.exit_code, made.stdout) == (1, "")
    assert "another pepper" in made.stderr


def test_a_database_that_is_away_is_told(gateway: Installation) -> None:
    listed = gateway("keys", "list", database_url=f"sqlite:///{gateway.folder}/policies")
    assert (listed.exit_code, listed.stdout) == (1, "")
    assert listed.stderr.startswith("✗ ")


# Where standard output is full.


def _on_a_full_disk(gateway: Installation, *words: str) -> "subprocess.CompletedProcess[str]":
    program = "from gateway.cli.main import run; run()"
    with Path("/dev/full").open("w") as full:
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            env={**os.environ, **gateway.environment},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.mark.parametrize("words", [("list",), ("list", "--json")])
def test_a_list_that_cannot_be_written_is_told(gateway: Installation, words: tuple[str, ...]) -> None:
    gateway.new_key()
    listed = _on_a_full_disk(gateway, "keys", *words)
    told = "✗ Standard output cannot be written: No space left on device.\n"
    assert (listed.returncode, listed.stderr) == (1, told)


def test_who_has_lost_a_new_key_is_told_what_to_do(gateway: Installation) -> None:
    made = _on_a_full_disk(gateway, "keys", "create", "--team", "search", "--name", "web")
    (key,) = json.loads(gateway("keys", "list", "--json").stdout)
    assert made.returncode == 1
    assert f"Nobody has the key now: `gateway keys rotate {key['id']} --overlap 0`" in made.stderr
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize(
    ("overlap", "told"),
    [("24h", "Rotate the key again after 20"), ("0", "Rotate the key again now.")],
)
def test_who_has_lost_a_new_secret_is_told_what_to_do(gateway: Installation, overlap: str, told: str) -> None:
    key = gateway.new_key()
    rotated = _on_a_full_disk(gateway, "keys", "rotate", key_id(key), "--overlap", overlap)
    assert rotated.returncode == 1
    assert f"Nobody has the new secret now. {told}" in " ".join(rotated.stderr.split())
