"""`gateway usage`: what was spent, in four formats."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.clock import SystemClock
from gateway.metering.ledger.sql import SqlLedger
from tests.support.database import open_file
from tests.support.ledger_lines import DAY, a_settlement, an_admission
from tests.unit.cli.conftest import Installation

NOW = int(SystemClock().now() * 1000)

GPT_4O: dict[str, Any] = {
    "team": "search",
    "model": "gpt-4o",
    "attempts": 2,
    "input_tokens": 180,
    "cached_tokens": 60,
    "output_tokens": 22,
    "reasoning_tokens": 10,
    "images": 0,
    "audio_milliseconds": 0,
    "characters": 0,
    "cost_microdollars": 340,
    "unpriced": 1,
    "estimated": 0,
}


async def fill(path: Path) -> None:
    """Two attempts of today, of which one has no price, and one of long ago."""
    async with open_file(path) as database:
        ledger = SqlLedger(database=database, clock=SystemClock())
        for name, settled_at, cost in (
            ("att_1", NOW, 340),
            ("att_2", NOW, None),
            ("att_3", NOW - 40 * DAY, 999),
        ):
            await ledger.admit(an_admission(name))
            ledger.settle(a_settlement(name, settled_at=settled_at, cost=cost))
        await ledger.close()


@pytest.fixture
def spent(gateway: Installation) -> Installation:
    asyncio.run(fill(gateway.folder / "gateway.db"))
    return gateway


def test_json_is_a_list_of_rows(spent: Installation) -> None:
    printed = spent("usage", "--format", "json")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert msgspec.json.decode(printed.stdout) == [GPT_4O]


def test_jsonl_is_a_row_a_line(spent: Installation) -> None:
    printed = spent("usage", "--format", "jsonl", "--by", "day,team")
    rows = [msgspec.json.decode(line) for line in printed.stdout.splitlines()]
    assert [(list(row)[:2], row["attempts"]) for row in rows] == [(["day", "team"], 2)]


def test_csv_has_a_heading_and_a_row_a_line(spent: Installation) -> None:
    printed = spent("usage", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(printed.stdout))
    assert row == {name: str(value) for name, value in GPT_4O.items()}


def test_a_table_is_for_people(spent: Installation) -> None:
    heading, row = spent("usage").stdout.splitlines()
    assert heading.split() == ["team", "model", "attempts", "input", "cached", "output", "USD"]
    assert row.split() == ["search", "gpt-4o", "2", "180", "60", "22", "0.000340", "1", "unpriced"]


def test_a_table_has_no_colours_where_nobody_sees_them(spent: Installation) -> None:
    assert "\x1b" not in spent("usage").stdout


def test_how_far_back_is_the_askers_choice(spent: Installation) -> None:
    (row,) = msgspec.json.decode(spent("usage", "--format", "json", "--days", "60").stdout)
    assert row["attempts"] == 3


@pytest.mark.parametrize("group", ["team", "model", "key", "day", "endpoint"])
def test_it_can_be_grouped_by_each(spent: Installation, group: str) -> None:
    (row,) = msgspec.json.decode(spent("usage", "--format", "json", "--by", group).stdout)
    assert next(iter(row)) == group


def test_spaces_between_groups_do_no_harm(spent: Installation) -> None:
    (row,) = msgspec.json.decode(spent("usage", "--format", "json", "--by", "team, model").stdout)
    assert row == GPT_4O


def test_a_group_that_there_is_not_is_told_with_those_that_there_are(spent: Installation) -> None:
    printed = spent("usage", "--by", "colour")
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert "`colour`" in printed.stderr
    assert "team, model" in printed.stderr


@pytest.mark.parametrize(
    ("form", "printed"),
    [("table", ""), ("json", "[]\n"), ("jsonl", ""), ("csv", ",".join(GPT_4O) + "\n")],
)
def test_nothing_spent_is_nothing_printed(gateway: Installation, form: str, printed: str) -> None:
    told = gateway("usage", "--format", form)
    assert (told.exit_code, told.stdout) == (0, printed)
    assert told.stderr == "Nothing was spent in the last 30 days.\n"


@pytest.mark.parametrize("days", ["0", "-3", "99999999999", "all"])
def test_a_time_that_cannot_be_is_refused(gateway: Installation, days: str) -> None:
    assert gateway("usage", "--days", days).exit_code == 2


def test_a_format_that_there_is_not_is_refused(gateway: Installation) -> None:
    assert gateway("usage", "--format", "xml").exit_code == 2
