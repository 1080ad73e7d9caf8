"""Where results go: to standard output, or into a file that is there whole or not at all.

A file is written beside its place under another name, brought to the disk, and then put in its place. When
anything goes wrong, what was there before is still there. What is no ordinary file (`/dev/stdout`, a pipe)
is written to as it is.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO, StringIO
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console, RenderableType

from gateway.cli.console import fail, out
from gateway.cli.formats import Columns, Format, Record, encoded
from gateway.cli.parquet import NoParquet

Write = Callable[[bytes], object]

FILE_WIDTH: Final = 120
"""Characters of a line, where a table is written into a file."""

Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write into this file, whole or not at all, instead of standard output.",
        show_default=False,
        dir_okay=False,
    ),
]

AsFormat = Annotated[Format, typer.Option("--format", help="How to print it.")]


def write_records(
    records: Iterable[Record], *, columns: Columns, form: Format, output: Path | None = None
) -> None:
    """Write a CSV, JSON, JSONL or Parquet file of any length, as the records come.

    The first record is asked for when the place is open. What the records raise passes, and leaves no file.
    Ends the command with status 1 and a sentence when the place cannot be written; with status 2 where
    Parquet would be written to a terminal.
    """
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise typer.BadParameter("a Parquet file is not for a terminal: add --output FILE.")
    try:
        _write(encoded(records, columns=columns, form=form), output)
    except NoParquet as error:
        fail([str(error)])


def print_tables(*parts: RenderableType, output: Path | None = None) -> None:
    """Show to people; in a file without colours. Ends as `write_content` does."""
    width, coloured = (out.width, out.is_terminal) if output is None else (FILE_WIDTH, False)
    text = StringIO()
    console = Console(file=text, width=width, force_terminal=coloured, soft_wrap=True, highlight=False)
    for part in parts:
        console.print(part)
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    write_content("".join(f"{line}\n" for line in lines).encode(), output)


def write_content(content: bytes, output: Path | None = None) -> None:
    """Write it as it is. Ends the command with status 1 and a sentence when the place cannot be written."""
    _write([content], output)


def print_json(encoded: bytes) -> None:
    """JSON, laid out for people, on standard output. Ends as `write_content` does."""
    write_content(msgspec.json.format(encoded, indent=2) + b"\n")


def _write(chunks: Iterable[bytes], output: Path | None) -> None:
    with _standard_output() if output is None else _file(output) as write:
        for chunk in chunks:
            write(chunk)


@contextmanager
def _standard_output() -> Iterator[Write]:
    stream = sys.stdout.buffer

    def write(chunk: bytes) -> None:
        """Flushed each time, so that the one who reads has it, and so that we learn that nobody does."""
        try:
            stream.write(chunk)
            stream.flush()
        except OSError as error:
            _give_up(error)

    sys.stdout.flush()
    yield write


def _give_up(error: OSError) -> NoReturn:
    """Standard output is gone. Whoever closed it (`head`) knows; anything else is told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the end of the process flushes once more
    if error.errno == errno.EPIPE:
        raise typer.Exit(1) from None
    fail([f"Standard output cannot be written: {error.strerror}."])


@contextmanager
def _file(output: Path) -> Iterator[Write]:
    place = Path(os.path.realpath(output))  # of a link, what it points to
    beside = place.with_name(f".{place.name}.{token_hex(4)}.part")
    with _told(output):
        special = place.exists() and not place.is_file()
        file = place.open("wb", buffering=0) if special else beside.open("xb", buffering=0)
    if special:
        with file:
            yield _telling(file, output)
        return
    try:
        with file:
            yield _telling(file, output)
            with _told(output):
                os.fsync(file.fileno())
        with _told(output):
            beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _telling(file: FileIO, output: Path) -> Write:
    def write(chunk: bytes) -> None:
        rest = memoryview(chunk)
        with _told(output):
            while rest:  # a disk that is nearly full takes a part
                rest = rest[file.write(rest) :]

    return write


@contextmanager
def _told(output: Path) -> Iterator[None]:
    """What goes wrong with a file, in a sentence."""
    try:
        yield
    except OSError as error:
        fail([f"{output} cannot be written: {error.strerror or error}. No part of it was kept."])
