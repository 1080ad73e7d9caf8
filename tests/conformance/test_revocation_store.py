"""What a store of revocations does, on both engines."""

from collections.abc import AsyncIterator

import pytest

from gateway.auth.interfaces import Revocation, RevocationKind, RevocationStore
from gateway.auth.revocation.sql import SqlRevocationStore
from gateway.core.actor import Act
from tests.support.database import open_url

ACT = Act("token:ops", "revoked", "all")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[RevocationStore]:
    async with open_url(database_url) as database:
        yield SqlRevocationStore(database)


def a_revocation(number: int, at: int = 1_795_000_000_123) -> Revocation:
    return Revocation(
        id=f"rev_{number}",
        kind=list(RevocationKind)[number % len(RevocationKind)],
        value="user:zoë",
        since=0,
        until=at // 1000,
        at=at,
        by="token:ops",
        reason="a “lost” laptop",
        cut_streams=number % 2 == 1,
    )


async def test_at_first_there_is_none(store: RevocationStore) -> None:
    assert list(await store.list()) == []


@pytest.mark.parametrize("number", range(len(RevocationKind)))
async def test_each_kind_is_listed_as_it_was_added(store: RevocationStore, number: int) -> None:
    await store.add(a_revocation(number), ACT)
    (found,) = await store.list()
    assert found == a_revocation(number)
    assert isinstance(found.kind, RevocationKind)


async def test_they_are_listed_oldest_first(store: RevocationStore) -> None:
    for number, at in ((1, 3000), (2, 1000), (3, 2000), (4, 1000)):
        await store.add(a_revocation(number, at), ACT)
    assert [each.id for each in await store.list()] == ["rev_2", "rev_4", "rev_3", "rev_1"]
