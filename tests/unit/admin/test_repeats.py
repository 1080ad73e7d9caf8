"""What requests with an idempotency key were answered, on both engines."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from gateway.admin.interfaces import Kept, KeyReused, UnderWay
from gateway.admin.repeats import SqlRepeats
from gateway.database.engine import Database
from gateway.database.tables import REPEATS
from tests.support.clock import ManualClock
from tests.support.database import open_url

HASH, OTHER = b"h" * 32, b"o" * 32
KEPT = Kept(201, '{"secret":null}')


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield database


@pytest.fixture
def repeats(database: Database, clock: ManualClock) -> SqlRepeats:
    return SqlRepeats(database, clock)


async def rows(database: Database) -> int:
    query = select(func.count()).select_from(REPEATS)
    return await database.read(lambda connection: int(connection.execute(query).scalar_one()))


async def test_what_nobody_asked_yet_is_done(repeats: SqlRepeats) -> None:
    assert await repeats.begin("token:ops", "k", HASH) is None


async def test_what_is_being_done_is_under_way(repeats: SqlRepeats) -> None:
    await repeats.begin("token:ops", "k", HASH)
    with pytest.raises(UnderWay):
        await repeats.begin("token:ops", "k", HASH)


async def test_what_was_done_is_answered_again(repeats: SqlRepeats) -> None:
    await repeats.begin("token:ops", "k", HASH)
    await repeats.keep("token:ops", "k", KEPT)
    assert await repeats.begin("token:ops", "k", HASH) == KEPT


@pytest.mark.parametrize("kept", [True, False])
async def test_another_request_with_the_same_key_is_told_apart(repeats: SqlRepeats, kept: bool) -> None:
    await repeats.begin("token:ops", "k", HASH)
    if kept:
        await repeats.keep("token:ops", "k", KEPT)
    with pytest.raises(KeyReused):
        await repeats.begin("token:ops", "k", OTHER)


async def test_everybody_has_keys_of_their_own(repeats: SqlRepeats) -> None:
    await repeats.begin("token:ops", "k", HASH)
    assert await repeats.begin("token:other", "k", OTHER) is None


async def test_what_failed_may_be_asked_again(repeats: SqlRepeats) -> None:
    await repeats.begin("token:ops", "k", HASH)
    await repeats.forget("token:ops", "k")
    assert await repeats.begin("token:ops", "k", OTHER) is None


async def test_what_was_kept_is_not_forgotten_by_whoever_comes_late(repeats: SqlRepeats) -> None:
    await repeats.begin("token:ops", "k", HASH)
    await repeats.keep("token:ops", "k", KEPT)
    await repeats.forget("token:ops", "k")
    assert await repeats.begin("token:ops", "k", HASH) == KEPT


async def test_an_answer_is_kept_for_a_day(
    repeats: SqlRepeats, clock: ManualClock, database: Database
) -> None:
    await repeats.begin("token:ops", "k", HASH)
    await repeats.keep("token:ops", "k", KEPT)
    clock.advance(24 * 3600 - 1)
    assert await repeats.begin("token:ops", "k", HASH) == KEPT
    clock.advance(1)
    assert await repeats.begin("token:ops", "other", HASH) is None
    assert await rows(database) == 1


async def test_what_died_under_way_may_be_asked_again_after_a_while(
    repeats: SqlRepeats, clock: ManualClock
) -> None:
    await repeats.begin("token:ops", "k", HASH)
    clock.advance(299)
    with pytest.raises(UnderWay):
        await repeats.begin("token:ops", "k", HASH)
    clock.advance(1)
    assert await repeats.begin("token:ops", "k", HASH) is None


async def test_of_many_at_once_one_begins(database_url: str, clock: ManualClock) -> None:
    async def begun(repeats: SqlRepeats) -> bool:
        try:
            return await repeats.begin("token:ops", "k", HASH) is None
        except UnderWay:
            return False

    async with open_url(database_url) as one, open_url(database_url) as other:
        both = [SqlRepeats(one, clock), SqlRepeats(other, clock)]
        found = await asyncio.gather(*(begun(each) for each in both * 8))
    assert found.count(True) == 1
