"""A process's own journal: its lines are safe from its death, until they are in the shared truth.

Plain text, only ever added to. A record is one line, `A 1c291ca3 …`: what it is, a checksum, and a row of
that table (see `rows.py`) as JSON. One call hands it to the system, which keeps it whatever becomes of this
process; after a power cut the last moments may be missing, as with every commit that does not wait for the
disk. So nobody waits: no thread, no lock, a few microseconds.

A line that a full disk has torn, or in which a bit has flipped, does not bear its checksum. It is told of and
never taken for a good one, and the line after it is read again.

Its files are `WORKER.NUMBER.journal`, each up to some size and removed when it is shipped, and `WORKER.lock`,
which the process keeps locked as long as it lives: a journal whose lock is free was left by a dead one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from gateway.core.errors import StoreUnavailable

SEGMENT: Final = 4 << 20
"""Bytes after which a file ends."""
RESERVE: Final = 0.1
"""Share of its bound that a journal keeps for settlements, when admissions are refused."""
PORTION: Final = 1 << 18
"""Bytes that are read at once: some hundred records."""

_LOCK: Final = ".lock"
_JOURNAL: Final = ".journal"


class Kind(Enum):
    """What a record is, and the letter that says so."""

    ADMISSION = b"A"
    SETTLEMENT = b"S"


class Place(NamedTuple):
    """In a journal: which of its files, and how far into it."""

    number: int
    offset: int


@dataclass(slots=True)
class Lot:
    """Some records in their order, and where they end."""

    end: Place
    size: int = 0
    """Bytes."""
    admissions: list[bytes] = field(default_factory=list)
    """Rows as JSON."""
    settlements: list[bytes] = field(default_factory=list)
    damaged: list[bytes] = field(default_factory=list)
    """Lines that cannot be believed, as they are."""


class Journal:
    """The journal of this process, for the one thread that writes it."""

    def __init__(self, directory: Path, worker: str, *, most: int = 1 << 30, segment: int = SEGMENT) -> None:
        """`most`: bytes of what is not shipped yet. Raises OSError when the directory cannot be used."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self.worker = worker
        self.unshipped = 0
        """Bytes."""
        self._most = most
        self._segment = segment
        self._lock = _new_lock(directory, worker)
        self._number, self._size, self._torn = 0, 0, False
        self._file = self._next_file()

    @property
    def end(self) -> Place:
        """Where the next record will begin: what is before it has been written."""
        return Place(self._number, self._size)

    def append(self, kind: Kind, row: bytes) -> None:
        """Returns when the record will outlive this process. Raises StoreUnavailable: it is not there."""
        if self.unshipped >= self._most * (1 - RESERVE if kind is Kind.ADMISSION else 1):
            raise StoreUnavailable("the journal is full")
        record = b"%b %08x %b\n" % (kind.value, crc32(row, kind.value[0]), row)
        try:
            self._write(record)
        except OSError as error:
            raise StoreUnavailable(f"the journal cannot be written: {error.strerror}") from error

    def shipped(self, lot: Lot) -> None:
        """All before the lot's end is in the truth. Files that are shipped as a whole are removed."""
        self.unshipped -= lot.size
        _remove_before(self.directory, self.worker, lot.end.number)

    def close(self) -> None:
        """Leave it to whoever comes next, unless all of it is shipped: then nothing of it stays."""
        os.close(self._file)
        if self.unshipped <= 0:
            _remove(self.directory, self.worker)
        os.close(self._lock)

    def _write(self, record: bytes) -> None:
        if self._size >= self._segment:
            ended, self._file = self._file, self._next_file()
            os.close(ended)
        data = b"\n" + record if self._torn else record
        written = os.write(self._file, data)
        self._size += written
        self.unshipped += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(0, "the disk is full")

    def _next_file(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        file = os.open(_file(self.directory, self.worker, self._number + 1), flags, 0o600)
        self._number, self._size, self._torn = self._number + 1, 0, False
        return file


class Reader:
    """Reads a journal from its beginning, lot by lot; in any thread."""

    def __init__(self, directory: Path, worker: str) -> None:
        self.worker = worker
        self._directory = directory
        self._place = Place(min(_numbers(directory, worker), default=1), 0)

    def lot(self, until: Place | None = None) -> Lot:
        """The next records; none when its `size` is 0. The same ones again, until they are `done`.

        `until`: where to stop in a journal that is being written. One of the dead is read to its end.
        Raises OSError.
        """
        number, offset = self._place
        while True:
            data = self._read(number, offset, until)
            if data or not _file(self._directory, self.worker, number + 1).exists():
                return _lot_of(data, number, offset)
            number, offset = number + 1, 0

    def done(self, lot: Lot) -> None:
        """Go on behind it."""
        self._place = lot.end

    def _read(self, number: int, offset: int, until: Place | None) -> bytes:
        """Whole lines, unless a dead process has left half of one at its end."""
        most = PORTION
        if until is not None and until.number == number:
            most = min(most, until.offset - offset)
        with suppress(FileNotFoundError), _file(self._directory, self.worker, number).open("rb") as file:
            file.seek(offset)
            data = file.read(most)
            return data[: data.rfind(b"\n") + 1] or data if len(data) == PORTION else data
        return b""


class Abandoned:
    """A journal of the dead, and its lock in the hand of whoever has found it."""

    def __init__(self, directory: Path, worker: str, lock: int) -> None:
        self.reader = Reader(directory, worker)
        self.worker = worker
        self._directory = directory
        self._lock = lock

    def remove(self) -> None:
        """All of it is shipped."""
        _remove(self._directory, self.worker)
        os.close(self._lock)

    def release(self) -> None:
        """It was not; leave it to the next."""
        os.close(self._lock)


def abandoned(directory: Path) -> Iterator[Abandoned]:
    """Journals whose process is gone. Each is to be removed or released. Raises OSError."""
    if not directory.is_dir():
        return
    names = {path.name.partition(".")[0] for path in directory.iterdir() if path.suffix in (_LOCK, _JOURNAL)}
    for worker in sorted(names):
        lock = os.open(directory / f"{worker}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield Abandoned(directory, worker, lock)


def _lot_of(data: bytes, number: int, offset: int) -> Lot:
    lot = Lot(end=Place(number, offset + len(data)), size=len(data))
    rows = {b"A ": lot.admissions, b"S ": lot.settlements}
    for line in data.split(b"\n"):
        if not line:
            continue
        row, kept = line[11:], rows.get(line[:2])
        if kept is not None and line[2:11] == b"%08x " % crc32(row, line[0]):
            kept.append(row)
        else:
            lot.damaged.append(line)
    return lot


def _new_lock(directory: Path, worker: str) -> int:
    """Nobody sees it before it is locked, and takes it for that of a dead process. Raises OSError."""
    unseen = directory / f"{worker}.new"
    lock = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(directory / f"{worker}{_LOCK}")
    return lock


def _file(directory: Path, worker: str, number: int) -> Path:
    return directory / f"{worker}.{number:06}{_JOURNAL}"


def _numbers(directory: Path, worker: str) -> list[int]:
    return [int(path.suffixes[-2][1:]) for path in directory.glob(f"{worker}.*{_JOURNAL}")]


def _remove_before(directory: Path, worker: str, number: int) -> None:
    while (number := number - 1) > 0 and (file := _file(directory, worker, number)).exists():
        file.unlink()


def _remove(directory: Path, worker: str) -> None:
    for number in _numbers(directory, worker):
        _file(directory, worker, number).unlink(missing_ok=True)
    (directory / f"{worker}{_LOCK}").unlink(missing_ok=True)
