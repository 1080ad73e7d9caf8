"""What people read is whole."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from gateway.cli.tables import plain, table

ROWS = [
    ["a-team-with-a-very-long-name", "1,234,567", "0.000001", "[red]2 unpriced[/]"],
    ["ads", "5", "12,345.678901", ""],
]
HEADINGS = ("~team", ">attempts", ">USD", "~")


def printed(made: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [10, 40, 60, 200])
def test_no_figure_is_cut_however_narrow_the_terminal(width: int) -> None:
    text = "\n".join(printed(table(HEADINGS, ROWS, total=["all", "1,234,572", "12,345.678902", ""]), width))
    for figure in ("1,234,567", "0.000001", "12,345.678901", "1,234,572", "12,345.678902", "attempts"):
        assert figure in text
    assert "a-team-with-a-ve" in text


def test_words_are_folded_first() -> None:
    lines = printed(table(HEADINGS, ROWS), 60)
    assert max(map(len, lines)) <= 60
    assert "a-team-with-a-very-long-name" not in "\n".join(lines)


def test_in_a_wide_terminal_nothing_is_folded() -> None:
    assert len(printed(table(HEADINGS, ROWS), 100)) == 3


def test_a_column_in_which_nothing_stands_is_left_out() -> None:
    assert printed(table(HEADINGS, [["ads", "5", "", ""]]), 100)[0].split() == ["team", "attempts"]


def test_the_total_is_the_last_row() -> None:
    assert printed(table(HEADINGS, ROWS, total=["all", "2", "3", ""]), 100)[-1].split() == ["all", "2", "3"]


@pytest.mark.parametrize(("name", "shown"), [("", "-"), ("a\x1bb", "a?b"), ("[bold]", "\\[bold]")])
def test_a_name_is_nothing_that_a_terminal_obeys(name: str, shown: str) -> None:
    assert plain(name) == shown
