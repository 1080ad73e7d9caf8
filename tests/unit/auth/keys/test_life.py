"""What becomes of keys."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.interfaces import KeyRefused, Revocation, RevocationKind, StoredKey
from gateway.auth.keys.life import (
    LONGEST_LIFE,
    LONGEST_OVERLAP,
    KeyState,
    as_it_is,
    checked_end,
    disabled,
    enabled,
    overlap_until,
    revoked,
    rotated,
    state_of,
)
from gateway.auth.revocation.known import KnownRevocations
from tests.unit.auth.conftest import a_stored_key

NOW = 1_795_000_000
OLD, NEW = bytes([1]) * 32, bytes([2]) * 32


def a_key(**changes: Any) -> StoredKey:
    return a_stored_key(secret_hash=OLD, created_at=NOW - 500, issued_at=NOW - 500, **changes)


def rotate(key: StoredKey, *, overlap: int = 60, expires_at: int | None = None) -> StoredKey:
    return rotated(key, secret_hash=NEW, now=NOW, overlap_seconds=overlap, expires_at=expires_at)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, KeyState.LIVE),
        ({"expires_at": NOW + 1}, KeyState.LIVE),
        ({"expires_at": NOW}, KeyState.EXPIRED),
        ({"disabled_at": NOW - 5}, KeyState.DISABLED),
        ({"disabled_at": NOW - 5, "expires_at": NOW - 5}, KeyState.DISABLED),
        ({"revoked_at": NOW - 5, "disabled_at": NOW - 5, "expires_at": NOW - 5}, KeyState.REVOKED),
    ],
    ids=str,
)
def test_a_key_is_in_one_state(changes: dict[str, int], state: KeyState) -> None:
    assert state_of(a_key(**changes), NOW) is state


def test_a_rotated_key_is_the_same_key_with_a_new_secret() -> None:
    key = a_key()
    after = rotate(key)
    assert (after.id, after.team, after.name, after.created_at) == (
        key.id,
        key.team,
        key.name,
        key.created_at,
    )
    assert (after.secret_hash, after.issued_at) == (NEW, NOW)


def test_the_secret_before_is_good_until_the_deadline() -> None:
    after = rotate(a_key(), overlap=60)
    assert (after.previous_hash, after.previous_issued_at) == (OLD, NOW - 500)
    assert [overlap_until(after, NOW + seconds) for seconds in (0, 59, 60)] == [NOW + 60, NOW + 60, None]


def test_without_an_overlap_the_secret_before_is_good_no_longer() -> None:
    assert overlap_until(rotate(a_key(), overlap=0), NOW) is None


def test_a_rotation_while_an_overlap_runs_is_refused() -> None:
    with pytest.raises(KeyRefused, match="good for 60 seconds more") as refused:
        rotate(rotate(a_key()))
    assert refused.value.field == "overlap_seconds"


def test_when_the_overlap_is_over_a_key_can_be_rotated_again() -> None:
    again = rotated(rotate(a_key()), secret_hash=bytes(32), now=NOW + 60, overlap_seconds=5)
    assert (again.previous_hash, again.previous_until) == (NEW, NOW + 65)


@pytest.mark.parametrize(
    "changes", [{"revoked_at": NOW - 5}, {"disabled_at": NOW - 5}, {"expires_at": NOW - 5}], ids=str
)
def test_what_is_not_live_is_not_rotated(changes: dict[str, int]) -> None:
    with pytest.raises(KeyRefused, match="Only a live key") as refused:
        rotate(a_key(**changes), expires_at=NOW + 500)
    assert refused.value.field == "state"


@pytest.mark.parametrize("overlap", [-1, LONGEST_OVERLAP + 1])
def test_an_overlap_has_bounds(overlap: int) -> None:
    with pytest.raises(KeyRefused, match="30 days") as refused:
        rotate(a_key(), overlap=overlap)
    assert refused.value.field == "overlap_seconds"


def test_an_overlap_does_not_outlast_its_key() -> None:
    with pytest.raises(KeyRefused, match="ends in 59 seconds") as refused:
        rotate(a_key(expires_at=NOW + 59), overlap=60)
    assert refused.value.field == "overlap_seconds"


def test_a_key_can_get_a_later_end_with_its_rotation() -> None:
    after = rotate(a_key(expires_at=NOW + 59), overlap=60, expires_at=NOW + 1000)
    assert after.expires_at == NOW + 1000


def test_a_rotation_leaves_the_end_as_it_is_unless_it_is_said() -> None:
    assert rotate(a_key(expires_at=NOW + 90)).expires_at == NOW + 90


@pytest.mark.parametrize("expires_at", [NOW, NOW - 1, 0, NOW + LONGEST_LIFE + 1, NOW * 1000])
def test_an_end_in_the_past_or_beyond_reason_is_refused(expires_at: int) -> None:
    with pytest.raises(KeyRefused, match="expires_at") as refused:
        checked_end(expires_at, NOW)
    assert refused.value.field == "expires_at"


@pytest.mark.parametrize("expires_at", [None, NOW + 1, NOW + LONGEST_LIFE])
def test_an_end_ahead_is_taken(expires_at: int | None) -> None:
    assert checked_end(expires_at, NOW) == expires_at


def test_a_key_that_is_enabled_is_what_it_was_before_it_was_disabled() -> None:
    key = a_key()
    assert state_of(disabled(key, NOW), NOW) is KeyState.DISABLED
    assert enabled(disabled(key, NOW)) == key


def test_a_key_is_disabled_since_the_first_time() -> None:
    assert disabled(disabled(a_key(), NOW), NOW + 5).disabled_at == NOW


@pytest.mark.parametrize("act", [lambda key: disabled(key, NOW), enabled, rotate])
def test_what_is_revoked_stays_so(act: Any) -> None:
    with pytest.raises(KeyRefused) as refused:
        act(revoked(a_key(), NOW - 5))
    assert refused.value.field == "state"


def test_a_key_is_revoked_since_the_first_time() -> None:
    assert revoked(revoked(a_key(), NOW), NOW + 5).revoked_at == NOW


ACTS = st.sampled_from(["rotate", "disable", "enable", "revoke", "wait"])


@given(acts=st.lists(ACTS, max_size=30), overlap=st.integers(0, 3))
def test_whatever_is_done_a_key_keeps_its_id_has_two_good_secrets_at_most_and_never_rises_again(
    acts: list[str], overlap: int
) -> None:
    key, now, made, was_revoked = a_key(), NOW, 2, False
    for act in acts:
        try:
            match act:
                case "rotate":
                    made += 1
                    hash_ = made.to_bytes(32)
                    key = rotated(key, secret_hash=hash_, now=now, overlap_seconds=overlap)
                    assert key.secret_hash == hash_
                case "disable":
                    key = disabled(key, now)
                case "enable":
                    key = enabled(key)
                case "revoke":
                    key, was_revoked = revoked(key, now), True
                case _:
                    now += 1
        except KeyRefused:
            assert state_of(key, now) is not KeyState.LIVE or overlap_until(key, now) is not None
        assert key.id == "k1"
        assert key.previous_hash is None or key.previous_hash != key.secret_hash
        assert (state_of(key, now) is KeyState.REVOKED) is was_revoked


def taken_back(kind: RevocationKind, value: str, until: int) -> KnownRevocations:
    known = KnownRevocations()
    known.replace([Revocation("rev_1", kind, value, 0, until, at=77_000, by="cli:test")])
    return known


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevocationKind.TEAM, "search"),
        (RevocationKind.USER, "user:alice"),
        (RevocationKind.KEY, "k1"),
        (RevocationKind.ALL, ""),
    ],
)
def test_a_key_whose_holder_was_taken_back_is_revoked_though_its_row_does_not_say_so(
    kind: RevocationKind, value: str
) -> None:
    key = replace(a_stored_key("k1"), owner="user:alice", issued_at=50)
    assert as_it_is(key, taken_back(kind, value, until=50)).revoked_at == 77
    assert as_it_is(key, taken_back(kind, value, until=49)) == key


def test_a_revoked_key_keeps_its_date() -> None:
    key = replace(a_stored_key("k1"), revoked_at=60)
    assert as_it_is(key, taken_back(RevocationKind.ALL, "", until=10**9)) == key
