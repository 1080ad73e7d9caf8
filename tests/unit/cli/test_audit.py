"""`gateway audit`: the record, at the command line."""

import csv
import json

from tests.unit.cli.conftest import Installation


def test_where_nothing_was_done_that_is_said(gateway: Installation) -> None:
    listed = gateway("audit", "list")
    assert (listed.exit_code, listed.stdout, listed.stderr) == (0, "", "Nothing is on record.\n")


def test_of_which_team_there_is_nothing_is_said(gateway: Installation) -> None:
    gateway.new_key()
    assert gateway("audit", "list", "--team", "serch").stderr == "Nothing is on record of the team `serch`.\n"


def test_what_was_done_is_listed_newest_first(gateway: Installation) -> None:
    gateway.new_key("search", "web")
    gateway.new_key("ads", "bot")
    _, newest, before = gateway("audit", "list").stdout.splitlines()
    assert ("bot" in newest, "web" in before) == (True, True)


def test_the_head_of_a_whole_trail_is_alone_on_standard_output(gateway: Installation) -> None:
    gateway.new_key()
    verified = gateway("audit", "verify")
    assert (verified.exit_code, "1 line, each as it was written" in verified.stderr) == (0, True)
    assert verified.stdout.startswith("1:")
    assert gateway("audit", "verify", "--head", verified.stdout.strip()).exit_code == 0


def test_a_head_that_is_not_in_the_trail_ends_with_status_1(gateway: Installation) -> None:
    gateway.new_key()
    verified = gateway("audit", "verify", "--head", f"1:{'0' * 64}")
    assert (verified.exit_code, verified.stdout) == (1, "")


def test_an_export_has_every_detail(gateway: Installation) -> None:
    gateway.new_key("search", "web")
    line = json.loads(gateway("audit", "export").stdout)
    assert (line["number"], line["details"]["after"]["name"]) == (1, "web")
    (row,) = csv.DictReader(gateway("audit", "export", "--format", "csv").stdout.splitlines())
    assert json.loads(row["details"]) == line["details"]


def test_no_secret_is_on_record(gateway: Installation) -> None:
    key = gateway.new_key()
    assert key[17:] not in gateway("audit", "export").stdout + gateway("audit", "list").stdout
