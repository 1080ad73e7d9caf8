"""What the store missed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.limits.away.owed import Owed
from gateway.limits.bucket import rate_of
from gateway.limits.interfaces import Charged, Demand, Hold, Spent
from tests.unit.limits.conftest import TOKENS

DEMAND = Demand(TOKENS, "{search}:key-tokens:tokens:team=search:key=k1", 100, rate_of(TOKENS))


def spent(number: int, amount: int = 10) -> Spent:
    return Spent(Hold(f"ex_{number}", (DEMAND,)), (amount,))


@dataclass
class Store:
    """Takes settlements, so many calls of them."""

    good_for: int = 100
    calls: list[list[str]] = field(default_factory=list)

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        if len(self.calls) == self.good_for:
            raise StoreUnavailable("gone")
        self.calls.append([each.hold.exchange_id for each in spents])
        return [Charged(each.hold.demands[0], 0, each.amounts[0]) for each in spents]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def charged() -> list[Charged]:
    return []


@pytest.fixture
def owed(store: Store, charged: list[Charged]) -> Owed:
    return Owed(settle=store.settle, on_charged=charged.extend, most=1000)


async def test_what_is_owed_is_delivered_in_its_order(owed: Owed, store: Store) -> None:
    owed.add([spent(1), spent(2)])
    owed.add([spent(3)])
    await owed.deliver()
    assert store.calls == [["ex_1", "ex_2", "ex_3"]]
    assert not owed


async def test_much_is_delivered_in_portions(owed: Owed, store: Store) -> None:
    owed.add([spent(number) for number in range(600)])
    await owed.deliver()
    assert [len(call) for call in store.calls] == [256, 256, 88]


async def test_what_was_charged_is_told(owed: Owed, charged: list[Charged]) -> None:
    owed.add([spent(1, 10), spent(2, 20)])
    await owed.deliver()
    assert [each.after for each in charged] == [10, 20]


async def test_what_may_not_have_arrived_stays(owed: Owed, store: Store) -> None:
    store.good_for = 1
    owed.add([spent(number) for number in range(300)])
    with pytest.raises(StoreUnavailable):
        await owed.deliver()
    assert len(owed) == 44
    store.good_for = 100
    await owed.deliver()
    assert store.calls[1] == [f"ex_{number}" for number in range(256, 300)]


async def test_the_oldest_is_dropped_when_there_are_too_many(store: Store) -> None:
    owed = Owed(settle=store.settle, on_charged=lambda charged: None, most=2)
    owed.add([spent(1), spent(2), spent(3)])
    await owed.deliver()
    assert store.calls == [["ex_2", "ex_3"]]


async def test_what_gives_nothing_but_back_can_be_dropped(owed: Owed, store: Store) -> None:
    owed.add([spent(1), spent(2, 0), spent(3)])
    owed.drop_empty()
    await owed.deliver()
    assert store.calls == [["ex_1", "ex_3"]]
