"""What operators' requests with an idempotency key were answered, in SQL: for a day, and without any secret.

Whoever inserts the row does what is asked; all others are told of it, whichever replica they reach. A row
that stays under way belongs to a process that died: after some minutes it is nobody's.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, select, update

from gateway.admin.interfaces import Kept, KeyReused, UnderWay
from gateway.core.clock import Clock
from gateway.database.engine import Database
from gateway.database.statements import insertion
from gateway.database.tables import REPEATS

_DAY: Final = 86_400_000
_LONGEST: Final = 300_000
"""No operation takes that long."""


class SqlRepeats:
    """Repeats in the house's database. Times are milliseconds since 1970."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._insertion = insertion(database.engine, REPEATS)

    async def begin(self, actor: str, key: str, request_hash: bytes) -> Kept | None:
        now = int(self._clock.now() * 1000)

        def work(connection: Connection) -> Kept | None:
            _prune(connection, now)
            row = (actor, key, request_hash, now, None, None)
            if connection.exec_driver_sql(self._insertion, row).rowcount:
                return None
            return _found(connection, actor, key, request_hash)

        return await self._database.write(work)

    async def keep(self, actor: str, key: str, kept: Kept) -> None:
        change = update(REPEATS).where(_is(actor, key)).values(status=kept.status, answer=kept.answer)
        await self._database.write(lambda connection: connection.execute(change))

    async def forget(self, actor: str, key: str) -> None:
        end = delete(REPEATS).where(_is(actor, key), REPEATS.c.status.is_(None))
        await self._database.write(lambda connection: connection.execute(end))


def _prune(connection: Connection, now: int) -> None:
    abandoned = REPEATS.c.status.is_(None) & (REPEATS.c.at <= now - _LONGEST)
    connection.execute(delete(REPEATS).where((REPEATS.c.at <= now - _DAY) | abandoned))


def _found(connection: Connection, actor: str, key: str, request_hash: bytes) -> Kept:
    columns = (REPEATS.c.request_hash, REPEATS.c.status, REPEATS.c.answer)
    row = connection.execute(select(*columns).where(_is(actor, key))).one_or_none()
    if row is None:  # forgotten, or pruned, since our insertion gave way to it
        raise UnderWay
    if bytes(row.request_hash) != request_hash:
        raise KeyReused
    if row.status is None:
        raise UnderWay
    return Kept(row.status, row.answer)


def _is(actor: str, key: str) -> ColumnElement[bool]:
    return (REPEATS.c.actor == actor) & (REPEATS.c.idempotency_key == key)
