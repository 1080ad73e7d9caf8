"""When a process gives a sign of life."""

from gateway.metering.ledger.lease import Lease
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


def renew(lease: Lease) -> None:
    lease.renewal()
    lease.renewed()


def test_a_process_that_begins_may_judge_others_at_once(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    assert lease.steady
    renew(lease)
    assert lease.steady


def test_a_process_that_renews_in_time_may_go_on_to_judge_others(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    for _ in range(10):
        renew(lease)
        assert lease.steady
        clock.advance(lease.pause)


def test_a_process_whose_own_lease_has_ended_may_not_judge_others(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    renew(lease)
    clock.advance(15.1)
    assert not lease.steady


def test_after_a_gap_the_others_get_the_time_of_a_lease(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    renew(lease)
    clock.advance(3600)
    for _ in range(3):
        renew(lease)
        assert not lease.steady
        clock.advance(5)
    renew(lease)
    assert lease.steady


def test_a_failure_is_a_gap(clock: ManualClock) -> None:
    lease = Lease(clock=clock, seconds=15)
    renew(lease)
    lease.doubt()
    assert not lease.steady
    renew(lease)
    assert not lease.steady


def test_two_processes_are_two(clock: ManualClock) -> None:
    assert Lease(clock=clock, seconds=15).worker != Lease(clock=clock, seconds=15).worker
