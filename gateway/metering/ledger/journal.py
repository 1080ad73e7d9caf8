"""A process's own journal: its lines are safe from its death, until they are in the shared truth.

Plain text, only ever added to. A record is one line, `A 1c291ca3 …`: what it is, a checksum, and a row of
that table (see `rows.py`) as JSON. One call hands it to the system, which keeps it whatever becomes of this
process; after a power cut the last moments may be missing, as with every commit that does not wait for the
disk. So nobody waits: no thread, no lock, a few microseconds.

A line that a power cut has torn, or in which a bit has flipped, does not bear its checksum. It is told of and
never taken for a good one, and the line after it is read again. What a full disk has torn is taken away.

Its files are `WORKER.NUMBER.journal`, each up to some size and removed when it is shipped, and `WORKER.lock`,
which the process keeps locked as long as it lives: a journal whose lock is free was left by a dead one.
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, Self
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
_CLOSED: Final = -1


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

    def append(self, admissions: Sequence[bytes], settlements: Sequence[bytes]) -> None:
        """Returns when all these rows will outlive this process. Raises StoreUnavailable: none is there."""
        if self.unshipped >= self._most * (1 - RESERVE if admissions else 1):
            raise StoreUnavailable("the journal is full")
        records = [_record(Kind.ADMISSION, row) for row in admissions]
        records += [_record(Kind.SETTLEMENT, row) for row in settlements]
        try:
            self._write(b"".join(records))
        except OSError as error:
            raise StoreUnavailable(f"the journal cannot be written: {error.strerror}") from error

    def shipped(self, lot: Lot) -> None:
        """All before the lot's end is in the truth. Files that are shipped as a whole are removed."""
        self.unshipped -= lot.size
        _remove_before(self.directory, self.worker, lot.end.number)

    def close(self) -> None:
        """Leave it to whoever comes next, unless all of it is shipped: then nothing of it stays."""
        ended, self._file = self._file, _CLOSED  # another file may get its number
        os.close(ended)
        try:
            if self.unshipped <= 0:
                _remove(self.directory, self.worker)
        finally:
            os.close(self._lock)

    def _write(self, records: bytes) -> None:
        if self._torn:
            self._cut()
        if self._size >= self._segment:
            ended, self._file = self._file, self._next_file()
            os.close(ended)
        written = os.write(self._file, records)
        if written < len(records):
            self._torn = True
            self._cut()
            raise OSError(errno.ENOSPC, "the disk is full")
        self._size += written
        self.unshipped += written

    def _cut(self) -> None:
        """Take away what did not fit: half a line, or one whose writer was told that it is not there."""
        os.ftruncate(self._file, self._size)
        self._torn = False

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
        Raises OSError, also when a part of such a journal is gone.
        """
        number, offset = self._place
        while until is None or (number, offset) < until:
            if data := self._read(number, offset, until):
                return _lot_of(data, number, offset)
            later = [each for each in _numbers(self._directory, self.worker) if each > number]
            if not later:
                break
            number, offset = min(later), 0
        if until is not None and (number, offset) < until:
            raise FileNotFoundError(errno.ENOENT, "a part of it is gone")
        return Lot(end=Place(number, offset))

    def done(self, lot: Lot) -> None:
        """Go on behind it."""
        self._place = lot.end

    def _read(self, number: int, offset: int, until: Place | None) -> bytes:
        """Whole lines, unless a dead process has left half of one at its end."""
        path = _file(self._directory, self.worker, number)
        if until is None and not path.exists():
            return b""  # the dead may have left nothing but a lock
        most = PORTION
        if until is not None and until.number == number:
            most = min(most, until.offset - offset)
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(most)
            is_whole = len(data) < PORTION or data.endswith(b"\n")
            return data if is_whole else data + file.readline(SEGMENT)


class Abandoned:
    """A journal of the dead, for as long as the block lasts: nobody else takes it meanwhile."""

    def __init__(self, directory: Path, worker: str) -> None:
        """Raises BlockingIOError when its process lives or another has found it, OSError when it cannot be
        opened."""
        self.worker = worker
        self._directory = directory
        self._lock = os.open(directory / f"{worker}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.reader = Reader(directory, worker)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def remove(self) -> None:
        """All of it is shipped. Raises OSError."""
        _remove(self._directory, self.worker)


def workers_in(directory: Path) -> list[str]:
    """Whose journals are there, of the living and the dead. Raises OSError."""
    paths = directory.iterdir()
    return sorted({path.name.partition(".")[0] for path in paths if path.suffix in (_LOCK, _JOURNAL)})


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


def _record(kind: Kind, row: bytes) -> bytes:
    return b"%b %08x %b\n" % (kind.value, crc32(row, kind.value[0]), row)


def _new_lock(directory: Path, worker: str) -> int:
    """Nobody sees it before it is locked, and takes it for that of a dead process. Raises OSError, also when
    there is one."""
    unseen, seen = directory / f"{worker}.new", directory / f"{worker}{_LOCK}"
    lock = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if seen.exists():
            raise FileExistsError(errno.EEXIST, f"there is a journal of {worker}")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(seen)
    except BaseException:
        unseen.unlink(missing_ok=True)
        os.close(lock)
        raise
    return lock


def _file(directory: Path, worker: str, number: int) -> Path:
    return directory / f"{worker}.{number:06}{_JOURNAL}"


def _numbers(directory: Path, worker: str) -> list[int]:
    return [int(path.suffixes[-2][1:]) for path in directory.glob(f"{worker}.[0-9]*[0-9]{_JOURNAL}")]


def _remove_before(directory: Path, worker: str, number: int) -> None:
    while (number := number - 1) > 0 and (file := _file(directory, worker, number)).exists():
        file.unlink()


def _remove(directory: Path, worker: str) -> None:
    for number in _numbers(directory, worker):
        _file(directory, worker, number).unlink(missing_ok=True)
    (directory / f"{worker}{_LOCK}").unlink(missing_ok=True)
