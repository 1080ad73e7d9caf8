"""When, and whence, keys were used."""

from collections.abc import Mapping

import pytest

from gateway.auth.keys.memory import MemoryUseStore
from gateway.auth.keys.uses import KeyUse, KeyUses
from gateway.core.errors import StoreUnavailable
from tests.support.clock import ManualClock


class WatchedStore(MemoryUseStore):
    """Counts what is written, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Mapping[str, KeyUse]] = []
        self.away = False

    async def write(self, uses: Mapping[str, KeyUse]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.written.append(uses)
        await super().write(uses)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def uses(store: WatchedStore, clock: ManualClock) -> KeyUses:
    return KeyUses(store=store, clock=clock, capacity=3)


async def test_nothing_is_written_when_a_use_is_noted(uses: KeyUses, store: WatchedStore) -> None:
    uses.note("k1", "192.0.2.7")
    assert store.written == []


async def test_what_was_noted_is_written_with_the_next_flush(
    uses: KeyUses, store: WatchedStore, clock: ManualClock
) -> None:
    uses.note("k1", "192.0.2.7")
    await uses.flush()
    assert await store.read(["k1", "k2"]) == {"k1": KeyUse(int(clock.now()), "192.0.2.7")}


async def test_of_one_key_the_last_use_is_written_once(
    uses: KeyUses, store: WatchedStore, clock: ManualClock
) -> None:
    uses.note("k1", "192.0.2.7")
    clock.advance(5)
    uses.note("k1", "192.0.2.8")
    await uses.flush()
    assert store.written == [{"k1": KeyUse(int(clock.now()), "192.0.2.8")}]


async def test_nothing_is_written_when_nothing_was_noted(uses: KeyUses, store: WatchedStore) -> None:
    uses.note("k1", "")
    await uses.flush()
    await uses.flush()
    assert len(store.written) == 1


async def test_no_more_is_noted_than_there_is_room_for(uses: KeyUses, store: WatchedStore) -> None:
    for number in range(10):
        uses.note(f"k{number}", "")
    uses.note("k0", "192.0.2.7")
    await uses.flush()
    assert {key_id: use.address for key_id, use in store.written[0].items()} == {
        "k0": "192.0.2.7",
        "k1": "",
        "k2": "",
    }


async def test_what_cannot_be_written_is_written_later(
    uses: KeyUses, store: WatchedStore, clock: ManualClock
) -> None:
    uses.note("k1", "old")
    uses.note("k2", "old")
    store.away = True
    await uses.flush()
    uses.note("k2", "new")
    store.away = False
    await uses.flush()
    assert {key_id: use.address for key_id, use in store.written[0].items()} == {"k1": "old", "k2": "new"}


async def test_a_long_outage_takes_no_more_room(uses: KeyUses, store: WatchedStore) -> None:
    store.away = True
    for number in range(10):
        uses.note(f"k{number}", "")
        await uses.flush()
    store.away = False
    await uses.flush()
    assert len(store.written[0]) == 3
