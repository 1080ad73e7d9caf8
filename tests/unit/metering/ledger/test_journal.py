"""What is written is read again, once, in its order; what is damaged is told of and never taken for good."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import StoreUnavailable
from gateway.metering.ledger import journal as journals
from gateway.metering.ledger.journal import PORTION, Abandoned, Journal, Lot, Reader, workers_in
from tests.support.disk import full_disk

ROWS = [b'["att_%03d", "caf\xc3\xa9", 1]' % number for number in range(40)]
_HOLDER = """
import sys
from pathlib import Path
from gateway.metering.ledger.journal import Journal, Kind
journal = Journal(Path(sys.argv[1]), "wrk_other")
journal.append([b"[1]"], [])
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, "wrk_1", segment=500)
    yield journal
    journal.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def all_of(reader: Reader, journal: Journal | None = None) -> Iterator[Lot]:
    """Lots, each of them shipped when the next is asked for."""
    while (lot := reader.lot(journal.end if journal else None)).size:
        yield lot
        reader.done(lot)
        if journal:
            journal.shipped(lot)


def rows_left(folder: Path, worker: str = "wrk_1") -> list[bytes]:
    """Of a dead process, its admissions."""
    with Abandoned(folder, worker) as found:
        return [row for lot in all_of(found.reader) for row in lot.admissions]


def left_by(folder: Path, *rows: bytes, segment: int = 500) -> list[Path]:
    """The files of a process that has written these and is gone."""
    journal = Journal(folder, "wrk_1", segment=segment)
    for row in rows:
        journal.append([row], [])
    journal.close()
    return sorted(folder.glob("*.journal"))


def test_rows_come_in_the_order_in_which_they_were_written(journal: Journal, tmp_path: Path) -> None:
    for row in ROWS:
        journal.append([row], [])
    lots = list(all_of(Reader(tmp_path, "wrk_1"), journal))
    assert [row for lot in lots for row in lot.admissions] == ROWS
    assert len(lots) > 1, "it was one file"


def test_what_it_is_stands_before_each_row(journal: Journal, tmp_path: Path) -> None:
    journal.append([], [b"[2]"])
    journal.append([b"[1]"], [])
    lot = Reader(tmp_path, "wrk_1").lot(journal.end)
    assert (lot.admissions, lot.settlements, lot.damaged) == ([b"[1]"], [b"[2]"], [])


def test_a_lot_comes_again_until_it_is_done(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"[1]"], [])
    reader = Reader(tmp_path, "wrk_1")
    assert reader.lot(journal.end) == reader.lot(journal.end)
    reader.done(reader.lot(journal.end))
    assert reader.lot(journal.end).size == 0


def test_files_that_are_shipped_are_removed(journal: Journal, tmp_path: Path) -> None:
    for row in ROWS:
        journal.append([row], [])
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    assert (len(files(tmp_path)), journal.unshipped) == (2, 0)


def test_a_journal_that_is_shipped_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append([b"[1]"], [])
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    journal.close()
    assert files(tmp_path) == []


def test_a_journal_that_is_not_shipped_stays_for_whoever_comes_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append([b"[1]"], [])
    journal.close()
    with Abandoned(tmp_path, "wrk_1") as found:
        assert [lot.admissions for lot in all_of(found.reader)] == [[b"[1]"]]
        found.remove()
    assert files(tmp_path) == []


def test_a_living_processs_journal_is_nobody_elses(journal: Journal, tmp_path: Path) -> None:
    assert workers_in(tmp_path) == ["wrk_1"]
    with pytest.raises(BlockingIOError):
        Abandoned(tmp_path, "wrk_1")


def test_of_two_who_find_a_journal_one_gets_it(tmp_path: Path) -> None:
    left_by(tmp_path, b"[1]")
    with Abandoned(tmp_path, "wrk_1"), pytest.raises(BlockingIOError):
        Abandoned(tmp_path, "wrk_1")
    assert rows_left(tmp_path) == [b"[1]"]


