"""Keys in SQL, shared by every process. Whoever changes a key raises the epoch, and appends to the audit
trail, in the same transaction. The epoch's row is held from then on: changes come one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from gateway.audit.trail import append
from gateway.auth.interfaces import Change, NameTaken, StoredKey
from gateway.auth.keys.imported import AlreadyImported
from gateway.auth.keys.together import Together
from gateway.auth.revocation.sql import raise_epoch, record
from gateway.core.actor import Act
from gateway.core.clock import Clock, SystemClock
from gateway.core.grant import UNNARROWED, Grant
from gateway.database.engine import Database
from gateway.database.tables import KEY_EPOCH, KEYS

T = TypeVar("T")


class SqlKeyStore:
    """A KeyStore in the house's database. A change that changes nothing is not put on record."""

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        """`clock`: by which the audit trail is dated; the machine's, unless it is said."""
        self._database = database
        self._clock = clock or SystemClock()
        self._by_id = Together(self._all_of)
        self._by_hash = Together(self._all_imported)

    async def find(self, key_id: str) -> StoredKey | None:
        return await self._by_id.find(key_id)

    async def find_imported(self, secret_hash: bytes) -> StoredKey | None:
        return await self._by_hash.find(secret_hash)

    async def has_imported(self) -> bool:
        query = select(KEYS.c.id).where(KEYS.c.imported, KEYS.c.revoked_at.is_(None)).limit(1)
        return await self._database.read(lambda connection: connection.execute(query).first() is not None)

    async def list(
        self, team: str | None = None, *, after: str = "", most: int | None = None
    ) -> Sequence[StoredKey]:
        query = select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id).limit(most)
        if team is not None:
            query = query.where(KEYS.c.team == team)
        if after:
            last = select(KEYS.c.created_at, KEYS.c.id).where(KEYS.c.id == after)
            query = query.where(tuple_(KEYS.c.created_at, KEYS.c.id) > last.scalar_subquery())

        return await self._read(query)

    async def add(self, key: StoredKey, act: Act) -> None:
        def work(connection: Connection) -> None:
            raise_epoch(connection)  # from here on nobody else can bring the same key in
            if key.imported:
                found = connection.execute(_imported_with([key.secret_hash])).first()
                if found is not None:
                    raise AlreadyImported(_key(found._mapping))
            connection.execute(insert(KEYS).values(_row(key)))
            append(connection, act, self._now())

        try:
            await self._database.write(work)
        except IntegrityError as error:
            raise NameTaken(f"The team `{key.team}` has a key named `{key.name}` already.") from error

    async def change(self, key_id: str, change: Callable[[StoredKey], Change]) -> StoredKey | None:
        query = select(KEYS).where(KEYS.c.id == key_id).with_for_update()

        def work(connection: Connection) -> StoredKey | None:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            before = _key(row._mapping)
            after, act, revocation = change(before)
            if after == before and revocation is None:
                return before
            raise_epoch(connection)
            connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(_row(after)))
            if revocation is not None:
                record(connection, revocation)
            append(connection, act, self._now())
            return after

        try:
            return await self._database.write(work)
        except IntegrityError as error:
            raise NameTaken("The team has a key of this name already.") from error

    async def epoch(self) -> int:
        query = select(KEY_EPOCH.c.epoch)
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    async def _all_of(self, ids: Sequence[str]) -> Mapping[str, StoredKey]:
        return {key.id: key for key in await self._read(select(KEYS).where(KEYS.c.id.in_(ids)))}

    async def _all_imported(self, hashes: Sequence[bytes]) -> Mapping[bytes, StoredKey]:
        keys = await self._read(_imported_with(hashes))
        return {hash_: key for key in keys for hash_ in (key.previous_hash, key.secret_hash) if hash_}

    async def _read(self, query: Select[Any]) -> Sequence[StoredKey]:
        def work(connection: Connection) -> Sequence[StoredKey]:
            return [_key(row._mapping) for row in connection.execute(query)]

        return await self._database.read(work)

    def _now(self) -> int:
        return int(self._clock.now() * 1000)


def _imported_with(hashes: Sequence[bytes]) -> Select[Any]:
    """Of an imported key the present secret is found, and the one before: that may still be the imported."""
    found = or_(KEYS.c.secret_hash.in_(hashes), KEYS.c.previous_hash.in_(hashes))
    return select(KEYS).where(KEYS.c.imported, found)


def _row(key: StoredKey) -> dict[str, Any]:
    """By the names of the columns."""
    row = {name: getattr(key, name) for name in StoredKey.__slots__ if name != "grant"}
    return row | {
        "allowed": "" if key.grant == UNNARROWED else msgspec.json.encode(key.grant).decode(),
        "addresses": msgspec.json.encode(key.addresses).decode() if key.addresses else "",
    }


def _key(row: Mapping[Any, Any]) -> StoredKey:
    columns = dict(row)
    allowed, addresses = columns.pop("allowed"), columns.pop("addresses")
    return StoredKey(
        **columns,
        grant=msgspec.json.decode(allowed, type=Grant) if allowed else UNNARROWED,
        addresses=msgspec.json.decode(addresses, type=tuple[str, ...]) if addresses else (),
    )
