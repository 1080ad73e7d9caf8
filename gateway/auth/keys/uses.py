"""When, and from where, keys were last used. Noted in memory, written once a minute: no request waits for it.

What was noted and not yet written is lost when the process dies: it is for people who look for keys that
nobody needs any more, not for the audit.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable


class KeyUse(NamedTuple):
    """The last use of a key that is known."""

    at: int
    """Seconds since 1970."""
    address: str
    """Whence; empty when that could not be told."""


class UseStore(Protocol):
    """Where uses are kept. Every method raises StoreUnavailable when the store is away."""

    async def write(self, uses: Mapping[str, KeyUse]) -> None:
        """By the keys' ids. What is earlier than what is kept already is let be."""

    async def read(self, ids: Collection[str]) -> Mapping[str, KeyUse]:
        """Of these keys, by their ids; those that were never used are missing."""


class KeyUses:
    """What this process has noticed since it last wrote it down."""

    def __init__(self, *, store: UseStore, clock: Clock, capacity: int = 100_000) -> None:
        """`capacity`: keys of which a use is noted; of others none is, until what was noted is written."""
        self._store = store
        self._clock = clock
        self._capacity = capacity
        self._noted: dict[str, KeyUse] = {}

    def note(self, key_id: str, address: str) -> None:
        """This key was used now. Never waits."""
        if len(self._noted) < self._capacity or key_id in self._noted:
            self._noted[key_id] = KeyUse(int(self._clock.now()), address)

    async def flush(self) -> None:
        """Write down what was noted: to be called once a minute. While the store is away it is kept."""
        if not self._noted:
            return
        noted, self._noted = self._noted, {}
        try:
            await self._store.write(noted)
        except StoreUnavailable:  # the next minute will do
            for key_id, use in noted.items():
                if len(self._noted) < self._capacity:
                    self._noted.setdefault(key_id, use)