def test_a_killed_processs_journal_is_found(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    with pytest.raises(BlockingIOError):
        Abandoned(tmp_path, "wrk_other")
    child.kill()
    child.communicate()
    assert rows_left(tmp_path, "wrk_other") == [b"[1]"]


def test_a_full_journal_refuses_admissions_and_takes_settlements(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1", most=1000)
    while journal.unshipped < 900:
        journal.append([ROWS[0]], [])
    with pytest.raises(StoreUnavailable, match="full"):
        journal.append([ROWS[0]], [])
    journal.append([], [b"[2]"])
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    journal.append([ROWS[0]], [])
    journal.close()


def test_a_row_that_did_not_fit_on_the_disk_is_not_there_and_the_next_ones_are(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append([b"[1]"], [])
    with full_disk(size=journal.end.offset + 9), pytest.raises(StoreUnavailable, match="disk is full"):
        journal.append([b"[2]"], [])
    with full_disk(size=journal.end.offset), pytest.raises(StoreUnavailable, match="cannot be written"):
        journal.append([b"[3]"], [])
    journal.append([b"[4]"], [])
    (lot,) = all_of(Reader(tmp_path, "wrk_1"), journal)
    assert (lot.admissions, lot.damaged, journal.unshipped) == ([b"[1]", b"[4]"], [], 0)
    journal.close()


def test_a_folder_that_cannot_be_written_to_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Journal(tmp_path / "file" / "journal", "wrk_1")


def test_half_a_line_at_the_end_is_damaged(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append([b"[1]"], [])
    journal.append([b"[2]"], [])
    journal.close()
    file = tmp_path / "wrk_1.000001.journal"
    os.truncate(file, file.stat().st_size - 3)
    with Abandoned(tmp_path, "wrk_1") as found:
        (lot,) = all_of(found.reader)
    assert (lot.admissions, len(lot.damaged)) == ([b"[1]"], 1)


def test_a_row_whose_writer_was_told_that_it_is_not_there_is_not_there(tmp_path: Path) -> None:
    """All of it fitted on the disk but the end of its line."""
    journal = Journal(tmp_path, "wrk_1")
    journal.append([b"[1]"], [])
    with full_disk(size=journal.end.offset + len(b"A 00000000 [2]")), pytest.raises(StoreUnavailable):
        journal.append([b"[2]"], [])
    journal.close()
    assert rows_left(tmp_path) == [b"[1]"]


def test_a_reader_goes_no_further_than_it_is_told(tmp_path: Path) -> None:
    """Beyond it a line may be half there."""
    journal = Journal(tmp_path, "wrk_1", segment=50)
    for row in ROWS[:2]:
        journal.append([row], [])
    end, reader = journal.end, Reader(tmp_path, "wrk_1")
    for row in ROWS[2:6]:
        journal.append([row], [])
    read = []
    while (lot := reader.lot(end)).size:
        read += lot.admissions
        reader.done(lot)
    assert (read, journal.end.number > end.number) == (ROWS[:2], True)
    journal.close()


def test_a_reader_that_is_further_already_reads_nothing(journal: Journal, tmp_path: Path) -> None:
    before = journal.end
    journal.append([b"[1]"], [])
    reader = Reader(tmp_path, "wrk_1")
    reader.done(reader.lot(journal.end))
    journal.append([b"[2]"], [])
    assert reader.lot(before).size == 0
    assert reader.lot(journal.end).admissions == [b"[2]"]


@pytest.mark.parametrize("by", [-1, 0, 1, 200])
def test_rows_around_a_portions_end_come_whole_and_once(
    tmp_path: Path, by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by(tmp_path, *ROWS, segment=1 << 20)
    monkeypatch.setattr(journals, "PORTION", 3 * len(b"A 00000000 \n" + ROWS[0]) + by)
    assert rows_left(tmp_path) == ROWS


def test_a_row_longer_than_a_portion_comes_whole(tmp_path: Path) -> None:
    long = b"[" + b"1" * 3 * PORTION + b"]"
    left_by(tmp_path, b"[1]", long, b"[2]")
    assert rows_left(tmp_path) == [b"[1]", long, b"[2]"]


def test_when_a_file_of_several_is_gone_the_others_are_read(tmp_path: Path) -> None:
    there = left_by(tmp_path, *ROWS, segment=150)
    there[1].unlink()
    read = rows_left(tmp_path)
    assert len(there) > 3
    assert (read[0], read[-1], len(read) > len(ROWS) // 2) == (ROWS[0], ROWS[-1], True)


@pytest.mark.parametrize("shorten", [Path.unlink, lambda file: os.truncate(file, 0)], ids=["gone", "cut"])
def test_a_living_processs_file_that_is_taken_away_is_an_error(
    journal: Journal, tmp_path: Path, shorten: Callable[[Path], None]
) -> None:
    journal.append([b"[1]"], [])
    shorten(tmp_path / "wrk_1.000001.journal")
    with pytest.raises(FileNotFoundError):
        Reader(tmp_path, "wrk_1").lot(journal.end)


def test_a_journal_with_nothing_but_a_lock_is_empty(tmp_path: Path) -> None:
    (tmp_path / "wrk_1.lock").touch()
    assert rows_left(tmp_path) == []


def test_a_name_is_one_processs(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        Journal(tmp_path, "wrk_1")
    with pytest.raises(BlockingIOError):
        Abandoned(tmp_path, "wrk_1")
    assert files(tmp_path) == ["wrk_1.000001.journal", "wrk_1.lock"]


def test_a_closed_journal_writes_to_nobody_elses_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.close()
    with (tmp_path / "other").open("w+b") as first, (tmp_path / "another").open("w+b") as second:
        with pytest.raises(StoreUnavailable):
            journal.append([], [b"[1]"])
        assert (first.read(), second.read()) == (b"", b"")


def test_a_journal_that_cannot_be_had_costs_no_file_handle(journal: Journal, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(BlockingIOError):
            Abandoned(tmp_path, "wrk_1")
        with pytest.raises(FileExistsError):
            Journal(tmp_path, "wrk_1")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@given(st.integers(0, 40 * 39 - 1), st.integers(0, 7), st.sampled_from([150, 500, 1 << 20]))
def test_whatever_bit_flips_no_row_is_altered_and_few_are_lost(
    tmp_path_factory: pytest.TempPathFactory, byte: int, bit: int, segment: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    there = left_by(folder, *ROWS, segment=segment)
    file = there[byte % len(there)]
    content = bytearray(file.read_bytes())
    content[byte // len(there) % len(content)] ^= 1 << bit
    file.write_bytes(content)
    with Abandoned(folder, "wrk_1") as found:
        lots = list(all_of(found.reader))
    read = [row for lot in lots for row in lot.admissions]
    assert set(read) <= set(ROWS)
    assert read == sorted(read)
    assert len(read) >= len(ROWS) - 2, "a lost line break costs two"
    assert len(read) == len(ROWS) or sum(len(lot.damaged) for lot in lots) >= 1
    assert [row for lot in lots for row in lot.settlements] == []
