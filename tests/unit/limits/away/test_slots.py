"""Who has a slot, and whether there is another."""

from dataclasses import replace

import pytest

from gateway.limits.away.slots import Slots
from gateway.limits.interfaces import Demand, Share
from tests.unit.limits.conftest import SLOTS

BUCKET = "{search}:team-streams:concurrent:team=search"


def demand(amount: int) -> Demand:
    return Demand(replace(SLOTS, amount=amount), BUCKET, 1)


def given(amount: int, share: Share) -> int:
    """How many fit."""
    slots = Slots()
    while slots.fits(demand(amount), share):
        slots.take(demand(amount), f"ex_{slots.taken(demand(amount))}")
    return slots.taken(demand(amount))


@pytest.mark.parametrize(
    ("amount", "parts"), [(8, [2, 2, 2, 2]), (10, [3, 3, 2, 2]), (2, [1, 1, 0, 0]), (3, [1, 1, 1, 0])]
)
def test_the_parts_of_all_replicas_are_the_whole(amount: int, parts: list[int]) -> None:
    assert [given(amount, Share(rank, 4)) for rank in range(4)] == parts
    assert sum(parts) == amount


def test_an_id_has_one_slot() -> None:
    slots = Slots()
    slots.take(demand(2), "ex_1")
    slots.take(demand(2), "ex_1")
    assert slots.taken(demand(2)) == 1


def test_a_slot_is_freed_once() -> None:
    slots = Slots()
    for exchange_id in ("ex_1", "ex_2"):
        slots.take(demand(2), exchange_id)
    slots.free(demand(2), "ex_1")
    slots.free(demand(2), "ex_1")
    assert slots.taken(demand(2)) == 1


def test_what_nobody_has_is_not_remembered() -> None:
    slots = Slots()
    slots.take(demand(2), "ex_1")
    slots.free(demand(2), "ex_1")
    slots.free(demand(2), "ex_2")
    assert slots.size == 0
