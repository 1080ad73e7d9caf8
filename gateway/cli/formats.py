"""Records as bytes, in the formats that machines read: a few at a time, so that there may be any number.

A record is a mapping from the names of its columns to values; what it lacks is empty (CSV, Parquet). The
order of the columns is the caller's, and stays.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.cli.parquet import as_parquet

Record = Mapping[str, Any]
Columns = Mapping[str, type]
"""Names, and what is in them: str, int, bool, float, Decimal or datetime; all of it may be None."""


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


_LOT: Final = 1000
"""Records that are turned into bytes together."""

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def encoded(records: Iterable[Record], *, columns: Columns, form: Format) -> Iterator[bytes]:
    """The bytes of a whole file. Raises NoParquet, and ValueError for Format.TABLE, which is for people."""
    match form:
        case Format.CSV:
            return as_csv(records, columns)
        case Format.JSON:
            return as_json(records)
        case Format.JSONL:
            return as_jsonl(records)
        case Format.PARQUET:
            return as_parquet(records, columns)
        case Format.TABLE:
            raise ValueError("a table is for people")


def as_csv(records: Iterable[Record], columns: Columns) -> Iterator[bytes]:
    """A heading, and a line for each record; in UTF-8, with \\n at the end of lines. A text that a
    spreadsheet would run as a formula has an apostrophe before it.
    """
    names = tuple(columns)
    spelled = [(place, _SPELLED[kind]) for place, kind in enumerate(columns.values()) if kind in _SPELLED]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for lot in _lots(records):
        writer.writerows(_in_words(list(map(record.get, names)), spelled) for record in lot)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def as_json(records: Iterable[Record]) -> Iterator[bytes]:
    """One array, a record a line."""
    begin = b"["
    for lot in _lots(records):
        yield begin + b",".join(b"\n" + _encoder.encode(record) for record in lot)
        begin = b","
    yield b"[]\n" if begin == b"[" else b"\n]\n"


def as_jsonl(records: Iterable[Record]) -> Iterator[bytes]:
    """An object a line."""
    for lot in _lots(records):
        yield _encoder.encode_lines(lot)


def _lots(records: Iterable[Record]) -> Iterator[list[Record]]:
    each = iter(records)
    while lot := list(islice(each, _LOT)):
        yield lot


def _in_words(row: list[Any], spelled: Iterable[tuple[int, Callable[[Any], str]]]) -> Sequence[Any]:
    """With what Python would spell in its own way spelled as in JSON, and no formulas."""
    for place, spell in spelled:
        if row[place] is not None:
            row[place] = spell(row[place])
    return row


def _harmless(text: str) -> str:
    """Names of models come from outside, and a spreadsheet takes what begins like this for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_SPELLED: Final[Mapping[type, Callable[[Any], str]]] = {
    str: _harmless,
    bool: lambda value: "true" if value else "false",
    datetime: lambda value: value.isoformat().replace("+00:00", "Z"),
}
