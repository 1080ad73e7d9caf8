"""What every store of keys does."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.interfaces import Change, KeyRefused, KeyStore, NameTaken, StoredKey
from gateway.auth.keys.imported import AlreadyImported
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.auth.keys.sql import SqlKeyStore
from gateway.core.actor import Act
from gateway.core.grant import Grant
from tests.support.database import open_url

ACT = Act("cli:tester", "key.created", "key:k1", "search", {"after": {"name": "web"}})


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    async with open_url(request.getfixturevalue(f"{request.param}_url")) as database:
        yield SqlKeyStore(database)


def a_key(number: int = 1, *, at: int = 100, **changes: Any) -> StoredKey:
    told: dict[str, Any] = {
        "team": "search",
        "name": f"name-{number}",
        "secret_hash": bytes([number]) * 32,
        "created_at": at,
        "issued_at": at,
    }
    return StoredKey(id=f"k{number}", **told | changes)


def changed(**changes: Any) -> Callable[[StoredKey], Change]:
    return lambda key: Change(replace(key, **changes), ACT)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "wéb", "secret_hash": bytes(range(32)), "expires_at": 200},
        {"owner": "user:alice", "created_by": "cli:root", "disabled_at": 7, "revoked_at": 8},
        {"previous_hash": bytes(32), "previous_until": 300, "previous_issued_at": 90, "issued_at": 150},
        {"addresses": ("10.0.0.0/8", "2001:db8::/32"), "imported": True},
        {"grant": Grant(endpoints=("chat_*",), models=("gpt-4o", "o3"), read_only=True)},
        {"grant": Grant(requests_per_minute=1, tokens_per_minute=2, concurrent=3, dollars_per_month=10**12)},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
async def test_a_key_that_was_added_is_found_as_it_was(store: KeyStore, changes: dict[str, Any]) -> None:
    key = a_key(**changes)
    await store.add(key, ACT)
    assert await store.find("k1") == key
    assert await store.list() == [key]


async def test_an_unknown_key_is_none(store: KeyStore) -> None:
    assert await store.find("k1") is None


async def test_ids_are_compared_letter_by_letter(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    assert await store.find("K1") is None


async def test_keys_are_listed_oldest_first(store: KeyStore) -> None:
    for number, at in ((1, 300), (2, 100), (3, 200), (4, 200)):
        await store.add(a_key(number, at=at), ACT)
    assert [key.id for key in await store.list()] == ["k2", "k3", "k4", "k1"]


async def test_keys_are_listed_for_one_team(store: KeyStore) -> None:
    await store.add(a_key(1), ACT)
    await store.add(a_key(2, team="legal"), ACT)
    assert [key.id for key in await store.list("legal")] == ["k2"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_are_the_list_cut_up(store: KeyStore, size: int) -> None:
    """Several of one second, and one of another team in between."""
    for number, at in ((1, 300), (2, 100), (3, 200), (4, 200), (5, 200), (6, 50)):
        await store.add(a_key(number, at=at, team="legal" if number == 4 else "search"), ACT)
    found: list[str] = []
    while page := await store.list("search", after=found[-1] if found else "", most=size):
        assert len(page) <= size
        found += [key.id for key in page]
    assert found == ["k6", "k2", "k3", "k5", "k1"]


async def test_after_a_key_that_there_is_not_comes_none(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    assert await store.list(after="k9") == []


async def test_a_change_is_of_the_key_as_it_is(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    await store.change("k1", changed(owner="user:alice"))
    after = await store.change("k1", lambda key: Change(replace(key, owner=key.owner + "!"), ACT))
    assert after is not None
    assert (after, after.owner) == (await store.find("k1"), "user:alice!")


async def test_changing_what_does_not_exist_is_none(store: KeyStore) -> None:
    assert await store.change("k1", changed(disabled_at=1)) is None


async def test_a_change_that_is_refused_changes_nothing(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    before = await store.epoch()

    def refuse(key: StoredKey) -> Change:
        raise KeyRefused("state", "no")

    with pytest.raises(KeyRefused, match="no"):
        await store.change("k1", refuse)
    assert (await store.find("k1"), await store.epoch()) == (a_key(), before)


async def test_a_name_is_given_once_within_a_team(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"), ACT)
    with pytest.raises(NameTaken, match="`search` has a key named `web`"):
        await store.add(a_key(2, name="web"), ACT)
    assert await store.find("k2") is None


async def test_two_teams_may_use_one_name(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"), ACT)
    await store.add(a_key(2, name="web", team="legal"), ACT)
    assert len(await store.list()) == 2


async def test_a_disabled_or_expired_key_keeps_its_name(store: KeyStore) -> None:
    await store.add(a_key(1, name="web", disabled_at=5, expires_at=5), ACT)
    with pytest.raises(NameTaken):
        await store.add(a_key(2, name="web"), ACT)


async def test_the_name_of_a_revoked_key_is_free_again(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"), ACT)
    await store.change("k1", changed(revoked_at=500))
    await store.add(a_key(2, name="web"), ACT)
    assert len(await store.list()) == 2


async def test_a_change_cannot_take_a_name_that_is_given(store: KeyStore) -> None:
    await store.add(a_key(1, name="web"), ACT)
    await store.add(a_key(2, name="app"), ACT)
    with pytest.raises(NameTaken):
        await store.change("k2", changed(name="web"))
    assert await store.find("k2") == a_key(2, name="app")


# Imported ones.


async def test_an_imported_key_is_found_by_its_hash(store: KeyStore) -> None:
    await store.add(a_key(1), ACT)
    await store.add(a_key(2, imported=True), ACT)
    assert [await store.find_imported(bytes([number]) * 32) for number in (1, 2, 3)] == [
        None,
        a_key(2, imported=True),
        None,
    ]


async def test_an_imported_key_is_found_by_the_hash_before_its_rotation(store: KeyStore) -> None:
    key = a_key(2, imported=True, secret_hash=bytes(32), previous_hash=bytes([2]) * 32)
    await store.add(key, ACT)
    assert await store.find_imported(bytes([2]) * 32) == key


async def test_it_is_known_whether_any_key_was_imported(store: KeyStore) -> None:
    await store.add(a_key(1), ACT)
    assert not await store.has_imported()
    await store.add(a_key(2, imported=True), ACT)
    assert await store.has_imported()
    await store.change("k2", changed(revoked_at=5))
    assert not await store.has_imported()


@pytest.mark.parametrize(
    "changes", [{}, {"revoked_at": 5}, {"secret_hash": bytes(32), "previous_hash": b"2" * 32}]
)
async def test_a_key_is_imported_once(store: KeyStore, changes: dict[str, Any]) -> None:
    first = {"secret_hash": b"2" * 32, "imported": True} | changes
    await store.add(a_key(1, **first), ACT)
    before = await store.epoch()
    with pytest.raises(AlreadyImported, match="k1"):
        await store.add(a_key(2, secret_hash=b"2" * 32, imported=True), ACT)
    assert (await store.find("k2"), await store.epoch()) == (None, before)


# The epoch.


async def test_the_epoch_grows_when_a_key_is_added(store: KeyStore) -> None:
    before = await store.epoch()
    await store.add(a_key(), ACT)
    assert await store.epoch() > before


async def test_the_epoch_grows_when_a_key_is_changed(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    before = await store.epoch()
    await store.change("k1", changed(disabled_at=500))
    assert await store.epoch() > before


async def test_the_epoch_stays_when_nothing_changes(store: KeyStore) -> None:
    await store.add(a_key(), ACT)
    before = await store.epoch()
    await store.change("k1", changed())
    await store.change("k9", changed(disabled_at=900))
    await store.find("k1")
    await store.find_imported(bytes(32))
    assert await store.epoch() == before


async def test_a_key_does_not_show_its_hashes(store: KeyStore) -> None:
    await store.add(a_key(previous_hash=bytes(32)), ACT)
    assert "_hash" not in repr(await store.list())
