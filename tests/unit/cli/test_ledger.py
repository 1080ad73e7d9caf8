"""`gateway ledger export`: every line, in files that others read."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet

from gateway.metering.reports.lines import ADMITTED, ROW, SETTLED
from tests.support.database import open_file
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.ledgers import begun
from tests.unit.cli.conftest import Installation


async def fill(path: Path) -> None:
    async with open_file(path) as database:
        ledger = begun(database, path.parent)
        for name, settled_at in (("att_1", NOON - 30 * DAY), ("att_2", NOON)):
            await ledger.admit(an_admission(name))
            ledger.settle(a_settlement(name, settled_at=settled_at))
        await ledger.admit(an_admission("att_3"))
        await ledger.close()


@pytest.fixture
def filled(gateway: Installation) -> Installation:
    asyncio.run(fill(gateway.folder / "gateway.db"))
    return gateway


def lines(printed: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in printed.splitlines()]


def test_every_line_is_an_object_with_all_its_fields(filled: Installation) -> None:
    printed = filled("ledger", "export")
    found = lines(printed.stdout)
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert [(line["line"], line["attempt_id"]) for line in found] == [
        *(("admitted", "att_1"), ("settled", "att_1"), ("admitted", "att_2"), ("settled", "att_2")),
        ("admitted", "att_3"),
    ]
    assert list(found[0]) == ["line", *ADMITTED]
    assert list(found[1]) == ["line", *SETTLED]


def test_a_table_has_a_row_for_each_attempt(filled: Installation) -> None:
    printed = filled("ledger", "export", "--format", "csv")
    found = list(csv.DictReader(io.StringIO(printed.stdout)))
    assert list(found[0]) == list(ROW)
    assert [(row["attempt_id"], row["stream"], row["cost"]) for row in found] == [
        ("att_1", "true", "340"),
        ("att_2", "true", "340"),
        ("att_3", "true", ""),
    ]


def test_so_has_a_parquet_file(filled: Installation, tmp_path: Path) -> None:
    place = tmp_path / "ledger.parquet"
    printed = filled("ledger", "export", "--format", "parquet", "--output", str(place))
    table = parquet.read_table(place)
    assert (printed.exit_code, printed.stdout) == (0, "")
    assert (table.column_names, table.num_rows) == (list(ROW), 3)
    assert table["cost"].to_pylist() == [340, 340, None]


@pytest.mark.parametrize(
    ("words", "attempts"),
    [
        (("--since", "2026-10", "--until", "2026-11"), ["att_1"]),
        (("--since", "2026-11"), ["att_2", "att_3"]),
        (("--until", "2026-11-18"), ["att_1"]),
    ],
)
def test_a_range_is_of_settlements(filled: Installation, words: tuple[str, ...], attempts: list[str]) -> None:
    found = lines(filled("ledger", "export", *words).stdout)
    assert sorted({line["attempt_id"] for line in found}) == attempts


def test_what_is_in_a_file_is_told(filled: Installation, tmp_path: Path) -> None:
    printed = filled("ledger", "export", "--output", str(tmp_path / "ledger.jsonl"))
    assert printed.stderr == f"5 lines are in {tmp_path}/ledger.jsonl.\n"
    assert len(lines((tmp_path / "ledger.jsonl").read_text())) == 5


@pytest.mark.parametrize(("form", "printed"), [("jsonl", ""), ("csv", ",".join(ROW) + "\n")])
def test_nothing_is_a_sentence_and_a_whole_file(gateway: Installation, form: str, printed: str) -> None:
    told = gateway("ledger", "export", "--since", "2026-10", "--until", "2026-11", "--format", form)
    assert (told.exit_code, told.stdout) == (0, printed)
    assert told.stderr == "The ledger has no line from 2026-10-01 up to, and without, 2026-11-01 (UTC).\n"


@pytest.mark.parametrize("words", [("--format", "table"), ("--format", "json"), ("--since", "soon")])
def test_a_wrong_question_is_a_wrong_use(gateway: Installation, words: tuple[str, ...]) -> None:
    assert gateway("ledger", "export", *words).exit_code == 2


def test_a_full_disk_is_a_sentence(filled: Installation) -> None:
    printed = filled("ledger", "export", "--output", "/dev/full")
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert (
        printed.stderr == "✗ /dev/full cannot be written: No space left on device. No part of it was kept.\n"
    )


def test_a_ledger_that_is_away_is_a_sentence(gateway: Installation, tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"no database, and longer than its heading would be" * 9)
    printed = gateway("ledger", "export", "--output", str(tmp_path / "ledger.jsonl"))
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert printed.stderr.startswith("✗ the database failed")
    assert not (tmp_path / "ledger.jsonl").exists()
