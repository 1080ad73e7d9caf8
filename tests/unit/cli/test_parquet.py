"""Parquet files: as others read them."""

import io
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyarrow import parquet

from gateway.cli.parquet import NoParquet, as_parquet

COLUMNS: dict[str, type] = {
    "team": str,
    "tokens": int,
    "stream": bool,
    "share": float,
    "cost": Decimal,
    "at": datetime,
}
ROW: dict[str, Any] = {
    "team": "search",
    "tokens": 2**53 + 1,
    "stream": True,
    "share": 0.5,
    "cost": Decimal("0.000000150000"),
    "at": datetime(2026, 10, 1, 12, tzinfo=UTC),
}


def read(rows: list[dict[str, Any]]) -> Any:
    return parquet.ParquetFile(io.BytesIO(b"".join(as_parquet(rows, COLUMNS))))


def test_every_kind_of_value_comes_back() -> None:
    assert read([ROW]).read().to_pylist() == [ROW]


def test_what_a_record_lacks_is_null() -> None:
    assert read([{}]).read().to_pylist() == [dict.fromkeys(COLUMNS)]


def test_a_file_of_nothing_has_its_columns() -> None:
    file = read([])
    assert (file.schema_arrow.names, file.metadata.num_rows) == (list(COLUMNS), 0)


def test_a_long_file_has_several_row_groups() -> None:
    file = read([{"tokens": number} for number in range(120_001)])
    assert file.metadata.num_row_groups == 3
    assert file.read(["tokens"])["tokens"].to_pylist() == list(range(120_001))


def test_without_its_library_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NoParquet, match=r"openai-gateway\[parquet\]"):
        list(as_parquet([ROW], COLUMNS))
