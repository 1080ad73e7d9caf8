"""Keys in memory: for tests, and for a gateway that is tried out."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.auth.interfaces import NameTaken, StoredKey


class MemoryKeyStore:
    """A KeyStore that lasts as long as its process."""

    def __init__(self) -> None:
        self._keys: dict[str, StoredKey] = {}
        self._epoch = 0

    async def find(self, key_id: str) -> StoredKey | None:
        return self._keys.get(key_id)

    async def add(self, key: StoredKey) -> None:
        if any(_holds_name(other, key) for other in self._keys.values()):
            raise NameTaken(f"The team `{key.team}` has a key named `{key.name}` already.")
        self._keys[key.id] = key
        self._epoch += 1

    async def list(self, team: str | None = None) -> Sequence[StoredKey]:
        keys = [key for key in self._keys.values() if team is None or key.team == team]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str, at: int) -> bool:
        key = self._keys.get(key_id)
        if key is None:
            return False
        if key.revoked_at is None:
            self._keys[key_id] = replace(key, revoked_at=at)
            self._epoch += 1
        return True

    async def epoch(self) -> int:
        return self._epoch


def _holds_name(other: StoredKey, key: StoredKey) -> bool:
    return other.revoked_at is None and (other.team, other.name) == (key.team, key.name)
