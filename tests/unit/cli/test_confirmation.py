"""What cannot be undone is asked about, and no answer is no."""

import io
import sys

import pytest
import typer

from gateway.cli.confirmation import confirmed


class Terminal(io.StringIO):
    """Someone who types."""

    def isatty(self) -> bool:
        return True


def test_yes_beforehand_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    confirmed("Sure?", yes=True)
    assert capsys.readouterr() == ("", "")


def test_yes_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    confirmed("Sure?", yes=False)
    told = capsys.readouterr()
    assert (told.out.strip(), told.err) == ("", "Sure? [y/N]:")


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_anything_else_ends_the_command(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(typer.Exit) as ended:
        confirmed("Sure?", yes=False)
    assert ended.value.exit_code == 1


def test_where_nobody_can_be_asked_the_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(typer.Exit) as ended:
        confirmed("Sure?", yes=False)
    assert ended.value.exit_code == 1
