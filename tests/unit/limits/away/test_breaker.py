"""When a store counts as away, and as back."""

import pytest

from gateway.limits.away.breaker import Breaker, Circuit


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(Breaker(failures=3, slow=0.05, good_probes=5))


def open_it(circuit: Circuit) -> None:
    while not circuit.is_open:
        circuit.went_badly()


def test_three_failures_in_a_row_open_it(circuit: Circuit) -> None:
    assert [circuit.went_badly() for _ in range(3)] == [False, False, True]
    assert circuit.is_open


def test_a_good_call_ends_the_row(circuit: Circuit) -> None:
    for good in (False, False, True, False, False):
        circuit.went_well() if good else circuit.went_badly()
    assert not circuit.is_open


def test_it_opens_once(circuit: Circuit) -> None:
    assert [circuit.went_badly() for _ in range(6)].count(True) == 1


def test_five_good_probes_close_it(circuit: Circuit) -> None:
    open_it(circuit)
    assert [circuit.probed_well() for _ in range(5)] == [False] * 4 + [True]


def test_a_failure_starts_the_count_of_probes_again(circuit: Circuit) -> None:
    open_it(circuit)
    for _ in range(4):
        circuit.probed_well()
    circuit.went_badly()
    assert circuit.good_probes == 0


def test_closed_again_it_takes_three_failures_to_open(circuit: Circuit) -> None:
    open_it(circuit)
    circuit.close()
    assert [circuit.went_badly() for _ in range(3)] == [False, False, True]


def test_a_failure_makes_it_doubtful(circuit: Circuit) -> None:
    circuit.went_badly()
    assert circuit.is_doubtful


@pytest.mark.parametrize("end", ["a call", "a probe"])
def test_what_goes_well_ends_the_doubt(circuit: Circuit, end: str) -> None:
    circuit.went_badly()
    circuit.went_well() if end == "a call" else circuit.probed_well()
    assert not circuit.is_doubtful


def test_good_probes_do_not_end_a_row_of_failing_calls(circuit: Circuit) -> None:
    assert [circuit.went_badly(), circuit.went_badly()] == [False, False]
    assert not circuit.probed_well()
    assert circuit.went_badly()


@pytest.mark.parametrize(("seconds", "slow"), [(0.049, False), (0.05, True)])
def test_a_call_is_slow_from_a_bound_on(circuit: Circuit, seconds: float, slow: bool) -> None:
    assert circuit.is_slow(seconds) is slow


def test_a_return_is_noticed_within_half_a_second() -> None:
    breaker = Breaker()
    timed_out_probe = 0.1
    assert timed_out_probe + breaker.good_probes * breaker.interval <= 0.5 + 1e-9


def test_all_is_exact_again_within_a_second() -> None:
    breaker = Breaker()
    assert 0.1 + breaker.good_probes * breaker.interval + breaker.returning <= 1.0
