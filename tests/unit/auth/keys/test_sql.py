"""Keys that several processes share. What every store does: tests/conformance/test_key_store.py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest
from sqlalchemy import Connection, text

from gateway.auth.interfaces import Change, KeyRefused, NameTaken, Revocation, RevocationKind, StoredKey
from gateway.auth.keys.api_keys import hash_secret
from gateway.auth.keys.sql import SqlKeyStore
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.core.decision import Deny
from gateway.core.errors import StoreUnavailable
from gateway.core.principal import Principal
from gateway.database.engine import Database
from tests.support.clock import ManualClock
from tests.support.database import open_file, open_url
from tests.unit.auth.conftest import HERE, MADE, PEPPER, a_stored_key, an_authenticator, issue

REVOCATION = Revocation("rev_1", RevocationKind.KEY, "k1", 0, 5, 5000, "cli:tester")


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_file(tmp_path / "gateway.db") as database:
        yield database


@pytest.fixture
async def theirs(ours: Database, tmp_path: Path) -> AsyncIterator[SqlKeyStore]:
    """Another process on the same file."""
    async with open_file(tmp_path / "gateway.db") as database:
        yield SqlKeyStore(database)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as opened:
        yield opened


async def lines_of(database: Database, query: str) -> list[tuple[object, ...]]:
    return await database.read(lambda connection: [tuple(row) for row in connection.execute(text(query))])


def revoke(key: StoredKey) -> Change:
    return Change(replace(key, revoked_at=5), replace(MADE, action="key.revoked"), REVOCATION)


async def test_a_key_that_another_process_revokes_is_refused_when_that_is_noticed(
    ours: Database, theirs: SqlKeyStore, clock: ManualClock
) -> None:
    key = await issue(theirs)
    authenticator = an_authenticator(SqlKeyStore(ours), clock, deadline=10)
    before = await SqlKeyStore(ours).epoch()
    assert isinstance(await authenticator.authenticate(key.text, HERE), Principal)
    await theirs.change(key.id, revoke)
    assert await SqlKeyStore(ours).epoch() > before
    authenticator.forget()
    assert isinstance(await authenticator.authenticate(key.text, HERE), Deny)


async def test_a_store_that_is_away_says_so(ours: Database) -> None:
    await ours.write(lambda connection: connection.execute(text("DROP TABLE keys")))
    with pytest.raises(StoreUnavailable):
        await SqlKeyStore(ours).find("k1")


async def test_what_is_done_stands_in_the_audit_trail_with_its_time(
    database: Database, clock: ManualClock
) -> None:
    store = SqlKeyStore(database, clock=clock)
    await store.add(a_stored_key("k1"), MADE)
    clock.advance(0.5)
    await store.change("k1", revoke)
    now = int(clock.now() * 1000)
    assert await lines_of(database, "SELECT number, at, action, target FROM audit ORDER BY number") == [
        (1, now - 500, "key.created", "key:k1"),
        (2, now, "key.revoked", "key:k1"),
    ]


async def test_a_revoked_key_is_among_what_was_taken_back(database: Database) -> None:
    store = SqlKeyStore(database)
    await store.add(a_stored_key("k1"), MADE)
    await store.change("k1", revoke)
    assert list(await SqlRevocationStore(database).list()) == [REVOCATION]


@pytest.mark.parametrize("broken", ["audit", "revocations", "key_epoch"])
async def test_without_its_record_nothing_is_done(database: Database, broken: str) -> None:
    store = SqlKeyStore(database)
    await store.add(a_stored_key("k1"), MADE)
    await database.write(lambda connection: connection.execute(text(f"ALTER TABLE {broken} RENAME TO gone")))
    with pytest.raises(StoreUnavailable):
        await store.change("k1", revoke)
    key = await store.find("k1")
    assert key is not None
    assert key.revoked_at is None


async def test_a_failed_addition_leaves_no_trace(database: Database) -> None:
    store = SqlKeyStore(database)
    await issue(store)
    before = await store.epoch()
    with pytest.raises(NameTaken, match="web"):
        await issue(store)
    assert await store.epoch() == before
    assert len(await lines_of(database, "SELECT number FROM audit")) == 1


async def test_what_is_not_narrowed_takes_no_room(database: Database) -> None:
    await SqlKeyStore(database).add(a_stored_key("k1"), MADE)
    assert await lines_of(database, "SELECT allowed, addresses FROM keys") == [("", "")]


async def test_many_keys_that_are_asked_for_at_once_are_found_in_a_few_questions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlKeyStore(database)
    for number in range(100):
        await store.add(a_stored_key(f"k{number}", f"s{number}", name=f"n{number}", imported=True), MADE)
    hashes = [hash_secret(PEPPER, f"s{number}") for number in range(100)]
    questions = 0

    async def counted(work: Callable[[Connection], object]) -> object:
        nonlocal questions
        questions += 1
        return await read(work)

    read = database.read
    monkeypatch.setattr(database, "read", counted)
    by_id = await asyncio.gather(*[store.find(f"k{number}") for number in range(100)])
    by_hash = await asyncio.gather(*[store.find_imported(hash_) for hash_ in hashes])
    assert [key.name for key in by_id if key] == [f"n{number}" for number in range(100)]
    assert by_hash == by_id
    assert questions == 4


async def test_of_two_that_rotate_a_key_at_once_one_does(database_url: str) -> None:
    """Each in a thread of its own, as if each were a process. Each waits a moment for the other to read the
    key too: it cannot."""
    async with open_url(database_url) as database:
        await SqlKeyStore(database).add(a_stored_key("k1"), MADE)
    both_have_read = Barrier(2)

    def once(key: StoredKey) -> Change:
        with suppress(BrokenBarrierError):
            both_have_read.wait(0.5)
        if key.previous_hash is not None:
            raise KeyRefused("overlap_seconds", "rotated already")
        return Change(replace(key, previous_hash=key.secret_hash, previous_until=99), MADE)

    async def rotate() -> str:
        async with open_url(database_url) as database:
            try:
                await SqlKeyStore(database).change("k1", once)
            except KeyRefused:
                return "refused"
            return "rotated"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(lambda _: asyncio.run(rotate()), range(2)))
    assert answers == ["refused", "rotated"]
