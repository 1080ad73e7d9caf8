"""Keys that several processes share. What every store does: tests/conformance/test_key_store.py."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.sql import SqlKeyStore
from gateway.core.decision import Deny
from gateway.core.errors import StoreUnavailable
from gateway.core.principal import Principal
from gateway.database.engine import Database
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.unit.auth.conftest import PEPPER, issue


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_file(tmp_path / "gateway.db") as database:
        yield database


@pytest.fixture
async def theirs(ours: Database, tmp_path: Path) -> AsyncIterator[SqlKeyStore]:
    """Another process on the same file."""
    async with open_file(tmp_path / "gateway.db") as database:
        yield SqlKeyStore(database)


async def test_a_key_that_another_process_revokes_is_refused_after_the_next_refresh(
    ours: Database, theirs: SqlKeyStore, clock: ManualClock
) -> None:
    key = await issue(theirs)
    authenticator = KeyAuthenticator(store=SqlKeyStore(ours), pepper=PEPPER, clock=clock, deadline=10)
    await authenticator.refresh()
    assert isinstance(await authenticator.authenticate(key.headers), Principal)
    await theirs.revoke(key.id, 1)
    await authenticator.refresh()
    assert isinstance(await authenticator.authenticate(key.headers), Deny)


async def test_a_store_that_is_away_says_so(ours: Database) -> None:
    await ours.write(lambda connection: connection.execute(text("DROP TABLE keys")))
    with pytest.raises(StoreUnavailable):
        await SqlKeyStore(ours).find("k1")


async def test_a_failed_addition_leaves_the_epoch_alone(ours: Database) -> None:
    store = SqlKeyStore(ours)
    await issue(store)
    before = await store.epoch()
    with pytest.raises(ValueError, match="web"):
        await issue(store)
    assert await store.epoch() == before
