"""What is written is read again, once, in its order; what is damaged is told of and never taken for good."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import StoreUnavailable
from gateway.metering.ledger.journal import Journal, Kind, Lot, Reader, abandoned
from tests.support.disk import full_disk

ROWS = [b'["att_%03d", "caf\xc3\xa9", 1]' % number for number in range(40)]
_HOLDER = """
import sys
from pathlib import Path
from gateway.metering.ledger.journal import Journal, Kind
journal = Journal(Path(sys.argv[1]), "wrk_other")
journal.append(Kind.ADMISSION, b"[1]")
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


def test_rows_come_in_the_order_in_which_they_were_written(journal: Journal, tmp_path: Path) -> None:
    for row in ROWS:
        journal.append(Kind.ADMISSION, row)
    lots = list(all_of(Reader(tmp_path, "wrk_1"), journal))
    assert [row for lot in lots for row in lot.admissions] == ROWS
    assert len(lots) > 1, "it was one file"


def test_what_it_is_stands_before_each_row(journal: Journal, tmp_path: Path) -> None:
    journal.append(Kind.SETTLEMENT, b"[2]")
    journal.append(Kind.ADMISSION, b"[1]")
    lot = Reader(tmp_path, "wrk_1").lot(journal.end)
    assert (lot.admissions, lot.settlements, lot.damaged) == ([b"[1]"], [b"[2]"], [])


def test_a_lot_comes_again_until_it_is_done(journal: Journal, tmp_path: Path) -> None:
    journal.append(Kind.ADMISSION, b"[1]")
    reader = Reader(tmp_path, "wrk_1")
    assert reader.lot(journal.end) == reader.lot(journal.end)
    reader.done(reader.lot(journal.end))
    assert reader.lot(journal.end).size == 0


def test_files_that_are_shipped_are_removed(journal: Journal, tmp_path: Path) -> None:
    for row in ROWS:
        journal.append(Kind.ADMISSION, row)
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    assert (len(files(tmp_path)), journal.unshipped) == (2, 0)


def test_a_journal_that_is_shipped_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append(Kind.ADMISSION, b"[1]")
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    journal.close()
    assert files(tmp_path) == []


def test_a_journal_that_is_not_shipped_stays_for_whoever_comes_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append(Kind.ADMISSION, b"[1]")
    journal.close()
    (found,) = abandoned(tmp_path)
    assert [lot.admissions for lot in all_of(found.reader)] == [[b"[1]"]]
    found.remove()
    assert files(tmp_path) == []


def test_a_living_processs_journal_is_nobody_elses(journal: Journal, tmp_path: Path) -> None:
    assert list(abandoned(tmp_path)) == []


def test_of_two_who_find_a_journal_one_gets_it(tmp_path: Path) -> None:
    Journal(tmp_path, "wrk_1").close()
    (tmp_path / "wrk_1.lock").touch()
    (found,) = abandoned(tmp_path)
    assert list(abandoned(tmp_path)) == []
    found.release()
    (again,) = abandoned(tmp_path)
    again.remove()


def test_a_killed_processs_journal_is_found(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    assert list(abandoned(tmp_path)) == []
    child.kill()
    child.communicate()
    (found,) = abandoned(tmp_path)
    assert [lot.admissions for lot in all_of(found.reader)] == [[b"[1]"]]
    found.remove()


def test_a_full_journal_refuses_admissions_and_takes_settlements(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1", most=1000)
    while journal.unshipped < 900:
        journal.append(Kind.ADMISSION, ROWS[0])
    with pytest.raises(StoreUnavailable, match="full"):
        journal.append(Kind.ADMISSION, ROWS[0])
    journal.append(Kind.SETTLEMENT, b"[2]")
    list(all_of(Reader(tmp_path, "wrk_1"), journal))
    journal.append(Kind.ADMISSION, ROWS[0])
    journal.close()


def test_a_row_that_did_not_fit_on_the_disk_is_not_there_and_the_next_ones_are(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append(Kind.ADMISSION, b"[1]")
    with full_disk(size=journal.end.offset + 9), pytest.raises(StoreUnavailable, match="disk is full"):
        journal.append(Kind.ADMISSION, b"[2]")
    with full_disk(size=journal.end.offset), pytest.raises(StoreUnavailable, match="cannot be written"):
        journal.append(Kind.ADMISSION, b"[3]")
    journal.append(Kind.ADMISSION, b"[4]")
    (lot,) = all_of(Reader(tmp_path, "wrk_1"), journal)
    assert (lot.admissions, len(lot.damaged), journal.unshipped) == ([b"[1]", b"[4]"], 1, 0)
    journal.close()


def test_a_folder_that_cannot_be_written_to_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Journal(tmp_path / "file" / "journal", "wrk_1")


def test_half_a_line_at_the_end_is_damaged(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "wrk_1")
    journal.append(Kind.ADMISSION, b"[1]")
    journal.append(Kind.ADMISSION, b"[2]")
    journal.close()
    file = tmp_path / "wrk_1.000001.journal"
    os.truncate(file, file.stat().st_size - 3)
    (found,) = abandoned(tmp_path)
    (lot,) = all_of(found.reader)
    assert (lot.admissions, len(lot.damaged)) == ([b"[1]"], 1)
    found.remove()


@given(st.integers(0, 40 * 39 - 1), st.integers(0, 7))
def test_whatever_bit_flips_no_row_is_altered_and_few_are_lost(
    tmp_path_factory: pytest.TempPathFactory, byte: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "wrk_1")
    for row in ROWS:
        journal.append(Kind.ADMISSION, row)
    journal.close()
    file = folder / "wrk_1.000001.journal"
    content = bytearray(file.read_bytes())
    content[byte % len(content)] ^= 1 << bit
    file.write_bytes(content)
    (found,) = abandoned(folder)
    lots = list(all_of(found.reader))
    read = [row for lot in lots for row in lot.admissions]
    assert set(read) <= set(ROWS)
    assert len(read) >= len(ROWS) - 2, "a lost line break costs two"
    assert len(read) == len(ROWS) - 1 or sum(len(lot.damaged) for lot in lots) >= 1
    assert [row for lot in lots for row in lot.settlements] == []
    found.remove()
