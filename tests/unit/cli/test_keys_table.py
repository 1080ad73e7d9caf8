"""Keys as people see them."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gateway.auth.keys.uses import KeyUse
from gateway.cli.keys_table import key_lines, key_record, keys_table
from gateway.core.grant import Grant
from tests.unit.auth.conftest import a_stored_key

NOW = 1_795_000_000
KEY = a_stored_key("k7", created_at=NOW - 86_400, issued_at=NOW - 86_400, created_by="cli:root")


def printed(part: RenderableType) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        console.print(part)
    return captured.get()


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "live"),
        ({"expires_at": NOW}, "expired"),
        ({"disabled_at": 5}, "disabled"),
        ({"revoked_at": 5}, "revoked"),
    ],
)
def test_a_key_is_listed_with_its_state(changes: dict[str, int], state: str) -> None:
    table = printed(keys_table([replace(KEY, **changes)], {}, now=NOW))
    assert state in table.splitlines()[1]


def test_a_key_is_listed_with_its_last_use() -> None:
    table = printed(keys_table([KEY], {"k7": KeyUse(NOW - 60, "192.0.2.7")}, now=NOW))
    assert "2026-11-18 11:05 UTC  192.0.2.7" in table


def test_columns_in_which_nothing_stands_are_left_out() -> None:
    heading = printed(keys_table([KEY], {}, now=NOW)).splitlines()[0]
    assert ("owner" in heading, "from" in heading, "last used" in heading) == (False, False, True)


@pytest.mark.parametrize("name", ["[/]", "[bold]", "[red]web", "a[b]", "ünïcode"])
def test_a_name_of_before_is_shown_as_it_is(name: str) -> None:
    key = replace(KEY, name=name)
    assert name in printed(keys_table([key], {}, now=NOW))
    assert name in printed(key_lines(key, None, now=NOW))


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    key = replace(KEY, name="a\x1b[31m", owner="user:\x07")
    told = printed(keys_table([key], {}, now=NOW)) + printed(key_lines(key, None, now=NOW))
    assert not set("\x1b\x07") & set(told)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "whatever its team may"),
        ({}, "everywhere"),
        ({}, "the team"),
        ({"owner": "service:ci"}, "service:ci"),
        ({"addresses": ("10.0.0.0/8", "192.0.2.7/32")}, "10.0.0.0/8, 192.0.2.7/32"),
        ({"grant": Grant(endpoints=("chat_*", "models"))}, "endpoints chat_*, models"),
        ({"grant": Grant(read_only=True, concurrent=2)}, "only look (GET); 2 at once"),
        (
            {"grant": Grant(tokens_per_minute=6000, dollars_per_month=12_500_000)},
            "6,000 tokens a minute; 12.5",
        ),
        ({"previous_until": NOW + 60}, "good until 2026-11-18 11:07 UTC"),
    ],
    ids=str,
)
def test_all_that_is_known_of_a_key_is_shown(changes: dict[str, Any], said: str) -> None:
    assert said in printed(key_lines(replace(KEY, **changes), None, now=NOW))


def test_a_key_of_which_nobody_knows_who_made_it_says_when() -> None:
    lines = printed(key_lines(replace(KEY, created_by=""), None, now=NOW)).splitlines()
    assert next(line for line in lines if line.startswith("created")).rstrip().endswith("UTC")


def test_what_is_known_of_a_key_begins_with_its_id() -> None:
    assert printed(key_lines(KEY, None, now=NOW)).splitlines()[0].split() == ["id", "k7"]


def test_an_overlap_that_is_over_is_not_shown() -> None:
    assert "old secret" not in printed(key_lines(replace(KEY, previous_until=NOW), None, now=NOW))


def test_as_json_a_key_is_told_with_its_last_use() -> None:
    record = key_record(KEY, KeyUse(NOW, "192.0.2.7"), now=NOW)
    assert (record.id, record.state, record.last_used_at, record.last_used_from) == (
        "k7",
        "live",
        NOW,
        "192.0.2.7",
    )


def test_as_json_a_key_that_was_never_used_says_so() -> None:
    assert key_record(KEY, None, now=NOW).last_used_at is None
