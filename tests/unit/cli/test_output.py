"""Where results go: whole, or not at all."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.table import Table

from gateway.cli.formats import Format
from gateway.cli.output import print_tables, write_content, write_records

COLUMNS: dict[str, type] = {"team": str, "n": int}
ROWS = [{"team": "search", "n": 1}, {"team": "ads", "n": 2}]
CSV = "team,n\nsearch,1\nads,2\n"
ROOT = Path(__file__).parents[3]


def write(output: Path | None = None, rows: Any = ROWS, form: Format = Format.CSV) -> None:
    write_records(rows, columns=COLUMNS, form=form, output=output)


def test_without_a_file_it_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write()
    assert capsysbinary.readouterr() == (CSV.encode(), b"")


def test_a_file_holds_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "usage.csv")
    assert (tmp_path / "usage.csv").read_text() == CSV
    assert capsys.readouterr() == ("", "")


def test_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "usage.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["usage.csv"]


def test_a_file_has_the_rights_that_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write(tmp_path / "usage.csv")
    assert (tmp_path / "usage.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text("of yesterday, and longer than what comes now" * 9)
    write(tmp_path / "usage.csv")
    assert (tmp_path / "usage.csv").read_text() == CSV


def test_what_was_there_is_read_until_the_new_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "usage.csv"
    place.write_text("of yesterday")

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(5000):
            assert place.read_text() == "of yesterday"
            yield {"team": "search", "n": number}

    write(place, rows())
    assert place.read_text().count("\n") == 5001


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path / "usage.csv")
    write(tmp_path / "linked")
    assert (tmp_path / "linked").is_symlink()
    assert (tmp_path / "usage.csv").read_text() == CSV


def test_what_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text("of yesterday")

    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"team": "search", "n": number} for number in range(2500))
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="away"):
        write(tmp_path / "usage.csv", rows())
    assert [path.name for path in tmp_path.iterdir()] == ["usage.csv"]
    assert (tmp_path / "usage.csv").read_text() == "of yesterday"


def test_what_the_source_cannot_read_is_not_the_files_fault(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield ROWS[0]
        raise ConnectionResetError("of the source")

    with pytest.raises(ConnectionResetError):
        write(tmp_path / "usage.csv", rows())


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "usage.csv", rows())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        raise AssertionError("was read")
        yield {}

    with pytest.raises(typer.Exit) as ended:
        write(tmp_path / "reports" / "usage.csv", rows(), Format.JSONL)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == (
        f"✗ {tmp_path}/reports/usage.csv cannot be written: No such file or directory."
        " No part of it was kept.\n"
    )


def test_a_special_file_is_written_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe")
    assert os.read(reader, 1000).decode() == CSV
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_full_device_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        write(Path("/dev/full"))
    assert ended.value.exit_code == 1
    assert "/dev/full cannot be written: No space left on device." in capsys.readouterr().err


def test_a_table_for_a_full_device_is_a_sentence() -> None:
    words = [sys.executable, "-c", "from gateway.cli.output import print_tables; print_tables('a table')"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.stderr.decode().startswith("✗ Standard output cannot be written: No space left on device.")


LARGE = """
import resource, signal, sys
from pathlib import Path
import typer
from gateway.cli.formats import Format
from gateway.cli.output import write_content, write_records
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def write(output: Path | None = None, most: int = 0) -> None:
    if most:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    rows = ({"n": n} for n in range(200_000))
    write_records(rows, columns={"n": int}, form=Format.CSV, output=output)
app()
"""


def test_a_disk_that_takes_no_more_is_a_sentence_and_no_half_a_file(tmp_path: Path) -> None:
    place = tmp_path / "usage.csv"
    ended = subprocess.run(
        [sys.executable, "-c", LARGE, "--output", str(place), "--most", "100000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = f"✗ {place} cannot be written: File too large. No part of it was kept.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_a_part_of_the_last_piece_is_full(tmp_path: Path) -> None:
    place = tmp_path / "metrics.prom"
    program = LARGE.replace("rows = ({", "write_content(bytes(150_000), output); rows = ({")
    ended = subprocess.run(
        [sys.executable, "-c", program, "--output", str(place), "--most", "100000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "File too large" in ended.stderr


def test_a_text_is_a_file_too(tmp_path: Path) -> None:
    write_content(b"gateway_up 1\n", tmp_path / "metrics.prom")
    assert (tmp_path / "metrics.prom").read_bytes() == b"gateway_up 1\n"


async def test_a_reader_that_leaves_is_no_traceback() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LARGE),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 1


def test_standard_output_that_takes_no_more_is_a_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", LARGE],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    told = "✗ Standard output cannot be written: No space left on device.\n"
    assert (ended.returncode, ended.stderr) == (1, told)


def test_parquet_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(typer.BadParameter, match="--output"):
        write(form=Format.PARQUET)


def test_parquet_without_its_library_is_a_sentence_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(typer.Exit):
        write(tmp_path / "usage.parquet", form=Format.PARQUET)
    assert "✗ Parquet needs pyarrow" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_table_in_a_file_is_plain(tmp_path: Path) -> None:
    table = Table("team", box=None)
    table.add_row("[red]search[/]")
    print_tables("[bold]Spent[/]", table, output=tmp_path / "usage.txt")
    assert [line.strip() for line in (tmp_path / "usage.txt").read_text().splitlines()] == [
        "Spent",
        "team",
        "search",
    ]
