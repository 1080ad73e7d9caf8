"""Amounts as block characters."""

import pytest

from gateway.cli.chart import bar, sparkline


@pytest.mark.parametrize(
    ("part", "drawn"),
    [
        (0, "    "),
        (-0.5, "    "),
        (0.0001, "▏   "),
        (0.25, "█   "),
        (0.5, "██  "),
        (0.59375, "██▍ "),
        (0.99, "████"),
        (1, "████"),
        (7, "████"),
    ],
)
def test_a_bar_is_as_long_as_its_part(part: float, drawn: str) -> None:
    assert bar(part, width=4) == drawn


@pytest.mark.parametrize(
    ("amounts", "drawn"),
    [
        ([], ""),
        ([0, 0], "  "),
        ([-3, -1], "  "),
        ([0, 1, 100], " ▁█"),
        ([5, 5], "██"),
        ([1, 2, 3, 4, 5, 6, 7], "▂▃▄▅▆▇█"),
        ([-1, 4], " █"),
    ],
)
def test_a_line_is_as_high_as_its_amounts(amounts: list[float], drawn: str) -> None:
    assert sparkline(amounts) == drawn
