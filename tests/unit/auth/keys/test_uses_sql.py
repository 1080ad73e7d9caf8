"""The last uses of keys, on both engines."""

from collections.abc import AsyncIterator

import pytest

from gateway.auth.keys.uses import KeyUse
from gateway.auth.keys.uses_sql import SqlUseStore
from tests.support.database import open_url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlUseStore]:
    async with open_url(database_url) as database:
        yield SqlUseStore(database)


async def test_what_was_written_is_read(store: SqlUseStore) -> None:
    uses = {"k1": KeyUse(100, "192.0.2.7"), "k2": KeyUse(200, "")}
    await store.write(uses)
    assert await store.read(["k2", "k1", "k3"]) == uses


async def test_a_later_use_takes_the_place_of_an_earlier_one(store: SqlUseStore) -> None:
    await store.write({"k1": KeyUse(100, "early")})
    await store.write({"k1": KeyUse(101, "late")})
    assert await store.read(["k1"]) == {"k1": KeyUse(101, "late")}


async def test_an_earlier_use_that_is_written_later_is_let_be(store: SqlUseStore) -> None:
    """As when two replicas write of one key."""
    await store.write({"k1": KeyUse(101, "late")})
    await store.write({"k1": KeyUse(100, "early")})
    assert await store.read(["k1"]) == {"k1": KeyUse(101, "late")}


async def test_many_are_written_and_read(store: SqlUseStore) -> None:
    uses = {f"k{number}": KeyUse(number, "") for number in range(2500)}
    await store.write(uses)
    assert await store.read(list(uses)) == uses


async def test_nothing_is_nothing(store: SqlUseStore) -> None:
    await store.write({})
    assert await store.read([]) == {}
