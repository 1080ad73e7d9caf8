"""`gateway revoke`: what is taken back, what is asked before, and how it is listed."""

import asyncio
import re

import pytest

from gateway.app.desks import revocation_desk
from gateway.auth.interfaces import Revocation, RevocationKind
from tests.support.policy_files import write_policies
from tests.unit.cli.conftest import Installation

ISSUER = """
issuers:
  entra: {issuer: "https://login.example.com/tenant/", audiences: [gateway], team: search}
"""


def revoked(gateway: Installation) -> list[Revocation]:
    """What the installation has on record."""

    async def look() -> list[Revocation]:
        async with revocation_desk(gateway.settings) as desk:
            return list(await desk.list())

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("words", "kind", "value", "said"),
    [
        (["user", "user:alice"], RevocationKind.USER, "user:alice", "user:alice"),
        (["user", "alice"], RevocationKind.USER, "user:alice", "user:alice"),
        (["user", "service:ci"], RevocationKind.USER, "service:ci", "service:ci"),
        (["team", "search", "--yes"], RevocationKind.TEAM, "search", "team search"),
        (["all", "--yes"], RevocationKind.ALL, "", "everything"),
    ],
)
def test_what_is_named_is_taken_back(
    gateway: Installation, words: list[str], kind: RevocationKind, value: str, said: str
) -> None:
    done = gateway("revoke", *words)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"Revoked: {said}, issued until 20" in done.stderr
    (found,) = revoked(gateway)
    assert (found.kind, found.value, found.since, found.cut_streams) == (kind, value, 0, False)
    assert found.until == found.at // 1000
    assert re.fullmatch(r"cli:\w+", found.by)


def test_an_issuer_is_called_as_the_policy_files_call_it(gateway: Installation) -> None:
    write_policies(gateway.folder, identity=ISSUER)
    assert gateway("revoke", "issuer", "entra", "--yes").exit_code == 0
    (found,) = revoked(gateway)
    assert (found.kind, found.value) == (RevocationKind.ISSUER, "entra")


@pytest.mark.parametrize(
    ("since", "until", "span"),
    [
        ("2026-10-01", "2026-10-02T12:00", (1790812800, 1790942400)),
        ("2026-10-01T02:00:00+02:00", "2026-10-02T12:00:00Z", (1790812800, 1790942400)),
    ],
)
def test_times_are_utc_unless_they_say_else(
    gateway: Installation, since: str, until: str, span: tuple[int, int]
) -> None:
    gateway("revoke", "user", "alice", "--since", since, "--until", until)
    (found,) = revoked(gateway)
    assert (found.since, found.until) == span


def test_why_and_whether_streams_end_are_on_record(gateway: Installation) -> None:
    gateway("revoke", "all", "--yes", "--reason", "a lost laptop", "--cut-streams")
    (found,) = revoked(gateway)
    assert (found.reason, found.cut_streams) == ("a lost laptop", True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["team", "serach", "--yes"],
            "There is no team `serach` in the policy files. Did you mean `search`?",
        ),
        (["issuer", "entra", "--yes"], "There is no issuer in the policy files."),
        (["user", "key:search/web"], "That is a key that a team owns. It is revoked by its id."),
        (
            ["user", "alice", "--since", "2999-01-01"],
            "`since` is in the future: nothing has been issued then.",
        ),
        (["user", "alice", "--since", "2026-02-02", "--until", "2026-02-01"], "`until` is before `since`."),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_done(
    gateway: Installation, words: list[str], sentence: str
) -> None:
    done = gateway("revoke", *words)
    assert (done.exit_code, done.stderr) == (1, f"✗ {sentence}\n")
    assert revoked(gateway) == []


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_time_is_told_with_its_option(gateway: Installation, option: str) -> None:
    done = gateway("revoke", "user", "alice", option, "yesterday")
    assert done.exit_code == 2
    assert option in done.stderr
    assert "`yesterday` is no time" in done.stderr


@pytest.mark.parametrize("words", [["team", "search"], ["issuer", "entra"], ["all"]])
def test_where_nobody_can_be_asked_nothing_is_done(gateway: Installation, words: list[str]) -> None:
    done = gateway("revoke", *words)
    assert done.exit_code == 1
    assert "add --yes" in done.stderr
    assert revoked(gateway) == []


def test_at_first_there_is_nothing_to_list(gateway: Installation) -> None:
    listed = gateway("revoke", "list")
    assert (listed.exit_code, listed.stdout, listed.stderr) == (0, "", "Nothing was revoked yet.\n")


def test_what_was_taken_back_is_listed_oldest_first(gateway: Installation) -> None:
    gateway("revoke", "user", "alice", "--since", "2026-10-01", "--until", "2026-10-02")
    gateway("revoke", "all", "--yes", "--reason", "an [b]exercise[/b]", "--cut-streams")
    heading, first, second = gateway("revoke", "list").stdout.splitlines()
    assert heading.split()[:3] == ["revoked", "(UTC)", "what"]
    assert "user:alice" in first
    assert "2026-10-01 00:00:00  2026-10-02 00:00:00" in first
    assert "everything" in second
    assert "cut" in second
    assert second.rstrip().endswith("an [b]exercise[/b]")


def test_from_when_on_is_said_too(gateway: Installation) -> None:
    done = gateway("revoke", "user", "alice", "--since", "2026-10-01", "--until", "2026-10-02")
    told = "user:alice, issued from 2026-10-01 00:00:00 until 2026-10-02 00:00:00 UTC. What is issued later"
    assert told in " ".join(done.stderr.split())


def test_looking_makes_no_database(gateway: Installation) -> None:
    listed = gateway("revoke", "list", database_url=f"sqlite:///{gateway.folder}/other.db")
    assert (listed.exit_code, listed.stdout) == (1, "")
    assert not (gateway.folder / "other.db").exists()
