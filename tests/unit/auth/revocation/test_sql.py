"""What was taken back, in SQL: all of it comes true together, or nothing does."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import IntegrityError

from gateway.auth.revocation.sql import SqlRevocationStore, raise_epoch, record
from gateway.core.actor import Act
from gateway.database.engine import Database
from gateway.database.tables import AUDIT, KEY_EPOCH, REVOCATIONS
from tests.support.database import open_file
from tests.unit.auth.revocation.test_known import a_revocation

ACT = Act("token:ops", "revoked", "team:search", "search", {"reason": "a lost laptop"})


def state(connection: Connection) -> tuple[int, int]:
    """The epoch, and the lines of the audit trail."""
    return connection.execute(select(KEY_EPOCH.c.epoch)).scalar_one(), len(
        connection.execute(select(AUDIT.c.number)).all()
    )


async def test_the_epoch_and_the_audit_trail_go_along(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        epoch, lines = await database.read(state)
        await SqlRevocationStore(database).add(a_revocation(), ACT)
        assert await database.read(state) == (epoch + 1, lines + 1)


async def test_the_line_of_the_audit_trail_has_the_time_of_the_revocation(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        await SqlRevocationStore(database).add(a_revocation(until=700), ACT)
        at = await database.read(lambda connection: connection.execute(select(AUDIT.c.at)).scalar_one())
        assert at == 700_000


async def test_what_cannot_be_recorded_changes_nothing(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        store = SqlRevocationStore(database)
        await store.add(a_revocation(), ACT)
        before = await database.read(state)
        with pytest.raises(IntegrityError):
            await store.add(a_revocation(), ACT)
        assert await database.read(state) == before


async def in_one_transaction(database: Database) -> None:
    """As the store of keys does it."""

    def work(connection: Connection) -> None:
        record(connection, a_revocation(cut_streams=True))
        raise_epoch(connection)

    await database.write(work)


async def test_others_may_record_within_their_own_transaction(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        epoch, _ = await database.read(state)
        await in_one_transaction(database)
        assert await SqlRevocationStore(database).list() == (a_revocation(cut_streams=True),)
        assert await database.read(state) == (epoch + 1, 0)


async def test_what_was_read_once_is_the_same_thing_again(tmp_path: Path) -> None:
    """By that those who keep it see at once that nothing is another."""
    async with open_file(tmp_path / "gateway.db") as database:
        store = SqlRevocationStore(database)
        await store.add(a_revocation(until=100), ACT)
        before = await store.list()
        await SqlRevocationStore(database).add(a_revocation(until=10_000), ACT)
        after = await store.list()
        assert [each.until for each in after] == [100, 10_000]
        assert after[0] is before[0]


async def test_what_ended_late_is_found_in_its_place(tmp_path: Path) -> None:
    """Its maker's clock was behind, by far more than it is looked back for."""
    async with open_file(tmp_path / "gateway.db") as database:
        store, other = SqlRevocationStore(database), SqlRevocationStore(database)
        await other.add(a_revocation(until=100_000), ACT)
        await store.list()
        for until in (99_990, 100):
            await other.add(a_revocation(until=until), ACT)
            assert [each.until for each in await store.list()] == sorted(
                each.until for each in await SqlRevocationStore(database).list()
            )
        assert len(await store.list()) == 3


async def test_a_database_that_was_restored_is_read_anew(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        store = SqlRevocationStore(database)
        for until in (100, 200_000):
            await store.add(a_revocation(until=until), ACT)
        assert len(await store.list()) == 2
        await database.write(lambda connection: connection.execute(delete(REVOCATIONS)))
        await SqlRevocationStore(database).add(a_revocation(until=300), ACT)
        assert [each.until for each in await store.list()] == [300]
