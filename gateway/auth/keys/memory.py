"""Keys in memory: for tests, and for a gateway that is tried out."""

from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.auth.interfaces import Change, NameTaken, Revocation, StoredKey
from gateway.auth.keys.imported import AlreadyImported
from gateway.auth.keys.uses import KeyUse
from gateway.core.actor import Act


class MemoryKeyStore:
    """A KeyStore that lasts as long as its process."""

    def __init__(self) -> None:
        self._keys: dict[str, StoredKey] = {}
        self._epoch = 0
        self.acts: list[Act] = []
        """What would stand in the audit trail."""
        self.revocations: list[Revocation] = []
        """What would stand among what was taken back."""

    async def find(self, key_id: str) -> StoredKey | None:
        return self._keys.get(key_id)

    async def find_imported(self, secret_hash: bytes) -> StoredKey | None:
        found = (
            key
            for key in self._keys.values()
            if key.imported and secret_hash in (key.secret_hash, key.previous_hash)
        )
        return next(found, None)

    async def has_imported(self) -> bool:
        return any(key.imported and key.revoked_at is None for key in self._keys.values())

    async def list(
        self, team: str | None = None, *, after: str = "", most: int | None = None
    ) -> Sequence[StoredKey]:
        keys = sorted(self._keys.values(), key=_place)
        if after:
            last = self._keys.get(after)
            keys = [key for key in keys if last is not None and _place(key) > _place(last)]
        return [key for key in keys if team is None or key.team == team][:most]

    async def add(self, key: StoredKey, act: Act) -> None:
        found = await self.find_imported(key.secret_hash) if key.imported else None
        if found is not None:
            raise AlreadyImported(found)
        self._check_name(key)
        self._keep(key, act)

    async def change(self, key_id: str, change: Callable[[StoredKey], Change]) -> StoredKey | None:
        before = self._keys.get(key_id)
        if before is None:
            return None
        after, act, revocation = change(before)
        if after == before and revocation is None:
            return before
        self._check_name(after)
        if revocation is not None:
            self.revocations.append(revocation)
        self._keep(after, act)
        return after

    async def epoch(self) -> int:
        return self._epoch

    def _keep(self, key: StoredKey, act: Act) -> None:
        self._keys[key.id] = key
        self.acts.append(act)
        self._epoch += 1

    def _check_name(self, key: StoredKey) -> None:
        if key.revoked_at is None and any(_holds_name(other, key) for other in self._keys.values()):
            raise NameTaken(f"The team `{key.team}` has a key named `{key.name}` already.")


class MemoryUseStore:
    """A UseStore that lasts as long as its process."""

    def __init__(self) -> None:
        self._uses: dict[str, KeyUse] = {}

    async def write(self, uses: Mapping[str, KeyUse]) -> None:
        for key_id, use in uses.items():
            if key_id not in self._uses or self._uses[key_id].at < use.at:
                self._uses[key_id] = use

    async def read(self, ids: Collection[str]) -> Mapping[str, KeyUse]:
        return {key_id: self._uses[key_id] for key_id in ids if key_id in self._uses}


def _place(key: StoredKey) -> tuple[int, str]:
    return key.created_at, key.id


def _holds_name(other: StoredKey, key: StoredKey) -> bool:
    return (
        other.id != key.id and other.revoked_at is None and (other.team, other.name) == (key.team, key.name)
    )
