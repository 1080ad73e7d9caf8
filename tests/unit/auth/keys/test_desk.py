"""Keys made, listed and revoked: what the `keys` command does."""

from datetime import UTC, datetime

import pytest

from gateway.auth.keys.api_keys import hash_secret, parse_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.interfaces import NameTaken
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.principal import Principal
from tests.support.clock import ManualClock
from tests.unit.auth.conftest import PEPPER, bearer


@pytest.fixture
def store() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def desk(store: MemoryKeyStore, clock: ManualClock) -> KeyDesk:
    return KeyDesk(store=store, pepper=PEPPER, teams=frozenset({"search"}), clock=clock)


async def authenticated(store: MemoryKeyStore, clock: ManualClock, key: str) -> Principal | Deny:
    return await KeyAuthenticator(store=store, pepper=PEPPER, clock=clock).authenticate(bearer(key))


async def test_a_new_key_is_a_key(desk: KeyDesk) -> None:
    assert parse_key(await desk.create("search", "web", None)) is not None


async def test_a_new_key_lets_its_holder_in(desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock) -> None:
    principal = await authenticated(store, clock, await desk.create("search", "web", None))
    assert isinstance(principal, Principal)
    assert (principal.team, principal.key_name) == ("search", "web")


async def test_what_is_kept_of_a_key_is_only_its_hash(desk: KeyDesk, clock: ManualClock) -> None:
    key = await desk.create("search", "web", None)
    (stored,) = await desk.list()
    assert stored.secret_hash == hash_secret(PEPPER, key)
    assert (stored.created_at, stored.expires_at, stored.revoked_at) == (int(clock.now()), None, None)
    assert key not in repr(stored)


async def test_a_key_ends_when_it_was_said_to(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    expires = datetime.fromtimestamp(clock.now() + 60, UTC)
    key = await desk.create("search", "web", expires)
    assert isinstance(await authenticated(store, clock, key), Principal)
    clock.advance(60)
    denied = await authenticated(store, clock, key)
    assert isinstance(denied, Deny)
    assert denied.code is ErrorCode.TOKEN_EXPIRED


async def test_a_name_stands_once_in_a_team(desk: KeyDesk) -> None:
    await desk.create("search", "web", None)
    with pytest.raises(NameTaken):
        await desk.create("search", "web", None)


async def test_keys_are_listed_oldest_first(desk: KeyDesk, clock: ManualClock) -> None:
    for name in ("b", "a", "c"):
        await desk.create("search", name, None)
        clock.advance(1)
    assert [key.name for key in await desk.list()] == ["b", "a", "c"]


async def test_one_teams_keys_are_listed_alone(desk: KeyDesk) -> None:
    await desk.create("search", "web", None)
    await desk.create("ads", "web", None)
    assert [key.team for key in await desk.list("ads")] == ["ads"]


async def test_a_revoked_key_lets_nobody_in(desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock) -> None:
    key = await desk.create("search", "web", None)
    (stored,) = await desk.list()
    assert await desk.revoke(stored.id)
    assert isinstance(await authenticated(store, clock, key), Deny)


async def test_a_key_is_revoked_from_now_on(desk: KeyDesk, clock: ManualClock) -> None:
    await desk.create("search", "web", None)
    (stored,) = await desk.list()
    clock.advance(5)
    await desk.revoke(stored.id)
    (revoked,) = await desk.list()
    assert revoked.revoked_at == int(clock.now())


async def test_a_key_that_there_is_not_cannot_be_revoked(desk: KeyDesk) -> None:
    assert not await desk.revoke("unheard-of")


def test_a_desk_knows_the_teams(desk: KeyDesk) -> None:
    assert desk.teams == {"search"}
