"""The bench of authentication lets everybody in, and holds what it found against its bars."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.authentication import (
    CASES,
    SMALL,
    Length,
    Room,
    Size,
    Stranger,
    cells,
    measured,
    memory,
    stored_bytes,
)

_LARGE = Size(30, 5, 3)


async def test_every_case_is_measured_in_both_rooms() -> None:
    rounds, _ = await measured(Length(1, 1, _LARGE), Console(quiet=True))
    assert rounds.keys() == CASES.keys()
    for (figures,) in rounds.values():
        assert figures["few_us"] > 0
        assert figures["many_us"] > 0
        assert figures["change"] == pytest.approx(figures["many_us"] / figures["few_us"] - 1)
    assert len(cells(rounds, _LARGE).rows) == len(CASES)


async def test_who_is_not_let_in_is_a_mistake() -> None:
    room = Room(SMALL, [])
    with pytest.raises(Stranger, match="You did not send an API key"):
        await room.let_in("")


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [(10, 10.9, "within"), (10, 11.1, "over"), (15.1, 15.1, "over"), (9, 16, "over"), (12, 9, "within")],
)
def test_a_bar_is_for_both_rooms_and_for_the_change(few: float, many: float, verdict: str) -> None:
    figures = {"few_us": few, "many_us": many, "change": many / few - 1}
    table = cells({"cached key": [figures], "policy": [figures]}, _LARGE)
    assert [row[-2:] for row in table.rows] == [["≤ 15, ≤ +10%", verdict], ["", ""]]


def test_keys_take_room_in_the_store(tmp_path: Path) -> None:
    assert stored_bytes(tmp_path, 1000) > 100_000


def test_memory_is_told_for_a_hundred_thousand_keys() -> None:
    assert memory(50 * 2**20, 20 * 2**20, 50_000).startswith("100,000 keys take 100 MiB of memory")
    assert " 40 MiB of " in memory(50 * 2**20, 20 * 2**20, 50_000)
