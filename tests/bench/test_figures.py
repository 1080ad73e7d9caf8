"""One number has to stand for many: the right one."""

import pytest

from tests.bench.figures import medians, percentile


def test_one_odd_round_does_not_move_the_median() -> None:
    assert medians([{"cpu_us": 10.0}, {"cpu_us": 900.0}, {"cpu_us": 12.0}]) == {"cpu_us": 12.0}


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_taken_of_sorted_values(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value
