"""Leases end in the order in which they began."""

from gateway.limits.interfaces import MOST_SHOWN, Holder
from gateway.limits.memory.leases import Leases, shown


def leases(*ends: tuple[str, int]) -> Leases:
    begun = Leases()
    for holder, end in ends:
        begun.begin(holder, 7, end)
    return begun


def test_a_lease_ends_at_its_tick() -> None:
    assert leases(("a", 10), ("b", 11)).ended(10) == ["a"]


def test_what_has_ended_is_no_longer_live() -> None:
    assert leases(("a", 10), ("b", 1_000_010)).live(10) == [Holder("b", 7, 1.0)]


def test_a_lease_that_begins_anew_ends_last() -> None:
    begun = leases(("a", 10), ("b", 11))
    begun.begin("a", 8, 12)
    assert begun.ended(11) == ["b"]
    assert begun.held == 15


def test_those_that_have_ended_are_dropped() -> None:
    begun = leases(("a", 10), ("b", 11), ("c", 12))
    begun.drop_ended(11)
    assert list(begun) == ["c"]


def test_those_that_end_first_are_shown_in_an_order_of_their_own() -> None:
    holders = [Holder(name, 1, seconds) for name, seconds in (("c", 2.0), ("b", 1.0), ("a", 2.0))]
    assert [holder.exchange_id for holder in shown(holders)] == ["b", "a", "c"]


def test_no_more_are_shown_than_are_read() -> None:
    assert len(shown([Holder("a", 1, 1.0)] * (MOST_SHOWN + 1))) == MOST_SHOWN
