"""Progress is for eyes."""

import io

import pytest
from rich.console import Console

from gateway.cli import progress
from gateway.cli.progress import advancing, counted, waiting


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(progress, "err", Console(file=text, force_terminal=True, width=100))
    return text


def test_items_pass_in_their_order() -> None:
    assert list(counted(range(2500), what="Reading", unit="lines", total=2500)) == list(range(2500))


def test_nothing_is_told_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("Summing"), advancing("Counting", unit="lines", total=10) as told:
        told(4)
        list(counted(range(3), what="Reading", unit="lines", total=3))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [2500, None, 0])
def test_in_a_terminal_there_is_a_bar(terminal: io.StringIO, total: int | None) -> None:
    assert list(counted(range(2500), what="Reading", unit="lines", total=total)) == list(range(2500))
    assert "Reading" in terminal.getvalue()
    assert "2,500 lines" in terminal.getvalue()


def test_work_can_tell_of_itself(terminal: io.StringIO) -> None:
    with advancing("Deleting", unit="attempts", total=10) as told:
        told(4)
        told(6)
    assert "10 attempts" in terminal.getvalue()


def test_in_a_terminal_there_is_a_spinner(terminal: io.StringIO) -> None:
    with waiting("Summing"):
        pass
    assert "Summing" in terminal.getvalue()
