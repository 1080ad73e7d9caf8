"""What was taken back, in SQL. It is recorded, the epoch raised and the audit trail continued in one
transaction: whoever sees the epoch move finds the reason.

Nothing is ever changed or taken out, so what was read once is not read again. How many there are says whether
any is missing: one whose maker's clock was behind, or whose transaction ended late. Then all are read.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from gateway.audit.trail import append
from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.core.actor import Act
from gateway.database.engine import Database
from gateway.database.tables import KEY_EPOCH, REVOCATIONS

_OVERLAP: Final = 60_000
"""Milliseconds before the newest that is known, from which on it is looked for newer ones."""


class SqlRevocationStore:
    """A RevocationStore in the house's database. Remembers what it has read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[Revocation, ...] = ()
        self._ids: set[str] = set()

    async def add(self, revocation: Revocation, act: Act) -> None:
        def work(connection: Connection) -> None:
            record(connection, revocation)
            raise_epoch(connection)
            append(connection, act, revocation.at)

        await self._database.write(work)

    async def list(self) -> Sequence[Revocation]:
        since = self._known[-1].at - _OVERLAP if self._known else 0
        total, found = await self._database.read(partial(_found, since=since))
        new = [each for each in found if each.id not in self._ids]
        if len(self._known) + len(new) != total:
            _, new = await self._database.read(partial(_found, since=0))
            self._known, self._ids = (), set()
        self._keep(new)
        return self._known

    def _keep(self, new: Sequence[Revocation]) -> None:
        late = new and self._known and _age(new[0]) < _age(self._known[-1])
        self._known = (*self._known, *new)
        self._ids.update(each.id for each in new)
        if late:
            self._known = tuple(sorted(self._known, key=_age))


def record(connection: Connection, revocation: Revocation) -> None:
    """Put it among what was taken back, inside the transaction of whoever raises the epoch for it."""
    connection.execute(insert(REVOCATIONS).values(asdict(revocation)))


def raise_epoch(connection: Connection) -> None:
    """So that every replica looks anew, once this transaction is over."""
    connection.execute(update(KEY_EPOCH).values(epoch=KEY_EPOCH.c.epoch + 1))


def _found(connection: Connection, since: int) -> tuple[int, list[Revocation]]:
    """How many there are, and those from this moment on, the oldest first."""
    total: int = connection.execute(select(func.count()).select_from(REVOCATIONS)).scalar_one()
    rows = connection.execute(select(REVOCATIONS).where(REVOCATIONS.c.at >= since))
    return total, sorted((_revocation(dict(row._mapping)) for row in rows), key=_age)


def _age(revocation: Revocation) -> tuple[int, str]:
    return revocation.at, revocation.id


def _revocation(row: dict[str, object]) -> Revocation:
    return Revocation(**{**row, "kind": RevocationKind(row["kind"])})  # type: ignore[arg-type]
