"""Ids of our own."""

import re

from gateway.core.ids import new_id
from tests.support.clock import ManualClock


def test_an_id_is_its_prefix_and_32_hexadecimal_digits() -> None:
    assert re.fullmatch(r"req_[0-9a-f]{32}", new_id("req", ManualClock()))


def test_an_id_begins_with_its_time_in_milliseconds() -> None:
    identifier = new_id("req", ManualClock(now=1_795_000_000.123))
    assert int(identifier[4:16], 16) == 1_795_000_000_123


def test_ids_sort_by_time() -> None:
    clock = ManualClock()
    ids = []
    for _ in range(20):
        ids.append(new_id("req", clock))
        clock.advance(1)
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    clock = ManualClock()
    assert len({new_id("req", clock) for _ in range(1000)}) == 1000
