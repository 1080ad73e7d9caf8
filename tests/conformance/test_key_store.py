"""What every store of keys does."""

from collections.abc import AsyncIterator

import pytest

from gateway.auth.interfaces import KeyStore, NameTaken, StoredKey
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.auth.keys.sql import SqlKeyStore
from tests.support.database import open_url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    async with open_url(request.getfixturevalue(f"{request.param}_url")) as database:
        yield SqlKeyStore(database)


def a_key(number: int = 1, *, team: str = "search", name: str | None = None, at: int = 100) -> StoredKey:
    return StoredKey(
        id=f"k{number}",
        team=team,
        name=name or f"name-{number}",
        secret_hash=bytes([number]) * 32,
        created_at=at,
    )


async def test_a_key_that_was_added_is_found_as_it_was(store: KeyStore) -> None:
    key = StoredKey("k1", "search", "wéb", bytes(range(32)), 100, expires_at=200)
    await store.add(key)
    assert await store.find("k1") == key


async def test_an_unknown_key_is_none(store: KeyStore) -> None:
    assert await store.find("k1") is None


async def test_ids_are_compared_letter_by_letter(store: KeyStore) -> None:
    await store.add(a_key())
    assert await store.find("K1") is None


async def test_keys_are_listed_oldest_first(store: KeyStore) -> None:
    for number, at in ((1, 300), (2, 100), (3, 200)):
        await store.add(a_key(number, at=at))
    assert [key.id for key in await store.list()] == ["k2", "k3", "k1"]


async def test_keys_are_listed_for_one_team(store: KeyStore) -> None:
    await store.add(a_key(1))
    await store.add(a_key(2, team="legal"))
    assert [key.id for key in await store.list("legal")] == ["k2"]


async def test_a_revoked_key_keeps_the_date_of_its_first_revocation(store: KeyStore) -> None:
    await store.add(a_key())
    assert await store.revoke("k1", 500)
    assert await store.revoke("k1", 900)
    key = await store.find("k1")
    assert key is not None
    assert key.revoked_at == 500


async def test_revoking_what_does_not_exist_is_false(store: KeyStore) -> None:
    assert not await store.revoke("k1", 500)


async def test_a_name_is_given_once_within_a_team(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"))
    with pytest.raises(NameTaken, match="`search` has a key named `web`"):
        await store.add(a_key(2, name="web"))
    assert await store.find("k2") is None


async def test_two_teams_may_use_one_name(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"))
    await store.add(a_key(2, name="web", team="legal"))
    assert len(await store.list()) == 2


async def test_the_name_of_a_revoked_key_is_free_again(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"))
    await store.revoke("k1", 500)
    await store.add(a_key(2, name="web"))
    assert len(await store.list()) == 2


async def test_the_epoch_grows_when_a_key_is_added(store: KeyStore) -> None:
    before = await store.epoch()
    await store.add(a_key())
    assert await store.epoch() > before


async def test_the_epoch_grows_when_a_key_is_revoked(store: KeyStore) -> None:
    await store.add(a_key())
    before = await store.epoch()
    await store.revoke("k1", 500)
    assert await store.epoch() > before


async def test_the_epoch_stays_when_nothing_changes(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"))
    await store.revoke("k1", 500)
    before = await store.epoch()
    await store.revoke("k1", 900)
    await store.revoke("k9", 900)
    await store.find("k1")
    assert await store.epoch() == before


async def test_a_key_does_not_show_its_hash(store: KeyStore) -> None:
    await store.add(a_key())
    assert "secret_hash" not in repr(await store.list())
