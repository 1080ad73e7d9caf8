"""`gateway usage`: what was spent, for people and for machines."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet

from gateway.core.clock import SystemClock
from gateway.metering.interfaces import GROUPS
from gateway.metering.reports.records import MEASURES
from tests.support.database import open_file
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.ledgers import begun
from tests.unit.cli.conftest import Installation

NOW = int(SystemClock().now() * 1000)

GPT_4O: dict[str, Any] = {
    "team": "search",
    "model": "gpt-4o",
    **dict.fromkeys(MEASURES, 0),
    "attempts": 2,
    "requests": 2,
    "input_tokens": 180,
    "cached_tokens": 60,
    "output_tokens": 22,
    "reasoning_tokens": 10,
    "cost_microdollars": 340,
    "unpriced": 1,
}


async def fill(path: Path) -> None:
    """Two attempts of today, of which one has no price, and one of long ago."""
    async with open_file(path) as database:
        ledger = begun(database, path.parent)
        for name, settled_at, cost in (
            ("att_1", NOW, 340),
            ("att_2", NOW, None),
            ("att_3", NOW - 40 * DAY, 999),
        ):
            await ledger.admit(an_admission(name))
            ledger.settle(a_settlement(name, settled_at=settled_at, cost=cost))
        await ledger.close()


async def fill_october(path: Path) -> None:
    """Two teams, in a range that stays."""
    async with open_file(path) as database:
        ledger = begun(database, path.parent)
        for name, team, key, settled_at in (
            ("att_1", "search", "k1", NOON - 30 * DAY),
            ("att_2", "ads", "k2", NOON - 29 * DAY),
        ):
            await ledger.admit(an_admission(name, team=team, key_id=key))
            ledger.settle(a_settlement(name, settled_at=settled_at))
        await ledger.close()


@pytest.fixture
def spent(gateway: Installation) -> Installation:
    asyncio.run(fill(gateway.folder / "gateway.db"))
    return gateway


@pytest.fixture
def october(gateway: Installation) -> Installation:
    asyncio.run(fill_october(gateway.folder / "gateway.db"))
    return gateway


def rows(installation: Installation, *words: str) -> list[dict[str, Any]]:
    printed = installation("usage", "--format", "json", *words)
    assert printed.exit_code == 0, printed.stderr
    found: list[dict[str, Any]] = msgspec.json.decode(printed.stdout)
    return found


def test_json_is_a_list_of_rows(spent: Installation) -> None:
    printed = spent("usage", "--format", "json")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert msgspec.json.decode(printed.stdout) == [GPT_4O]


def test_jsonl_is_a_row_a_line(spent: Installation) -> None:
    printed = spent("usage", "--format", "jsonl", "--by", "day,team")
    found = [msgspec.json.decode(line) for line in printed.stdout.splitlines()]
    assert [(list(row)[:2], row["attempts"]) for row in found] == [(["day", "team"], 2)]


def test_csv_has_a_heading_and_a_row_a_line(spent: Installation) -> None:
    printed = spent("usage", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(printed.stdout))
    assert row == {name: str(value) for name, value in GPT_4O.items()}


def test_parquet_is_a_file(spent: Installation, tmp_path: Path) -> None:
    printed = spent("usage", "--format", "parquet", "--output", str(tmp_path / "usage.parquet"))
    assert (printed.exit_code, printed.stdout, printed.stderr) == (0, "", "")
    assert parquet.read_table(tmp_path / "usage.parquet").to_pylist() == [GPT_4O]


def test_a_table_is_for_people(spent: Installation) -> None:
    heading, row = spent("usage").stdout.splitlines()
    assert heading.split() == [
        *("team", "model", "requests", "input", "cached", "output", "USD", "of", "USD")
    ]
    assert row.split() == [
        *("search", "gpt-4o", "2", "180", "60", "22", "0.000340"),
        *("█" * 24, "100.0", "%", "1", "unpriced"),
    ]


def test_what_has_no_price_is_told_in_a_sentence(spent: Installation) -> None:
    assert spent("usage").stderr.startswith("! The cost of 1 attempt is not known, and not in these figures")


def test_a_table_has_no_colours_where_nobody_sees_them(spent: Installation) -> None:
    assert "\x1b" not in spent("usage").stdout


def test_a_table_can_be_a_file(spent: Installation, tmp_path: Path) -> None:
    printed = spent("usage", "--output", str(tmp_path / "usage.txt"))
    assert (printed.exit_code, printed.stdout) == (0, "")
    assert (tmp_path / "usage.txt").read_text().splitlines()[1].startswith("search  gpt-4o")


def test_a_file_that_cannot_be_written_is_a_sentence(spent: Installation) -> None:
    printed = spent("usage", "--format", "csv", "--output", "/dev/full")
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert (
        printed.stderr == "✗ /dev/full cannot be written: No space left on device. No part of it was kept.\n"
    )


def test_how_far_back_is_the_askers_choice(spent: Installation) -> None:
    assert [row["attempts"] for row in rows(spent, "--days", "60")] == [3]
    assert [row["attempts"] for row in rows(spent, "--since", "60d")] == [3]
    assert [row["attempts"] for row in rows(spent, "--since", "60d", "--until", "20d")] == [1]
    assert [row["attempts"] for row in rows(spent, "--since", "1h")] == [2]


def test_october_is_a_month(october: Installation) -> None:
    assert [row["attempts"] for row in rows(october, "--since", "2026-10", "--until", "2026-11")] == [1, 1]


def test_the_end_is_not_included(october: Installation) -> None:
    found = rows(october, "--by", "day", "--since", "2026-10-19", "--until", "2026-10-20")
    assert [row["day"] for row in found] == ["2026-10-19"]


@pytest.mark.parametrize("group", GROUPS)
def test_it_can_be_grouped_by_each(spent: Installation, group: str) -> None:
    (row,) = rows(spent, "--by", group)
    assert next(iter(row)) == group


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--team", "ads"),
        ("--key", "k2"),
        ("--user", "key:search/web"),
        ("--model", "gpt-4o"),
        ("--endpoint", "create_chat_completion"),
    ],
)
def test_it_can_be_narrowed(october: Installation, option: str, value: str) -> None:
    everywhere = ("--since", "2026-10", "--by", "team")
    narrow = [row["team"] for row in rows(october, *everywhere, option, value)]
    assert narrow == (["ads"] if option in ("--team", "--key") else ["ads", "search"])
    assert rows(october, *everywhere, option, "nothing of this name") == []


def test_spaces_between_groups_do_no_harm(spent: Installation) -> None:
    assert rows(spent, "--by", "team, model") == [GPT_4O]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--by", "colour"), "there is no `colour`"),
        (("--by", ""), "there is no ``"),
        (("--by", "team,team"), "each at most once"),
        (("--format", "xml"), "'xml' is not one of"),
        (("--days", "0"), "greater than or equal to 1"),
        (("--days", "99999999999"), "less than or equal to 3660"),
        (("--days", "all"), "as an integer"),
        (("--days", "3", "--since", "3d"), "either --days or --since"),
        (("--since", "yesterday"), "`yesterday` is no time"),
        (("--since", "2026-13"), "`2026-13` is not in the calendar"),
        (("--since", "2026-10", "--until", "2026-10-01"), "no time at all"),
    ],
)
def test_a_wrong_question_is_a_wrong_use(gateway: Installation, words: tuple[str, ...], told: str) -> None:
    printed = gateway("usage", *words)
    assert (printed.exit_code, printed.stdout) == (2, "")
    assert told in " ".join(printed.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("form", "printed"),
    [("table", ""), ("json", "[]\n"), ("jsonl", ""), ("csv", ",".join(GPT_4O) + "\n")],
)
def test_nothing_spent_is_a_sentence_and_nothing_printed(
    gateway: Installation, form: str, printed: str
) -> None:
    told = gateway("usage", "--format", form, "--since", "2026-10", "--until", "2026-11")
    assert (told.exit_code, told.stdout) == (0, printed)
    assert told.stderr == "Nothing was spent from 2026-10-01 up to, and without, 2026-11-01 (UTC).\n"


def test_whose_nothing_it_is_is_told(gateway: Installation) -> None:
    told = gateway("usage", "--since", "2026-10", "--until", "2026-11", "--team", "[red]ads", "--user", "bob")
    assert told.stderr.startswith("Nothing was spent by team [red]ads, user bob, from 2026-10-01")
