"""Keys in SQL, shared by every process. Whoever changes a key raises the epoch in the same transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.auth.interfaces import NameTaken, StoredKey
from gateway.database.engine import Database
from gateway.database.tables import KEY_EPOCH, KEYS


class SqlKeyStore:
    """A KeyStore in the house's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_id: str) -> StoredKey | None:
        def work(connection: Connection) -> StoredKey | None:
            row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).one_or_none()
            return None if row is None else StoredKey(**row._mapping)

        return await self._database.read(work)

    async def add(self, key: StoredKey) -> None:
        def work(connection: Connection) -> None:
            connection.execute(insert(KEYS).values(asdict(key)))
            _raise_epoch(connection)

        try:
            await self._database.write(work)
        except IntegrityError as error:
            raise NameTaken(f"The team `{key.team}` has a key named `{key.name}` already.") from error

    async def list(self, team: str | None = None) -> Sequence[StoredKey]:
        query = select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id)
        if team is not None:
            query = query.where(KEYS.c.team == team)

        def work(connection: Connection) -> Sequence[StoredKey]:
            return [StoredKey(**row._mapping) for row in connection.execute(query)]

        return await self._database.read(work)

    async def revoke(self, key_id: str, at: int) -> bool:
        def work(connection: Connection) -> bool:
            live = (KEYS.c.id == key_id) & KEYS.c.revoked_at.is_(None)
            if connection.execute(update(KEYS).where(live).values(revoked_at=at)).rowcount:
                _raise_epoch(connection)
                return True
            return connection.execute(select(KEYS.c.id).where(KEYS.c.id == key_id)).first() is not None

        return await self._database.write(work)

    async def epoch(self) -> int:
        def work(connection: Connection) -> int:
            return int(connection.execute(select(KEY_EPOCH.c.epoch)).scalar_one())

        return await self._database.read(work)


def _raise_epoch(connection: Connection) -> None:
    connection.execute(update(KEY_EPOCH).values(epoch=KEY_EPOCH.c.epoch + 1))
