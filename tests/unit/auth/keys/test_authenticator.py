"""Who may come in with a key, what is remembered of it, and for how long."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.interfaces import Change, Revocation, RevocationKind, StoredKey
from gateway.auth.keys.api_keys import checksum, hash_secret, key_with, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.imported import fingerprint
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.keys.uses import KeyUse, KeyUses
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.grant import Grant
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock
from tests.unit.auth.conftest import (
    HERE,
    MADE,
    PEPPER,
    Issued,
    MemoryArrival,
    Waiting,
    an_authenticator,
    issue,
)

FOREIGN = "sk-proj-0123456789abcdef"
"""A key of another gateway."""


class WatchedStore(MemoryKeyStore):
    """Counts what it is asked, and can be slow, or away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.away = False

    async def find(self, key_id: str) -> StoredKey | None:
        return await self._asked(key_id, await super().find(key_id))

    async def find_imported(self, secret_hash: bytes) -> StoredKey | None:
        return await self._asked("by hash", await super().find_imported(secret_hash))

    async def has_imported(self) -> bool:
        found = await self._asked("any imported", await super().has_imported())
        return bool(found)

    async def _asked(self, what: str, found: Any) -> Any:
        self.asked.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        return found


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
async def key(store: WatchedStore) -> Issued:
    return await issue(store)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def revocations() -> KnownRevocations:
    return KnownRevocations()


@pytest.fixture
def used() -> MemoryUseStore:
    return MemoryUseStore()


@pytest.fixture
def uses(used: MemoryUseStore, clock: ManualClock) -> KeyUses:
    return KeyUses(store=used, clock=clock)


@pytest.fixture
def authenticator(
    store: WatchedStore,
    clock: ManualClock,
    waiting: Waiting,
    revocations: KnownRevocations,
    uses: KeyUses,
) -> KeyAuthenticator:
    return an_authenticator(
        store, clock, capacity=100, pause=waiting, revocations=revocations, uses=uses, refuse_after=0.01
    )


def code(answer: Principal | Deny) -> ErrorCode | None:
    return answer.code if isinstance(answer, Deny) else None


async def change(store: MemoryKeyStore, key_id: str, **changes: Any) -> None:
    await store.change(key_id, lambda key: Change(replace(key, **changes), MADE))


async def rotated(
    store: MemoryKeyStore, key: Issued, clock: ManualClock, *, overlap: int = 60, **changes: Any
) -> Issued:
    """The same key with a new secret, as its holder has it."""
    before = await store.find(key.id)
    assert before is not None
    new = key_with(key.id)
    now = int(clock.now())
    told: dict[str, Any] = {
        "secret_hash": hash_secret(PEPPER, new),
        "issued_at": now,
        "previous_hash": before.secret_hash,
        "previous_until": now + overlap,
        "previous_issued_at": before.issued_at,
    }
    await change(store, key.id, **told | changes)
    return Issued(key.id, new)


async def import_key(store: MemoryKeyStore, text: str = FOREIGN, **changes: Any) -> Issued:
    told = {"secret_hash": hash_secret(PEPPER, fingerprint(text)), "imported": True, "name": "old"}
    issued = await issue(store, **told | changes)
    return Issued(issued.id, text)


