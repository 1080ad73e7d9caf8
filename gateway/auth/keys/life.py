"""The life of a key, as pure functions from the key before to the key after. Its id stays the same from the
first day to the last: one budget, one history, whatever becomes of its secret.

    live ──── rotate ───> live, and for a while the secret before is good as well
      │  <─── enable ───
      ├────── disable ──> disabled
      ├── time goes by ─> expired
      └────── revoke ───> revoked: for good, and its name is free again
"""

from dataclasses import replace
from enum import StrEnum
from sys import intern
from typing import Final

from gateway.auth.interfaces import KeyRefused, Revocations, StoredKey
from gateway.auth.keys.api_keys import subject_of
from gateway.core.principal import CredentialKind, Principal

LONGEST_OVERLAP: Final = 30 * 86_400
LONGEST_LIFE: Final = 3660 * 86_400
"""Seconds that lie between now and the end of a key at most: some ten years."""


class KeyState(StrEnum):
    LIVE = "live"
    EXPIRED = "expired"
    DISABLED = "disabled"
    REVOKED = "revoked"


def state_of(key: StoredKey, now: int) -> KeyState:
    """Of several that fit the one that is hardest to leave."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if key.disabled_at is not None:
        return KeyState.DISABLED
    if key.expires_at is not None and key.expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.LIVE


def principal_of(key: StoredKey, issued_at: int | None = None) -> Principal:
    """Whom the key stands for. `issued_at`: when the secret was made that was shown; None: the last one."""
    return Principal(
        subject=key.owner or subject_of(key.team, key.name),
        team=intern(key.team),  # thousands of keys have one
        key_id=key.id,
        key_name=key.name,
        kind=CredentialKind.API_KEY,
        grant=key.grant,
        issued_at=key.issued_at if issued_at is None else issued_at,
    )


def as_it_is(key: StoredKey, revocations: Revocations) -> StoredKey:
    """The key; revoked when its team, its owner or everything was taken back, which its row does not say."""
    found = revocations.covers(principal_of(key)) if key.revoked_at is None else None
    return key if found is None else replace(key, revoked_at=found.at // 1000)


def overlap_until(key: StoredKey, now: int) -> int | None:
    """Until when the secret before the last rotation is good; None: it is not any more."""
    return key.previous_until if key.previous_until is not None and key.previous_until > now else None


def checked_end(expires_at: int | None, now: int) -> int | None:
    """When a key is to end. Raises KeyRefused."""
    if expires_at is not None and expires_at <= now:
        raise KeyRefused("expires_at", "`expires_at` is in the past.")
    if expires_at is not None and expires_at > now + LONGEST_LIFE:
        raise KeyRefused(
            "expires_at", "`expires_at` is more than ten years ahead. It is meant in seconds since 1970."
        )
    return expires_at


def rotated(
    key: StoredKey, *, secret_hash: bytes, now: int, overlap_seconds: int, expires_at: int | None = None
) -> StoredKey:
    """With a new secret. The one before is good until the overlap is over; 0: not for a moment longer.

    `expires_at`: a new end of the key; None: it stays as it is. Raises KeyRefused: the key is not live, or an
    overlap runs already, or it would outlast the key.
    """
    if (state := state_of(key, now)) is not KeyState.LIVE:
        raise KeyRefused("state", f"The key is {state}. Only a live key can be rotated.")
    if overlap_until(key, now) is not None:
        left = (key.previous_until or 0) - now
        raise KeyRefused(
            "overlap_seconds",
            f"The key was rotated already, and the secret before is good for {left:,} seconds more. With "
            "another one at once there would be three. Wait for its end, or revoke the key and make another.",
        )
    if not 0 <= overlap_seconds <= LONGEST_OVERLAP:
        raise KeyRefused("overlap_seconds", "The overlap lasts from 0 seconds to 30 days.")
    ends = key.expires_at if expires_at is None else checked_end(expires_at, now)
    if overlap_seconds and ends is not None and now + overlap_seconds > ends:
        raise KeyRefused(
            "overlap_seconds",
            f"The key itself ends in {ends - now:,} seconds, before the overlap would. Make the overlap "
            "shorter, or give the key a later end (`expires_at`).",
        )
    return replace(
        key,
        secret_hash=secret_hash,
        issued_at=now,
        expires_at=ends,
        previous_hash=key.secret_hash,
        previous_until=now + overlap_seconds,
        previous_issued_at=key.issued_at,
    )


def disabled(key: StoredKey, now: int) -> StoredKey:
    """Refused until it is enabled. Raises KeyRefused for a revoked key."""
    _check_not_revoked(key)
    return key if key.disabled_at is not None else replace(key, disabled_at=now)


def enabled(key: StoredKey) -> StoredKey:
    """As it was before it was disabled. Raises KeyRefused for a revoked key."""
    _check_not_revoked(key)
    return replace(key, disabled_at=None)


def revoked(key: StoredKey, now: int) -> StoredKey:
    """Refused for good. The first time counts."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)


def _check_not_revoked(key: StoredKey) -> None:
    if key.revoked_at is not None:
        raise KeyRefused("state", "The key is revoked, and what is revoked stays so. Make another one.")
