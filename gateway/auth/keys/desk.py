"""Makes keys and changes them: what the operators' API, the console and the `keys` command do.

Whether somebody may is asked before. What is done is on record with the change itself, and when a method
returns every replica has been told to look.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from gateway.auth.interfaces import Change, KeyRefused, KeyStore, Revocation, RevocationKind, StoredKey
from gateway.auth.keys import acts, life
from gateway.auth.keys.api_keys import hash_secret, key_with, new_key_id
from gateway.auth.keys.checks import KeyChecks, NewKey, checked_reason
from gateway.auth.keys.imported import checked_fingerprint
from gateway.auth.keys.uses import KeyUse, UseStore
from gateway.core.actor import Actor
from gateway.core.clock import Clock
from gateway.core.ids import new_id

OVERLAP: Final = 86_400
"""Seconds for which a rotated key's old secret is good, unless it is said."""


class NoSuchKey(KeyRefused):
    """There is no key with this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__("key_id", f"There is no key with the id `{_short(key_id)}`.")


class KeyDesk:
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(
        self,
        *,
        store: KeyStore,
        uses: UseStore,
        pepper: bytes,
        clock: Clock,
        checks: KeyChecks,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`changed`: tells all replicas to look."""
        self._store = store
        self._uses = uses
        self._pepper = pepper
        self._clock = clock
        self._checks = checks
        self._changed = changed

    @property
    def teams(self) -> Collection[str]:
        """The teams that the policy files name."""
        return self._checks.teams()

    async def create(self, new: NewKey, by: Actor) -> tuple[StoredKey, str]:
        """A new key, and its secret: the only time that it is seen. Raises KeyRefused, NameTaken."""
        key_id = new_key_id()
        secret = key_with(key_id)
        return await self._add(new, key_id, secret, by, imported=False), secret

    async def bring_in(self, new: NewKey, sha256: str, by: Actor) -> StoredKey:
        """A key that clients have already, by the SHA-256 of all of it. Raises KeyRefused (AlreadyImported),
        NameTaken."""
        return await self._add(new, new_key_id(), checked_fingerprint(sha256), by, imported=True)

    async def rotate(
        self, key_id: str, *, by: Actor, overlap_seconds: int = OVERLAP, expires_at: int | None = None
    ) -> tuple[StoredKey, str]:
        """The same key with a new secret, which is seen this once. Raises KeyRefused (NoSuchKey)."""
        secret = key_with(key_id)
        secret_hash, now = hash_secret(self._pepper, secret), self._now()

        def change(key: StoredKey) -> Change:
            after = life.rotated(
                key,
                secret_hash=secret_hash,
                now=now,
                overlap_seconds=overlap_seconds,
                expires_at=expires_at,
            )
            return Change(after, acts.changed("key.rotated", key, after, by))

        return await self._change(key_id, change), secret

    async def disable(self, key_id: str, *, by: Actor) -> StoredKey:
        """Until it is enabled. Raises KeyRefused (NoSuchKey)."""
        now = self._now()

        def change(key: StoredKey) -> Change:
            after = life.disabled(key, now)
            return Change(after, acts.changed("key.disabled", key, after, by))

        return await self._change(key_id, change)

    async def enable(self, key_id: str, *, by: Actor) -> StoredKey:
        """Raises KeyRefused (NoSuchKey)."""

        def change(key: StoredKey) -> Change:
            after = life.enabled(key)
            return Change(after, acts.changed("key.enabled", key, after, by))

        return await self._change(key_id, change)

    async def revoke(
        self, key_id: str, *, by: Actor, reason: str = "", cut_streams: bool = False
    ) -> StoredKey:
        """For good. Done again it is of no effect, but that running answers are ended if that is wanted now.
        Raises KeyRefused (NoSuchKey)."""
        revocation = self._revocation(key_id, by, checked_reason(reason), cut_streams)

        def change(key: StoredKey) -> Change:
            after = life.revoked(key, self._now())
            told = {"revocation": revocation.id, "reason": reason, "cut_streams": cut_streams}
            act = acts.changed("key.revoked", key, after, by, **told)
            return Change(after, act, revocation if after != key or cut_streams else None)

        return await self._change(key_id, change)

    async def list(
        self, team: str | None = None, *, after: str = "", most: int | None = None
    ) -> Sequence[StoredKey]:
        """Oldest first; one team's, or all; from the one after the key of this id, so many at most. Raises
        NoSuchKey for an `after` that there is not."""
        if after:
            await self.show(after)
        return await self._store.list(team, after=after, most=most)

    async def show(self, key_id: str) -> StoredKey:
        """Raises NoSuchKey."""
        key = await self._store.find(key_id)
        if key is None:
            raise NoSuchKey(key_id)
        return key

    async def uses(self, ids: Collection[str]) -> Mapping[str, KeyUse]:
        """When, and from where, these keys were last used; those that never were are missing. It may be a
        minute old."""
        return await self._uses.read(ids)

    async def _add(self, new: NewKey, key_id: str, what: str, by: Actor, *, imported: bool) -> StoredKey:
        """`what`: of which the hash is kept."""
        now = self._now()
        checked = self._checks.checked(new, now)
        key = StoredKey(
            id=key_id,
            team=checked.team,
            name=checked.name,
            secret_hash=hash_secret(self._pepper, what),
            created_at=now,
            issued_at=now,
            created_by=by.name,
            owner=checked.owner,
            expires_at=checked.expires_at,
            grant=checked.grant,
            addresses=tuple(checked.addresses),
            imported=imported,
        )
        await self._store.add(key, acts.created(key, by))
        await self._changed()
        return key

    async def _change(self, key_id: str, change: Callable[[StoredKey], Change]) -> StoredKey:
        key = await self._store.change(key_id, change)
        if key is None:
            raise NoSuchKey(key_id)
        await self._changed()
        return key

    def _revocation(self, key_id: str, by: Actor, reason: str, cut_streams: bool) -> Revocation:
        """By which replicas that have the key in use learn of it."""
        now = self._clock.now()
        return Revocation(
            id=new_id("rev", self._clock),
            kind=RevocationKind.KEY,
            value=key_id,
            since=0,
            until=int(now),
            at=int(now * 1000),
            by=by.name,
            reason=reason,
            cut_streams=cut_streams,
        )

    def _now(self) -> int:
        return int(self._clock.now())


def _short(text: str) -> str:
    """What was written, as far as a sentence bears it."""
    return "".join(char if char.isprintable() else "?" for char in text[:40])