async def turns(times: int = 5) -> None:
    """Let every task that can go on go on."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_good_key_is_its_principal(authenticator: KeyAuthenticator, key: Issued) -> None:
    assert await authenticator.authenticate(key.text, HERE) == Principal(
        subject="key:search/web",
        team="search",
        key_id=key.id,
        key_name="web",
        kind=CredentialKind.API_KEY,
        issued_at=1,
    )


async def test_a_key_with_an_owner_is_the_owner(authenticator: KeyAuthenticator, store: WatchedStore) -> None:
    owned = await issue(store, owner="service:ci")
    principal = await authenticator.authenticate(owned.text, HERE)
    assert isinstance(principal, Principal)
    assert (principal.subject, principal.key_name) == ("service:ci", "web")


async def test_a_key_reaches_as_far_as_it_is_granted(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    grant = Grant(models=("gpt-4o",), read_only=True)
    narrow = await issue(store, grant=grant)
    principal = await authenticator.authenticate(narrow.text, HERE)
    assert isinstance(principal, Principal)
    assert principal.grant == grant


def wrong_secret(key: Issued) -> str:
    """Another secret under the same id: nothing is wrong with its form and its checksum."""
    body = f"gwk_{key.id}_{new_key()[1][17:60]}"
    return body + checksum(body)


FORGERIES: dict[str, Callable[[Issued], str]] = {
    "wrong secret": wrong_secret,
    "unknown": lambda key: new_key()[1],
    "cut": lambda key: key.text[:-1],
    "reversed": lambda key: key.text[::-1],
    "foreign": lambda key: FOREIGN,
    "not text": lambda key: "\udce9" * 66,
    "not text, of ours": lambda key: "gwk_" + "\udce9" * 62,
    "huge": lambda key: "x" * 100_000,
    "empty": lambda key: "",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_wrong_key_is_refused_in_one_sentence_whatever_is_wrong(
    authenticator: KeyAuthenticator, key: Issued, forge: Callable[[Issued], str]
) -> None:
    denied = await authenticator.authenticate(forge(key), HERE)
    assert isinstance(denied, Deny)
    assert (denied.code, denied.param) == (ErrorCode.INVALID_API_KEY, None)
    assert denied.reason == (
        "Incorrect API key provided. Use a key that this gateway gave your team; it may have been revoked."
    )


@pytest.mark.parametrize("changes", [{"revoked_at": 1}, {"disabled_at": 1}], ids=str)
async def test_a_key_that_was_taken_back_is_refused_like_a_wrong_one(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, changes: dict[str, int]
) -> None:
    await change(store, key.id, **changes)
    refused = await authenticator.authenticate(key.text, HERE)
    assert refused == await authenticator.authenticate(new_key()[1], HERE)


async def test_a_key_that_is_enabled_again_is_good_again(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await change(store, key.id, disabled_at=1)
    await authenticator.authenticate(key.text, HERE)
    await change(store, key.id, disabled_at=None)
    authenticator.forget()
    assert code(await authenticator.authenticate(key.text, HERE)) is None


async def test_an_expired_key_is_refused_with_token_expired(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock
) -> None:
    expired = await issue(store, expires_at=int(clock.now()))
    assert code(await authenticator.authenticate(expired.text, HERE)) is ErrorCode.TOKEN_EXPIRED


async def test_a_key_that_expires_while_it_is_remembered_is_refused_at_once(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock
) -> None:
    expiring = await issue(store, expires_at=int(clock.now()) + 10)
    assert code(await authenticator.authenticate(expiring.text, HERE)) is None
    clock.advance(10)
    assert code(await authenticator.authenticate(expiring.text, HERE)) is ErrorCode.TOKEN_EXPIRED


async def test_the_holder_of_an_expired_key_alone_learns_that_it_expired(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    expired = await issue(store, expires_at=1)
    assert code(await authenticator.authenticate(wrong_secret(expired), HERE)) is ErrorCode.INVALID_API_KEY


# Of rotated keys.


async def test_while_the_overlap_runs_both_secrets_are_good(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    new = await rotated(store, key, clock)
    principals = [await authenticator.authenticate(each.text, HERE) for each in (key, new)]
    assert [getattr(each, "key_id", None) for each in principals] == [key.id, key.id]


async def test_a_principal_tells_when_its_own_secret_was_made(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    new = await rotated(store, key, clock)
    principals = [await authenticator.authenticate(each.text, HERE) for each in (key, new)]
    assert [getattr(each, "issued_at", None) for each in principals] == [1, int(clock.now())]


async def test_the_old_secret_ends_with_the_overlap_though_it_is_remembered(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    new = await rotated(store, key, clock, overlap=10)
    await authenticator.authenticate(key.text, HERE)
    clock.advance(10)
    denied = await authenticator.authenticate(key.text, HERE)
    assert isinstance(denied, Deny)
    assert (denied.code, "was rotated" in denied.reason) == (ErrorCode.TOKEN_EXPIRED, True)
    assert code(await authenticator.authenticate(new.text, HERE)) is None


async def test_both_secrets_end_with_the_key(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    new = await rotated(store, key, clock, overlap=60, expires_at=int(clock.now()) + 5)
    clock.advance(5)
    denied = [await authenticator.authenticate(each.text, HERE) for each in (key, new)]
    assert [code(each) for each in denied] == [ErrorCode.TOKEN_EXPIRED] * 2
    assert denied[0] == denied[1]


async def test_the_secret_before_the_one_before_is_wrong(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await rotated(store, await rotated(store, key, clock), clock)
    assert code(await authenticator.authenticate(key.text, HERE)) is ErrorCode.INVALID_API_KEY


# Of where it comes from.


@pytest.mark.parametrize(
    ("peer", "refused"),
    [("10.1.2.3", None), ("192.0.2.7", ErrorCode.PERMISSION_DENIED), ("", ErrorCode.PERMISSION_DENIED)],
)
async def test_a_key_is_good_from_its_networks_alone(
    authenticator: KeyAuthenticator, store: WatchedStore, peer: str, refused: ErrorCode | None
) -> None:
    bound = await issue(store, addresses=("10.0.0.0/8", "2001:db8::/32"))
    for _ in ("looked up", "remembered"):
        assert code(await authenticator.authenticate(bound.text, MemoryArrival(peer))) is refused


async def test_who_came_from_within_opens_the_door_to_nobody_else(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    bound = await issue(store, addresses=("10.0.0.0/8",))
    peers = ("10.1.2.3", "10.1.2.3", "192.0.2.7", "10.1.2.3", "192.0.2.7")
    answers = [await authenticator.authenticate(bound.text, MemoryArrival(peer)) for peer in peers]
    denied = ErrorCode.PERMISSION_DENIED
    assert [code(answer) for answer in answers] == [None, None, denied, None, denied]


async def test_who_comes_from_elsewhere_is_not_told_from_where_he_should(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    bound = await issue(store, addresses=("10.0.0.0/8",))
    denied = await authenticator.authenticate(bound.text, HERE)
    assert isinstance(denied, Deny)
    assert ("10.0" in denied.reason, denied.rule) == (False, "auth.key_addresses")


async def test_from_elsewhere_a_wrong_key_is_wrong(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    bound = await issue(store, addresses=("10.0.0.0/8",))
    assert code(await authenticator.authenticate(wrong_secret(bound), HERE)) is ErrorCode.INVALID_API_KEY


# Of imported keys.


async def test_an_imported_key_is_good_as_it_is(authenticator: KeyAuthenticator, store: WatchedStore) -> None:
    imported = await import_key(store)
    principal = await authenticator.authenticate(FOREIGN, HERE)
    assert isinstance(principal, Principal)
    assert (principal.key_id, principal.key_name) == (imported.id, "old")


async def test_where_nothing_was_imported_a_foreign_string_costs_one_look_up_in_all(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    for number in range(50):
        await authenticator.authenticate(f"sk-proj-{number}", HERE)
    assert store.asked == ["any imported"]


async def test_after_a_change_it_is_asked_anew_whether_anything_was_imported(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    await authenticator.authenticate(FOREIGN, HERE)
    await import_key(store)
    authenticator.forget()
    assert code(await authenticator.authenticate(FOREIGN, HERE)) is None


async def test_an_answer_from_before_a_change_does_not_count_for_later(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    store.gate = gate = asyncio.Event()
    older = asyncio.gather(authenticator.authenticate(FOREIGN, HERE))
    await turns()
    store.gate = None
    await import_key(store)
    authenticator.forget()
    gate.set()
    await older
    assert code(await authenticator.authenticate(FOREIGN, HERE)) is None


async def test_the_hash_of_an_imported_key_is_no_key(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    await import_key(store)
    denied = await authenticator.authenticate(fingerprint(FOREIGN), HERE)
    assert code(denied) is ErrorCode.INVALID_API_KEY


async def test_an_imported_key_that_was_rotated_is_good_until_the_deadline_in_both_forms(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock
) -> None:
    imported = await import_key(store)
    new = await rotated(store, imported, clock, overlap=10)
    assert [code(await authenticator.authenticate(each, HERE)) for each in (FOREIGN, new.text)] == [
        None,
        None,
    ]
    clock.advance(10)
    assert [code(await authenticator.authenticate(each, HERE)) for each in (FOREIGN, new.text)] == [
        ErrorCode.TOKEN_EXPIRED,
        None,
    ]


# Of what is remembered.


@pytest.mark.parametrize(
    "make", [lambda key: key.text[:-1] + "!", lambda key: "sk-1", lambda key: "gwk_" * 20]
)
async def test_a_typo_costs_no_look_up(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, make: Callable[[Issued], str]
) -> None:
    await authenticator.authenticate(make(key), HERE)
    assert store.asked == []


async def test_a_key_that_is_confirmed_is_never_looked_up_again(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    for _ in range(1000):
        assert code(await authenticator.authenticate(key.text, HERE)) is None
        clock.advance(30)
        authenticator.confirm(clock.monotonic())
    assert len(store.asked) == 1


async def test_a_key_that_nobody_confirms_is_good_for_a_minute(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.text, HERE)
    store.away = True
    clock.advance(59.9)
    assert code(await authenticator.authenticate(key.text, HERE)) is None
    clock.advance(0.1)
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(key.text, HERE)


async def test_the_minute_begins_with_the_last_confirmation(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.text, HERE)
    clock.advance(50)
    authenticator.confirm(clock.monotonic())
    store.away = True
    clock.advance(59.9)
    assert code(await authenticator.authenticate(key.text, HERE)) is None


async def test_how_long_a_key_outlives_an_outage_can_be_set(
    store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    authenticator = an_authenticator(store, clock, good_for=600)
    await authenticator.authenticate(key.text, HERE)
    store.away = True
    clock.advance(599)
    assert code(await authenticator.authenticate(key.text, HERE)) is None


async def test_a_confirmation_of_before_takes_nothing_away(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    authenticator.confirm(clock.monotonic())
    authenticator.confirm(clock.monotonic() - 1000)
    await authenticator.authenticate(key.text, HERE)
    clock.advance(59)
    await authenticator.authenticate(key.text, HERE)
    assert len(store.asked) == 1


async def test_a_wrong_key_is_remembered_briefly(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    forged = wrong_secret(key)
    await authenticator.authenticate(forged, HERE)
    await authenticator.authenticate(forged, HERE)
    assert len(store.asked) == 1
    clock.advance(5.0)
    await authenticator.authenticate(forged, HERE)
    assert len(store.asked) == 2


async def test_what_was_wrong_may_be_right_after_a_change(
    authenticator: KeyAuthenticator, store: WatchedStore
) -> None:
    await import_key(store, "sk-another-key")
    assert code(await authenticator.authenticate(FOREIGN, HERE)) is ErrorCode.INVALID_API_KEY
    await import_key(store, name="later")
    authenticator.forget()
    assert code(await authenticator.authenticate(FOREIGN, HERE)) is None


async def test_a_wrong_secret_is_never_let_in_by_the_memory_of_the_right_one(
    authenticator: KeyAuthenticator, key: Issued
) -> None:
    await authenticator.authenticate(key.text, HERE)
    assert code(await authenticator.authenticate(wrong_secret(key), HERE)) is ErrorCode.INVALID_API_KEY


async def test_a_flood_of_wrong_keys_does_not_push_out_a_good_one(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.authenticate(key.text, HERE)
    for _ in range(300):
        await authenticator.authenticate(new_key()[1], HERE)
    store.asked.clear()
    await authenticator.authenticate(key.text, HERE)
    assert store.asked == []


async def test_no_more_keys_are_remembered_than_there_is_room_for(
    store: WatchedStore, clock: ManualClock
) -> None:
    authenticator = an_authenticator(store, clock, capacity=2)
    keys = [await issue(store, name=f"n{number}") for number in range(3)]
    for key in keys:
        await authenticator.authenticate(key.text, HERE)
    store.asked.clear()
    for key in reversed(keys):
        await authenticator.authenticate(key.text, HERE)
    assert store.asked == [keys[0].id]


async def test_a_key_in_use_stays_when_room_is_made(store: WatchedStore, clock: ManualClock) -> None:
    authenticator = an_authenticator(store, clock, capacity=2, good_for=1000)
    used, idle, new = [await issue(store, name=f"n{number}") for number in range(3)]
    await authenticator.authenticate(used.text, HERE)
    await authenticator.authenticate(idle.text, HERE)
    clock.advance(60)
    await authenticator.authenticate(used.text, HERE)
    await authenticator.authenticate(new.text, HERE)
    store.asked.clear()
    await authenticator.authenticate(used.text, HERE)
    assert store.asked == []


async def test_a_revocation_counts_from_the_forgetting_on(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    await authenticator.authenticate(key.text, HERE)
    await change(store, key.id, revoked_at=1)
    authenticator.forget()
    assert code(await authenticator.authenticate(key.text, HERE)) is ErrorCode.INVALID_API_KEY


async def test_a_confirmation_brings_nothing_back_that_was_forgotten(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.text, HERE)
    await change(store, key.id, revoked_at=1)
    authenticator.forget()
    authenticator.confirm(clock.monotonic())
    assert code(await authenticator.authenticate(key.text, HERE)) is ErrorCode.INVALID_API_KEY


async def test_a_request_in_flight_cannot_bring_a_revoked_key_back(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    """It read the key before the revocation, and has its answer only after everybody was told."""
    store.gate = asyncio.Event()
    in_flight = asyncio.gather(authenticator.authenticate(key.text, HERE))
    await turns()
    await change(store, key.id, revoked_at=1)
    authenticator.forget()
    store.gate.set()
    await in_flight
    store.gate = None
    assert code(await authenticator.authenticate(key.text, HERE)) is ErrorCode.INVALID_API_KEY


async def test_who_comes_after_a_revocation_does_not_share_an_older_look_up(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.gate = asyncio.Event()
    older = asyncio.gather(authenticator.authenticate(key.text, HERE))
    await turns()
    await change(store, key.id, revoked_at=1)
    authenticator.forget()
    later = asyncio.gather(authenticator.authenticate(key.text, HERE))
    await turns()
    store.gate.set()
    await older
    assert [code(answer) for answer in await later] == [ErrorCode.INVALID_API_KEY]


async def test_a_request_in_flight_is_refused_when_its_revocation_is_known_by_then(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued, revocations: KnownRevocations
) -> None:
    store.gate = asyncio.Event()
    in_flight = asyncio.gather(authenticator.authenticate(key.text, HERE))
    await turns()
    revocations.replace([a_revocation(RevocationKind.KEY, key.id)])
    authenticator.forget()
    store.gate.set()
    assert [code(answer) for answer in await in_flight] == [ErrorCode.INVALID_API_KEY]


def a_revocation(kind: RevocationKind, value: str, *, until: int = 100) -> Revocation:
    return Revocation("rev_1", kind, value, since=0, until=until, at=0, by="cli:tester")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevocationKind.USER, "user:alice"),
        (RevocationKind.TEAM, "search"),
        (RevocationKind.ALL, ""),
    ],
)
async def test_what_was_taken_back_is_refused_like_a_wrong_key(
    authenticator: KeyAuthenticator,
    store: WatchedStore,
    revocations: KnownRevocations,
    kind: RevocationKind,
    value: str,
) -> None:
    owned = await issue(store, owner="user:alice")
    assert code(await authenticator.authenticate(owned.text, HERE)) is None
    revocations.replace([a_revocation(kind, value)])
    authenticator.forget()
    assert code(await authenticator.authenticate(owned.text, HERE)) is ErrorCode.INVALID_API_KEY


async def test_a_secret_that_was_made_since_is_good_while_the_one_before_is_taken_back(
    authenticator: KeyAuthenticator,
    store: WatchedStore,
    key: Issued,
    clock: ManualClock,
    revocations: KnownRevocations,
) -> None:
    revocations.replace([a_revocation(RevocationKind.TEAM, "search")])
    new = await rotated(store, key, clock)
    assert [code(await authenticator.authenticate(each.text, HERE)) for each in (key, new)] == [
        ErrorCode.INVALID_API_KEY,
        None,
    ]


async def test_many_who_ask_at_once_ask_the_store_once(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.gate = asyncio.Event()
    asking = asyncio.gather(*[authenticator.authenticate(key.text, HERE) for _ in range(100)])
    await turns()
    store.gate.set()
    assert {code(answer) for answer in await asking} == {None}
    assert len(store.asked) == 1


async def test_a_failed_look_up_is_not_remembered(
    authenticator: KeyAuthenticator, store: WatchedStore, key: Issued
) -> None:
    store.away = True
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(key.text, HERE)
    store.away = False
    assert code(await authenticator.authenticate(key.text, HERE)) is None


async def test_a_store_that_does_not_answer_is_given_up_at_the_deadline(
    store: WatchedStore, key: Issued, clock: ManualClock
) -> None:
    authenticator = an_authenticator(store, clock, deadline=0.01)
    store.gate = asyncio.Event()
    with pytest.raises(StoreUnavailable, match="in time"):
        await authenticator.authenticate(key.text, HERE)


# Of the time that a refusal takes.


@pytest.mark.parametrize("forge", [wrong_secret, lambda key: new_key()[1]], ids=["wrong secret", "wrong id"])
async def test_a_wrong_key_that_was_asked_for_is_held_back(
    authenticator: KeyAuthenticator, key: Issued, waiting: Waiting, forge: Callable[[Issued], str]
) -> None:
    await authenticator.authenticate(forge(key), HERE)
    assert waiting.seconds == [pytest.approx(0.01, abs=1e-4)]


@pytest.mark.parametrize("changes", [{"revoked_at": 1}, {"disabled_at": 1}], ids=str)
async def test_a_key_that_was_taken_back_is_held_back_like_a_wrong_one(
    authenticator: KeyAuthenticator,
    store: WatchedStore,
    key: Issued,
    waiting: Waiting,
    changes: dict[str, int],
) -> None:
    await change(store, key.id, **changes)
    await authenticator.authenticate(key.text, HERE)
    assert waiting.seconds == [pytest.approx(0.01, abs=1e-4)]


async def test_a_wrong_key_is_held_back_for_what_the_store_left_of_the_time(
    authenticator: KeyAuthenticator, store: WatchedStore, clock: ManualClock, waiting: Waiting
) -> None:
    store.gate = asyncio.Event()
    asking = asyncio.gather(authenticator.authenticate(new_key()[1], HERE))
    await turns()
    clock.advance(0.004)
    store.gate.set()
    await asking
    assert waiting.seconds == [pytest.approx(0.006, abs=1e-4)]


@pytest.mark.parametrize("make", [lambda key: key.text, lambda key: key.text[:-1], lambda key: FOREIGN])
async def test_nobody_else_is_held_back(
    authenticator: KeyAuthenticator, key: Issued, waiting: Waiting, make: Callable[[Issued], str]
) -> None:
    await authenticator.authenticate(make(key), HERE)
    assert waiting.seconds == []


# Of the last use.


async def test_a_use_is_noted_with_the_address(
    authenticator: KeyAuthenticator, key: Issued, uses: KeyUses, used: MemoryUseStore, clock: ManualClock
) -> None:
    await authenticator.authenticate(key.text, HERE)
    await uses.flush()
    assert await used.read([key.id]) == {key.id: KeyUse(int(clock.now()), "192.0.2.7")}


async def test_a_use_is_noted_once_a_minute(
    store: WatchedStore, key: Issued, uses: KeyUses, clock: ManualClock
) -> None:
    noticed: list[str] = []

    def address_of(arrival: Any) -> str:
        noticed.append(arrival.peer)
        return "192.0.2.7"

    authenticator = an_authenticator(store, clock, uses=uses, address_of=address_of, good_for=1000)
    for _ in range(121):
        await authenticator.authenticate(key.text, HERE)
        clock.advance(1)
    assert len(noticed) == 3


@pytest.mark.parametrize("changes", [{"revoked_at": 1}, {"expires_at": 1}, {"addresses": ("10.0.0.0/8",)}])
async def test_who_is_refused_has_not_used_the_key(
    authenticator: KeyAuthenticator,
    store: WatchedStore,
    key: Issued,
    uses: KeyUses,
    used: MemoryUseStore,
    changes: dict[str, Any],
) -> None:
    await change(store, key.id, **changes)
    await authenticator.authenticate(key.text, HERE)
    await uses.flush()
    assert await used.read([key.id]) == {}
