"""Records as a Parquet file, row group by row group.

pyarrow is an extra and large: it is loaded when a file is asked for, and never by `gateway serve`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from itertools import islice
from typing import Any, Final

_GROUP: Final = 50
"""Lots of a row group, which is in memory as a whole."""
_LOT: Final = 1000
"""Records that become columns together; columns take far less memory."""

_TYPES: Final[Mapping[type, Callable[[Any], Any]]] = {
    str: lambda arrow: arrow.string(),
    int: lambda arrow: arrow.int64(),
    bool: lambda arrow: arrow.bool_(),
    float: lambda arrow: arrow.float64(),
    Decimal: lambda arrow: arrow.decimal128(38, 12),
    datetime: lambda arrow: arrow.timestamp("ms", "UTC"),
}


class NoParquet(Exception):
    """pyarrow is not installed; the sentence says how it is."""


class _Written:
    """What pyarrow writes into, and from which it is taken again."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """What is written is still to be taken."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def as_parquet(records: Iterable[Mapping[str, Any]], columns: Mapping[str, type]) -> Iterator[bytes]:
    """The bytes of the file. Raises NoParquet."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise NoParquet("Parquet needs pyarrow: .venv/bin/pip install 'openai-gateway[parquet]'") from error
    schema = arrow.schema([(name, _TYPES[kind](arrow)) for name, kind in columns.items()])
    file, lots = _Written(), _lots(arrow, schema, records)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(lots, _GROUP)):
            writer.write_table(arrow.Table.from_batches(group))
            yield file.take()
    yield file.take()


def _lots(arrow: Any, schema: Any, records: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    each = iter(records)
    while lot := list(islice(each, _LOT)):
        arrays = [
            arrow.array([record.get(field.name) for record in lot], type=field.type) for field in schema
        ]
        yield arrow.RecordBatch.from_arrays(arrays, schema=schema)
