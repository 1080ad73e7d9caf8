"""Records as bytes: the same ones back, in every format, and never many at once."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.cli.formats import Format, encoded

COLUMNS: dict[str, type] = {"team": str, "tokens": int, "stream": bool}
ROWS: list[dict[str, Any]] = [
    {"team": "search", "tokens": 2**53 + 1, "stream": True},
    {"team": 'a "quoted", folded\nname — ü', "tokens": -3, "stream": False},
    {"team": None, "tokens": None, "stream": None},
]
DATA = [form for form in Format if form not in (Format.TABLE, Format.PARQUET)]


def whole(form: Format, rows: Iterable[dict[str, Any]] = ROWS, columns: dict[str, type] = COLUMNS) -> str:
    return b"".join(encoded(rows, columns=columns, form=form)).decode()


def test_json_is_an_array_with_a_record_a_line() -> None:
    text = whole(Format.JSON)
    assert msgspec.json.decode(text) == ROWS
    assert len(text.splitlines()) == len(ROWS) + 2


def test_jsonl_is_an_object_a_line() -> None:
    assert [msgspec.json.decode(line) for line in whole(Format.JSONL).splitlines()] == ROWS


def test_csv_has_a_heading() -> None:
    assert list(csv.reader(io.StringIO(whole(Format.CSV), newline=""))) == [
        ["team", "tokens", "stream"],
        ["search", "9007199254740993", "true"],
        ['a "quoted", folded\nname — ü', "-3", "false"],
        ["", "", ""],
    ]


def test_what_a_record_lacks_is_empty_in_csv() -> None:
    assert whole(Format.CSV, [{"tokens": 1}]) == "team,tokens,stream\n,1,\n"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_is_no_formula_in_a_spreadsheet(begin: str) -> None:
    name = f'{begin}HYPERLINK("https://elsewhere")'
    text = whole(Format.CSV, [{"team": name, "tokens": -3, "stream": False}])
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [f"'{name}", "-3", "false"]


@pytest.mark.parametrize("form", [Format.JSON, Format.JSONL])
def test_json_has_it_as_it_is(form: Format) -> None:
    assert '"=1+1"' in whole(form, [{"team": "=1+1"}])


@pytest.mark.parametrize(
    ("form", "text"), [(Format.CSV, "team,tokens,stream\n"), (Format.JSON, "[]\n"), (Format.JSONL, "")]
)
def test_nothing_is_a_whole_file_too(form: Format, text: str) -> None:
    assert whole(form, []) == text


@pytest.mark.parametrize("form", DATA)
def test_a_decimal_keeps_its_digits(form: Format) -> None:
    text = whole(form, [{"cost": Decimal("0.100000")}], {"cost": Decimal})
    assert "0.100000" in text
    assert '"0.100000"' not in text


@pytest.mark.parametrize("form", DATA)
def test_a_time_is_in_utc(form: Format) -> None:
    at = datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert "2026-10-01T12:00:00Z" in whole(form, [{"at": at}], {"at": datetime})


@pytest.mark.parametrize("form", DATA)
@pytest.mark.parametrize("count", [999, 1000, 1001, 3000])
def test_every_record_is_there_once(form: Format, count: int) -> None:
    rows = [{"team": f"t{number}", "tokens": number, "stream": True} for number in range(count)]
    text = whole(form, rows)
    assert [text.count(f"t{number}") for number in (0, 998, count - 1)] == [
        sum(f"t{number}" in str(row["team"]) for row in rows) for number in (0, 998, count - 1)
    ]


@pytest.mark.parametrize("form", [*DATA, Format.PARQUET])
def test_records_are_taken_as_they_are_written(form: Format) -> None:
    taken = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for taken in range(1, 200_001):
            yield {"team": "search", "tokens": taken, "stream": True}

    chunks = encoded(rows(), columns=COLUMNS, form=form)
    next(chunks), next(chunks)
    assert taken <= 110_000


def test_a_table_is_no_file() -> None:
    with pytest.raises(ValueError, match="for people"):
        encoded([], columns=COLUMNS, form=Format.TABLE)
