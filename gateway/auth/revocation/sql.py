"""What was taken back, in SQL. It is recorded, the epoch raised and the audit trail continued in one
transaction: whoever sees the epoch move finds the reason.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update

from gateway.audit.trail import append
from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.core.actor import Act
from gateway.database.engine import Database
from gateway.database.tables import KEY_EPOCH, REVOCATIONS


class SqlRevocationStore:
    """A RevocationStore in the house's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, revocation: Revocation, act: Act) -> None:
        def work(connection: Connection) -> None:
            record(connection, revocation)
            raise_epoch(connection)
            append(connection, act, revocation.at)

        await self._database.write(work)

    async def list(self) -> Sequence[Revocation]:
        query = select(REVOCATIONS).order_by(REVOCATIONS.c.at, REVOCATIONS.c.id)

        def work(connection: Connection) -> Sequence[Revocation]:
            return [_revocation(dict(row._mapping)) for row in connection.execute(query)]

        return await self._database.read(work)


def record(connection: Connection, revocation: Revocation) -> None:
    """Put it among what was taken back, inside the transaction of whoever raises the epoch for it."""
    connection.execute(insert(REVOCATIONS).values(asdict(revocation)))


def raise_epoch(connection: Connection) -> None:
    """So that every replica looks anew, once this transaction is over."""
    connection.execute(update(KEY_EPOCH).values(epoch=KEY_EPOCH.c.epoch + 1))


def _revocation(row: dict[str, object]) -> Revocation:
    return Revocation(**{**row, "kind": RevocationKind(row["kind"])})  # type: ignore[arg-type]
