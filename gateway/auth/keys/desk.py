"""Makes, lists and revokes keys: what the `keys` command does, and the first run."""

from collections.abc import Sequence
from datetime import datetime

from gateway.auth.keys.api_keys import hash_secret, new_key
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.core.clock import Clock


class KeyDesk:
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(self, *, store: KeyStore, pepper: bytes, teams: frozenset[str], clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self.teams = teams
        """The teams that the policy files name."""

    async def create(self, team: str, name: str, expires: datetime | None) -> str:
        """A new key: the only time that it is seen. Raises NameTaken."""
        key_id, key = new_key()
        await self._store.add(
            StoredKey(
                id=key_id,
                team=team,
                name=name,
                secret_hash=hash_secret(self._pepper, key),
                created_at=int(self._clock.now()),
                expires_at=None if expires is None else int(expires.timestamp()),
            )
        )
        return key

    async def list(self, team: str | None = None) -> Sequence[StoredKey]:
        """Oldest first; one team's, or all."""
        return await self._store.list(team)

    async def revoke(self, key_id: str) -> bool:
        """False when there is no such key."""
        return await self._store.revoke(key_id, int(self._clock.now()))
