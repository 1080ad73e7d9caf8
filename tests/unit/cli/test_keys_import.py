"""Files of hashes."""

from io import StringIO
from pathlib import Path

import pytest
import typer

from gateway.cli.keys_import import Hash, read_hashes, told

ONE, TWO = "a1" * 32, "b2" * 32


def written(folder: Path, text: str) -> Path:
    file = folder / "hashes.csv"
    file.write_text(text)
    return file


def test_a_line_is_a_hash_and_a_name(tmp_path: Path) -> None:
    file = written(tmp_path, f"{ONE},web\n\n {TWO.upper()} , app \n")
    assert read_hashes(file) == [Hash(1, ONE, "web"), Hash(3, TWO, "app")]


def test_a_file_can_come_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(f"{ONE},web\n"))
    assert read_hashes(Path("-")) == [Hash(1, ONE, "web")]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ["from 1 to 100,000 lines"]),
        ("abc,web\n", ["line 1: `sha256` is"]),
        (f"{ONE}\n", ["line 1: there is no name"]),
        (f"{ONE},\nabc,app\n", ["line 1: there is no name", "line 2: `sha256` is"]),
        (f"{ONE},web\n{ONE},app\n", ["line 2: has the hash of line 1"]),
        (f"{ONE},web\n{TWO},web\n", ["line 2: has the name of line 1", "Nothing was brought in"]),
    ],
    ids=["empty", "no hash", "no name", "two mistakes", "a hash twice", "a name twice"],
)
def test_every_mistake_of_a_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentences: list[str]
) -> None:
    with pytest.raises(typer.Exit):
        read_hashes(written(tmp_path, text))
    err = capsys.readouterr().err
    assert [sentence for sentence in sentences if sentence not in err] == []


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        read_hashes(tmp_path / "missing.csv")
    assert "missing.csv cannot be read: No such file" in capsys.readouterr().err


def test_what_is_no_text_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hashes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(typer.Exit):
        read_hashes(tmp_path / "hashes.csv")
    assert "it is no text" in capsys.readouterr().err


def test_of_very_many_mistakes_some_are_told() -> None:
    sentences = list(told([f"line {number}" for number in range(1000)]))
    assert (len(sentences), sentences[-1]) == (21, "… and 980 more.")
