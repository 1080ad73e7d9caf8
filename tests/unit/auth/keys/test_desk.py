"""Keys made and changed, and what is put on record."""

from collections.abc import Awaitable, Callable

import pytest

from gateway.auth.interfaces import KeyRefused, NameTaken, RevocationKind, StoredKey
from gateway.auth.keys.api_keys import hash_secret, parse_key
from gateway.auth.keys.checks import KeyChecks, NewKey
from gateway.auth.keys.desk import KeyDesk, NoSuchKey
from gateway.auth.keys.imported import AlreadyImported, fingerprint
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.keys.uses import KeyUse
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import Grant
from gateway.core.principal import Principal
from tests.support.clock import ManualClock
from tests.unit.auth.conftest import BY, HERE, PEPPER, an_authenticator

FOREIGN = "sk-proj-0123456789abcdef"
WEB = NewKey(team="search", name="web")
CHECKS = KeyChecks(
    teams=lambda: {"search", "ads"}, endpoints=lambda: {"chat_completions"}, models=lambda: {"gpt-4o"}
)


class Told:
    """Counts how often replicas were told to look."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def store() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def uses() -> MemoryUseStore:
    return MemoryUseStore()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def desk(store: MemoryKeyStore, uses: MemoryUseStore, clock: ManualClock, told: Told) -> KeyDesk:
    return KeyDesk(store=store, uses=uses, pepper=PEPPER, clock=clock, checks=CHECKS, changed=told)


async def answer(store: MemoryKeyStore, clock: ManualClock, secret: str) -> ErrorCode | None:
    """What whoever asks with it is told; None: come in."""
    answered = await an_authenticator(store, clock).authenticate(secret, HERE)
    return answered.code if isinstance(answered, Deny) else None


async def test_a_new_key_is_a_key(desk: KeyDesk) -> None:
    key, secret = await desk.create(WEB, BY)
    parsed = parse_key(secret)
    assert parsed is not None
    assert parsed.id == key.id


async def test_a_new_key_lets_its_holder_in(desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock) -> None:
    _, secret = await desk.create(WEB, BY)
    principal = await an_authenticator(store, clock).authenticate(secret, HERE)
    assert isinstance(principal, Principal)
    assert (principal.team, principal.key_name, principal.issued_at) == ("search", "web", int(clock.now()))


async def test_what_is_kept_of_a_key_is_only_its_hash(desk: KeyDesk, clock: ManualClock) -> None:
    key, secret = await desk.create(WEB, BY)
    assert await desk.show(key.id) == key
    assert key.secret_hash == hash_secret(PEPPER, secret)
    assert (key.created_at, key.issued_at, key.created_by) == (int(clock.now()),) * 2 + (BY.name,)
    assert secret not in repr(key)


async def test_a_key_is_as_it_was_wanted(desk: KeyDesk, clock: ManualClock) -> None:
    grant = Grant(models=("gpt-*",), requests_per_minute=5)
    ends = int(clock.now()) + 60
    key, _ = await desk.create(
        NewKey(
            team="search",
            name="web",
            owner="service:ci",
            expires_at=ends,
            grant=grant,
            addresses=["10.0.0.7"],
        ),
        BY,
    )
    assert (key.owner, key.expires_at, key.grant, key.addresses, key.imported) == (
        "service:ci",
        ends,
        grant,
        ("10.0.0.7/32",),
        False,
    )


async def test_a_key_ends_when_it_was_said_to(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    _, secret = await desk.create(NewKey(team="search", name="web", expires_at=int(clock.now()) + 60), BY)
    assert await answer(store, clock, secret) is None
    clock.advance(60)
    assert await answer(store, clock, secret) is ErrorCode.TOKEN_EXPIRED


async def test_a_name_stands_once_in_a_team(desk: KeyDesk, store: MemoryKeyStore) -> None:
    await desk.create(WEB, BY)
    with pytest.raises(NameTaken, match="`web`"):
        await desk.create(WEB, BY)
    assert len(store.acts) == 1


async def test_a_key_that_cannot_be_made_leaves_no_trace(
    desk: KeyDesk, store: MemoryKeyStore, told: Told
) -> None:
    with pytest.raises(KeyRefused, match="no team"):
        await desk.create(NewKey(team="unheard-of", name="web"), BY)
    assert (await desk.list(), store.acts, told.times) == ([], [], 0)


async def test_keys_are_listed_oldest_first(desk: KeyDesk, clock: ManualClock) -> None:
    for name in ("b", "a", "c"):
        await desk.create(NewKey(team="search", name=name), BY)
        clock.advance(1)
    assert [key.name for key in await desk.list()] == ["b", "a", "c"]


async def test_one_teams_keys_are_listed_alone(desk: KeyDesk) -> None:
    await desk.create(WEB, BY)
    await desk.create(NewKey(team="ads", name="web"), BY)
    assert [key.team for key in await desk.list("ads")] == ["ads"]


async def test_keys_are_listed_page_by_page(desk: KeyDesk, clock: ManualClock) -> None:
    for number in range(5):
        await desk.create(NewKey(team="search", name=f"n{number}"), BY)
        clock.advance(1)
    pages, after = [], ""
    while page := await desk.list("search", after=after, most=2):
        pages.append([key.name for key in page])
        after = page[-1].id
    assert pages == [["n0", "n1"], ["n2", "n3"], ["n4"]]


async def test_a_page_after_a_key_that_there_is_not_is_refused(desk: KeyDesk) -> None:
    with pytest.raises(NoSuchKey):
        await desk.list(after="unheard-of")


async def test_of_keys_that_were_used_the_last_use_is_known(desk: KeyDesk, uses: MemoryUseStore) -> None:
    key, _ = await desk.create(WEB, BY)
    await uses.write({key.id: KeyUse(5, "192.0.2.7")})
    assert await desk.uses([key.id, "another"]) == {key.id: KeyUse(5, "192.0.2.7")}


def test_a_desk_knows_the_teams(desk: KeyDesk) -> None:
    assert desk.teams == {"search", "ads"}


# Rotation.


async def test_a_rotated_key_has_two_secrets_until_the_deadline(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, old = await desk.create(WEB, BY)
    clock.advance(5)
    after, new = await desk.rotate(key.id, overlap_seconds=60, by=BY)
    assert (after.id, after.issued_at) == (key.id, int(clock.now()))
    assert [await answer(store, clock, each) for each in (old, new)] == [None, None]
    clock.advance(60)
    assert [await answer(store, clock, each) for each in (old, new)] == [ErrorCode.TOKEN_EXPIRED, None]


async def test_without_an_overlap_the_old_secret_ends_at_once(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, old = await desk.create(WEB, BY)
    await desk.rotate(key.id, overlap_seconds=0, by=BY)
    assert await answer(store, clock, old) is ErrorCode.TOKEN_EXPIRED


async def test_a_rotation_while_an_overlap_runs_is_refused_and_changes_nothing(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, old = await desk.create(WEB, BY)
    _, new = await desk.rotate(key.id, by=BY)
    with pytest.raises(KeyRefused) as refused:
        await desk.rotate(key.id, by=BY)
    assert refused.value.field == "overlap_seconds"
    assert [await answer(store, clock, each) for each in (old, new)] == [None, None]
    assert len(store.acts) == 2


# The end.


async def test_a_disabled_key_lets_nobody_in_until_it_is_enabled(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, secret = await desk.create(WEB, BY)
    await desk.disable(key.id, by=BY)
    assert await answer(store, clock, secret) is ErrorCode.INVALID_API_KEY
    await desk.enable(key.id, by=BY)
    assert await answer(store, clock, secret) is None


async def test_a_revoked_key_lets_nobody_in(desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock) -> None:
    key, secret = await desk.create(WEB, BY)
    await desk.revoke(key.id, by=BY)
    assert await answer(store, clock, secret) is ErrorCode.INVALID_API_KEY


async def test_the_name_of_a_revoked_key_is_free(desk: KeyDesk) -> None:
    key, _ = await desk.create(WEB, BY)
    await desk.revoke(key.id, by=BY)
    assert (await desk.create(WEB, BY))[0].id != key.id


async def test_a_revoked_key_is_among_what_was_taken_back(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, _ = await desk.create(WEB, BY)
    clock.advance(5.25)
    await desk.revoke(key.id, by=BY, reason="it was found in a repository", cut_streams=True)
    (revocation,) = store.revocations
    assert (revocation.kind, revocation.value) == (RevocationKind.KEY, key.id)
    assert (revocation.since, revocation.until) == (0, int(clock.now()))
    assert revocation.at == int(clock.now() * 1000)
    assert (revocation.by, revocation.reason, revocation.cut_streams) == (
        BY.name,
        "it was found in a repository",
        True,
    )


async def test_revoked_twice_is_revoked_since_the_first_time(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key, _ = await desk.create(WEB, BY)
    first = await desk.revoke(key.id, by=BY)
    clock.advance(5)
    assert await desk.revoke(key.id, by=BY) == first
    assert (len(store.revocations), len(store.acts)) == (1, 2)


async def test_running_answers_can_be_ended_when_the_key_was_revoked_before(
    desk: KeyDesk, store: MemoryKeyStore
) -> None:
    key, _ = await desk.create(WEB, BY)
    await desk.revoke(key.id, by=BY)
    await desk.revoke(key.id, by=BY, cut_streams=True)
    assert [each.cut_streams for each in store.revocations] == [False, True]


@pytest.mark.parametrize(
    "act",
    [
        lambda desk: desk.show("unheard-of"),
        lambda desk: desk.rotate("unheard-of", by=BY),
        lambda desk: desk.disable("unheard-of", by=BY),
        lambda desk: desk.enable("unheard-of", by=BY),
        lambda desk: desk.revoke("unheard-of", by=BY),
    ],
    ids=["show", "rotate", "disable", "enable", "revoke"],
)
async def test_a_key_that_there_is_not_is_told(
    desk: KeyDesk, told: Told, act: Callable[[KeyDesk], Awaitable[object]]
) -> None:
    with pytest.raises(NoSuchKey, match="no key with the id `unheard-of`") as refused:
        await act(desk)
    assert (refused.value.field, told.times) == ("key_id", 0)


async def test_whatever_was_sent_as_an_id_is_told_in_one_line(desk: KeyDesk) -> None:
    with pytest.raises(NoSuchKey) as refused:
        await desk.show("a\nb" + "x" * 1000)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 100


# Keys of other gateways.


async def test_an_imported_key_lets_its_holder_in_as_it_is(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key = await desk.bring_in(WEB, fingerprint(FOREIGN).upper(), BY)
    assert await answer(store, clock, FOREIGN) is None
    assert key.imported
    assert key.id not in FOREIGN


async def test_what_is_kept_of_an_imported_key_is_not_its_hash_alone(desk: KeyDesk) -> None:
    key = await desk.bring_in(WEB, fingerprint(FOREIGN), BY)
    assert key.secret_hash == hash_secret(PEPPER, fingerprint(FOREIGN))
    assert key.secret_hash.hex() != fingerprint(FOREIGN)


async def test_a_key_is_imported_once(desk: KeyDesk) -> None:
    key = await desk.bring_in(WEB, fingerprint(FOREIGN), BY)
    with pytest.raises(AlreadyImported, match=key.id) as refused:
        await desk.bring_in(NewKey(team="ads", name="other"), fingerprint(FOREIGN), BY)
    assert refused.value.field == "sha256"


async def test_an_imported_key_that_was_revoked_cannot_come_back(desk: KeyDesk) -> None:
    key = await desk.bring_in(WEB, fingerprint(FOREIGN), BY)
    await desk.revoke(key.id, by=BY)
    with pytest.raises(AlreadyImported, match="stays so"):
        await desk.bring_in(WEB, fingerprint(FOREIGN), BY)


async def test_an_imported_key_becomes_one_of_ours_when_it_is_rotated(
    desk: KeyDesk, store: MemoryKeyStore, clock: ManualClock
) -> None:
    key = await desk.bring_in(WEB, fingerprint(FOREIGN), BY)
    _, new = await desk.rotate(key.id, overlap_seconds=60, by=BY)
    parsed = parse_key(new)
    assert parsed is not None
    assert parsed.id == key.id
    assert [await answer(store, clock, each) for each in (FOREIGN, new)] == [None, None]
    clock.advance(60)
    assert [await answer(store, clock, each) for each in (FOREIGN, new)] == [ErrorCode.TOKEN_EXPIRED, None]


@pytest.mark.parametrize("sha256", ["", "abc", FOREIGN])
async def test_what_is_no_hash_is_not_imported(desk: KeyDesk, sha256: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        await desk.bring_in(WEB, sha256, BY)
    assert refused.value.field == "sha256"


# The record.


async def test_every_change_is_on_record_by_its_actor(
    desk: KeyDesk, store: MemoryKeyStore, told: Told
) -> None:
    key, _ = await desk.create(WEB, BY)
    await desk.rotate(key.id, by=BY)
    await desk.disable(key.id, by=BY)
    await desk.enable(key.id, by=BY)
    await desk.revoke(key.id, by=BY, reason="done")
    imported = await desk.bring_in(WEB, fingerprint(FOREIGN), BY)
    actions = ["created", "rotated", "disabled", "enabled", "revoked"]
    assert [(act.actor, act.action, act.target, act.team) for act in store.acts] == [
        *((BY.name, f"key.{action}", f"key:{key.id}", "search") for action in actions),
        (BY.name, "key.imported", f"key:{imported.id}", "search"),
    ]
    assert told.times == 6


async def test_a_revocation_is_on_record_with_its_reason(desk: KeyDesk, store: MemoryKeyStore) -> None:
    key, _ = await desk.create(WEB, BY)
    await desk.revoke(key.id, by=BY, reason="it was found in a repository")
    details = store.acts[-1].details
    assert (details["reason"], details["cut_streams"]) == ("it was found in a repository", False)
    assert details["revocation"] == store.revocations[0].id


async def test_no_secret_and_no_hash_is_on_record(desk: KeyDesk, store: MemoryKeyStore) -> None:
    secrets: list[str] = []
    key, secret = await desk.create(WEB, BY)
    secrets.append(secret)
    _, secret = await desk.rotate(key.id, by=BY)
    secrets.append(secret)
    imported = await desk.bring_in(NewKey(team="ads", name="old"), fingerprint(FOREIGN), BY)
    record = str(store.acts)
    hashes = [each.secret_hash for each in await desk.list()] + [imported.secret_hash]
    for canary in (*secrets, FOREIGN, fingerprint(FOREIGN), *(hash_.hex() for hash_ in hashes)):
        assert canary not in record
    assert not any(str(hash_) in record for hash_ in hashes)


async def test_what_is_done_again_is_not_on_record_again(desk: KeyDesk, store: MemoryKeyStore) -> None:
    key, _ = await desk.create(WEB, BY)
    await desk.disable(key.id, by=BY)
    before: StoredKey = await desk.show(key.id)
    assert await desk.disable(key.id, by=BY) == before
    assert len(store.acts) == 2
