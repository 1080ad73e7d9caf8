"""When a process gives a sign of life."""

from gateway.metering.lease import Lease
from tests.support.clock import ManualClock


def test_a_new_process_begins_with_one(clock: ManualClock) -> None:
    assert Lease(clock=clock, seconds=15).renewal() == int((clock.now() + 15) * 1000)


def test_a_fresh_lease_is_not_renewed(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    lease.renewal()
    lease.renewed()
    clock.advance(3)
    assert lease.renewal() is None


def test_it_is_due_whenever_the_pause_is_over(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    lease.renewal()
    lease.renewed()
    clock.advance(lease.pause)
    assert lease.renewal() is not None


def test_it_can_fail_twice_before_it_ends(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    assert 2 * lease.pause < lease.seconds


def test_what_was_not_written_is_still_due(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    lease.renewal()
    assert lease.renewal() is not None


def test_a_write_without_a_renewal_renews_nothing(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    lease.renewal()
    lease.renewed()
    clock.advance(3)
    lease.renewal()
    lease.renewed()
    clock.advance(2)
    assert lease.renewal() is not None


def test_after_a_failure_it_is_due_at_once(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    lease.renewal()
    lease.renewed()
    lease.doubt()
    assert lease.renewal() is not None


def test_two_processes_are_two(clock: ManualClock) -> None:
    assert Lease(clock=clock, seconds=15).worker != Lease(clock=clock, seconds=15).worker
