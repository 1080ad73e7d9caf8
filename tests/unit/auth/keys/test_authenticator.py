"""Who may come in, what is remembered of it, and for how long."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.auth.keys.api_keys import checksum, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.interfaces import StoredKey
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.principal import Principal
from tests.support.clock import ManualClock
from tests.unit.auth.conftest import PEPPER, Issued, bearer, issue


class WatchedStore(MemoryKeyStore):
    """Counts what it is asked, and can be slow, or away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.away = False

    async def find(self, key_id: str) -> StoredKey | None:
        self.asked.append(key_id)
        found = await super().find(key_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        return found

    async def epoch(self) -> int:
        if self.away:
            raise StoreUnavailable("away")
        return await super().epoch()


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
async def key(store: WatchedStore) -> Issued:
    return await issue(store)


@pytest.fixture
def authenticator(store: WatchedStore, clock: ManualClock) -> KeyAuthenticator:
    return KeyAuthenticator(store=store, pepper=PEPPER, clock=clock, capacity=100)


def code(answer: Principal | Deny) -> ErrorCode | None:
    return answer.code if isinstance(answer, Deny) else None


async def turns(times: int = 5) -> None:
    """Let every task that can go on go on."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_good_key_is_its_principal(authenticator: KeyAuthenticator, key: Issued) -> None:
    assert await authenticator.authenticate(key.headers) == Principal(
        subject="key:search/web", team="search", key_id=key.id, key_name="web"
    )


def wrong_secret(key: Issued) -> str:
    """Another secret under the same id: nothing is wrong with its form and its checksum."""
    body = f"gwk_{key.id}_{new_key()[1][17:60]}"
    return body + checksum(body)


@pytest.mark.parametrize(
    "forge",
    [
        wrong_secret,
        lambda key: new_key()[1],
        lambda key: key.text[:-1],
        lambda key: key.text[::-1],
        lambda key: "sk-proj-0123456789",
        lambda key: "\udce9" * 66,
        lambda key: "x" * 100_000,
    ],
    ids=["wrong secret", "unknown", "cut", "reversed", "foreign", "not text", "huge"],
)
async def test_a_wrong_key_is_refused_in_one_sentence_whatever_is_wrong(
    authenticator: KeyAuthenticator, key: Issued, forge: Callable[[Issued], str]
) -> None:
    denied = await authenticator.authenticate(bearer(forge(key)))
    assert isinstance(denied, Deny)
    assert (denied.code, denied.param) == (ErrorCode.INVALID_API_KEY, None)
    assert denied.reason == (
        "Incorrect API key provided. Use a key that this gateway gave your team; it may have been revoked."
    )


async def test_a_revoked_key_is_refused_like_a_wrong_one(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await store.revoke(key.id, 1)
    revoked = await authenticator.authenticate(key.headers)
    assert revoked == await authenticator.authenticate(bearer(new_key()[1]))


async def test_an_expired_key_is_refused_with_token_expired(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock
) -> None:
    expired = await issue(store, name="old", expires_at=int(clock.now()))
    assert code(await authenticator.authenticate(expired.headers)) is ErrorCode.TOKEN_EXPIRED


async def test_a_key_that_expires_while_it_is_remembered_is_refused_at_once(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock
) -> None:
    expiring = await issue(store, name="brief", expires_at=int(clock.now()) + 10)
    assert code(await authenticator.authenticate(expiring.headers)) is None
    clock.advance(10)
    assert code(await authenticator.authenticate(expiring.headers)) is ErrorCode.TOKEN_EXPIRED


async def test_the_holder_of_an_expired_key_alone_learns_that_it_expired(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    expired = await issue(store, name="old", expires_at=1)
    forged = wrong_secret(expired)
    assert code(await authenticator.authenticate(bearer(forged))) is ErrorCode.INVALID_API_KEY


@pytest.mark.parametrize("make", [lambda key: key.text[:-1] + "!", lambda key: "sk-1", lambda key: "x" * 66])
async def test_a_typo_costs_no_look_up(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, make: Callable[[Issued], str]
) -> None:
    await authenticator.authenticate(bearer(make(key)))
    assert store.asked == []


async def test_a_good_key_is_looked_up_once_a_minute(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    for _ in range(3):
        await authenticator.authenticate(key.headers)
        clock.advance(29.9)
    assert len(store.asked) == 1
    clock.advance(0.3)
    await authenticator.authenticate(key.headers)
    assert len(store.asked) == 2


async def test_a_wrong_key_is_remembered_briefly(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    forged = bearer(wrong_secret(key))
    await authenticator.authenticate(forged)
    await authenticator.authenticate(forged)
    assert len(store.asked) == 1
    clock.advance(5.0)
    await authenticator.authenticate(forged)
    assert len(store.asked) == 2


async def test_a_wrong_secret_is_never_let_in_by_the_memory_of_the_right_one(
    authenticator: KeyAuthenticator, key: Issued
) -> None:
    await authenticator.authenticate(key.headers)
    assert code(await authenticator.authenticate(bearer(wrong_secret(key)))) is ErrorCode.INVALID_API_KEY


async def test_a_flood_of_wrong_keys_does_not_push_out_a_good_one(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.authenticate(key.headers)
    for _ in range(300):
        await authenticator.authenticate(bearer(new_key()[1]))
    store.asked.clear()
    await authenticator.authenticate(key.headers)
    assert store.asked == []


async def test_a_revocation_counts_from_the_next_refresh_on(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.authenticate(key.headers)
    await store.revoke(key.id, 1)
    await authenticator.refresh()
    assert code(await authenticator.authenticate(key.headers)) is ErrorCode.INVALID_API_KEY


async def test_a_refresh_without_news_forgets_nothing(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.refresh()
    await authenticator.authenticate(key.headers)
    await authenticator.refresh()
    await authenticator.authenticate(key.headers)
    assert len(store.asked) == 1


async def test_a_request_in_flight_cannot_bring_a_revoked_key_back(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    """It read the key before the revocation, and has its answer only after everybody was told."""
    await authenticator.refresh()
    store.gate = asyncio.Event()
    in_flight = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    await store.revoke(key.id, 1)
    await authenticator.refresh()
    store.gate.set()
    await in_flight
    store.gate = None
    assert code(await authenticator.authenticate(key.headers)) is ErrorCode.INVALID_API_KEY


async def test_who_comes_after_a_revocation_does_not_share_an_older_look_up(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.refresh()
    store.gate = asyncio.Event()
    older = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    await store.revoke(key.id, 1)
    await authenticator.refresh()
    later = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    store.gate.set()
    await older
    assert [code(answer) for answer in await later] == [ErrorCode.INVALID_API_KEY]


async def test_many_who_ask_at_once_ask_the_store_once(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.gate = asyncio.Event()
    asking = asyncio.gather(*[authenticator.authenticate(key.headers) for _ in range(100)])
    await turns()
    store.gate.set()
    assert {code(answer) for answer in await asking} == {None}
    assert len(store.asked) == 1


async def test_when_the_one_who_asks_leaves_another_asks(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.gate = asyncio.Event()
    first = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    second = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    first.cancel()
    await turns()
    store.gate.set()
    assert [code(answer) for answer in await second] == [None]
    assert len(store.asked) == 2


async def test_one_who_waits_and_leaves_takes_nobody_along(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.gate = asyncio.Event()
    first = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    second = asyncio.gather(authenticator.authenticate(key.headers))
    await turns()
    second.cancel()
    await turns()
    store.gate.set()
    assert [code(answer) for answer in await first] == [None]


async def test_a_remembered_key_is_good_while_the_store_is_away(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.headers)
    store.away = True
    clock.advance(59)
    assert code(await authenticator.authenticate(key.headers)) is None


async def test_a_key_is_not_good_for_more_than_a_minute_without_the_store(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.headers)
    store.away = True
    clock.advance(60)
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(key.headers)


async def test_a_failed_look_up_is_not_remembered(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.away = True
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(key.headers)
    store.away = False
    assert code(await authenticator.authenticate(key.headers)) is None


async def test_who_shares_a_look_up_shares_its_failure(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.away, store.gate = True, asyncio.Event()
    asking = asyncio.gather(
        *[authenticator.authenticate(key.headers) for _ in range(3)], return_exceptions=True
    )
    await turns()
    store.gate.set()
    assert [type(answer) for answer in await asking] == [StoreUnavailable] * 3
    assert len(store.asked) == 1


async def test_a_store_that_does_not_answer_is_given_up_at_the_deadline(
    store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    authenticator = KeyAuthenticator(store=store, pepper=PEPPER, clock=clock, deadline=0.01)
    store.gate = asyncio.Event()
    with pytest.raises(StoreUnavailable, match="in time"):
        await authenticator.authenticate(key.headers)


async def test_a_refresh_that_fails_says_so_and_forgets_nothing(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.refresh()
    await authenticator.authenticate(key.headers)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await authenticator.refresh()
    assert code(await authenticator.authenticate(key.headers)) is None


# Of those who came in before.


async def principal_of(authenticator: KeyAuthenticator, key: Issued) -> Principal:
    principal = await authenticator.authenticate(key.headers)
    assert isinstance(principal, Principal)
    return principal


async def test_it_is_known_when_keys_changed(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    assert authenticator.changed_at < clock.monotonic()
    await authenticator.refresh()
    first = clock.monotonic()
    clock.advance(10)
    await authenticator.refresh()
    assert authenticator.changed_at == first
    await store.revoke(key.id, 1)
    await authenticator.refresh()
    assert authenticator.changed_at == clock.monotonic()


async def test_a_key_that_was_revoked_since_is_known_for_it(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    principal = await principal_of(authenticator, key)
    assert not await authenticator.is_revoked(principal)
    await store.revoke(key.id, 1)
    assert await authenticator.is_revoked(principal)


async def test_a_key_that_is_gone_counts_as_revoked(authenticator: KeyAuthenticator) -> None:
    gone = Principal(subject="key:search/web", team="search", key_id="gone", key_name="web")
    assert await authenticator.is_revoked(gone)


async def test_while_the_store_is_away_nobody_is_called_revoked(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    principal = await principal_of(authenticator, key)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await authenticator.is_revoked(principal)
