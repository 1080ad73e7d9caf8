"""A bounded memory: when it is full, what was unused the longest makes room."""

from collections import OrderedDict
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Recent(Generic[Entry]):
    """Entries by digest, `capacity` of them at most."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, digest: bytes) -> Entry | None:
        """The entry; it is not used by that."""
        return self._entries.get(digest)

    def use(self, digest: bytes) -> None:
        """It was used, if it is there. For those who peek often, and say so now and then: to keep the order
        costs more than to look."""
        if digest in self._entries:
            self._entries.move_to_end(digest)

    def get(self, digest: bytes) -> Entry | None:
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: Entry) -> None:
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()
