"""The last uses of keys in SQL. Any number of processes write of one key: the latest use counts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, select, text

from gateway.auth.keys.uses import KeyUse
from gateway.database.engine import Database
from gateway.database.tables import KEY_USES

T = TypeVar("T")

_LOT: Final = 1000
"""Keys in one transaction: others write to the same file."""

_WRITE: Final = text(
    "INSERT INTO key_uses (key_id, used_at, used_from) VALUES (:key_id, :used_at, :used_from) "
    "ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at, used_from = excluded.used_from "
    "WHERE excluded.used_at > key_uses.used_at"
)


class SqlUseStore:
    """A UseStore in the house's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, uses: Mapping[str, KeyUse]) -> None:
        for lot in _lots(sorted(uses.items())):  # in one order: processes that write at once do not deadlock
            await self._write(lot)

    async def read(self, ids: Collection[str]) -> Mapping[str, KeyUse]:
        rows = [row for lot in _lots(list(ids)) for row in await self._read(lot)]
        return {row.key_id: KeyUse(row.used_at, row.used_from) for row in rows}

    async def _write(self, uses: Sequence[tuple[str, KeyUse]]) -> None:
        rows = [{"key_id": key_id, "used_at": at, "used_from": address} for key_id, (at, address) in uses]

        def work(connection: Connection) -> None:
            connection.execute(_WRITE, rows)

        await self._database.write(work)

    async def _read(self, ids: Sequence[str]) -> Sequence[Row[Any]]:
        query = select(KEY_USES).where(KEY_USES.c.key_id.in_(ids))
        return await self._database.read(lambda connection: connection.execute(query).all())


def _lots(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _LOT] for start in range(0, len(items), _LOT))
