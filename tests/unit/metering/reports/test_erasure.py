"""Erasure: nobody can tell any more who it was, and every sum is as before. On both engines."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete

from gateway.database.engine import Database
from gateway.database.tables import (
    ADJUSTMENTS,
    ADMISSIONS,
    AUDIT,
    CHARGES,
    CLOSED,
    DAILY,
    METADATA,
    SETTLEMENTS,
    UNDER_WAY,
)
from gateway.metering.reports import erasure
from gateway.metering.reports.closing import Closings
from gateway.metering.reports.erasure import PREFIX, Erasure
from gateway.metering.reports.month import Month
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.written_lines import an_adjustment, rows, write

ANNA = "anna@example.com"
NOVEMBER = Month(2026, 11)
THEIRS = (DAILY, CLOSED, ADMISSIONS, UNDER_WAY, CHARGES)


async def no_pause(seconds: float) -> None:
    pass


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Pages and lots are small."""
    monkeypatch.setattr(erasure, "_PAGE", 3)
    monkeypatch.setattr(erasure, "_LOT", 2)
    with closing_database(database_url) as database:
        yield database


@pytest.fixture
def spent(database: Database) -> Database:
    """Anna and Ben, in two teams, on two days; some of it is under way, some corrected, all closed."""
    for number in range(12):
        name, who = f"att_{number:02}", ANNA if number % 2 else "ben"
        write(database, an_admission(name, subject=who, team="ads" if number % 3 else "search"))
        if number < 10:
            moment = NOON + number % 2 * DAY + number
            write(database, a_settlement(name, settled_at=moment, cost=number))
            write(database, an_adjustment(name, settled_at=moment, cost=-1))
    Closings(database=database, clock=ManualClock(NOVEMBER.until / 1000 + 9999)).close(NOVEMBER, by="cli:ops")
    return database


async def erase(database: Database, subject: str = ANNA) -> dict[str, int]:
    erasure = Erasure(database=database, clock=ManualClock(), pause=no_pause)
    return dict(await erasure.erase(subject, by="cli:ops"))


def subjects(database: Database, table: Table) -> Counter[str]:
    return Counter(row["subject"] for row in rows(database, table))


def without_subjects(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: sorted(
            ({name: row[name] for name in row if name != "subject"} for row in rows(database, table)), key=str
        )
        for table in (*THEIRS, SETTLEMENTS, ADJUSTMENTS)
    }


async def test_the_name_stands_nowhere_any_more(spent: Database) -> None:
    await erase(spent)
    everything = {name: rows(spent, table) for name, table in METADATA.tables.items()}
    assert ANNA not in str(everything)


async def test_nothing_else_changes(spent: Database) -> None:
    before = without_subjects(spent)
    await erase(spent)
    assert without_subjects(spent) == before


async def test_all_that_was_hers_goes_by_one_pseudonym(spent: Database) -> None:
    before = {table.name: subjects(spent, table) for table in THEIRS}
    changed = await erase(spent)
    after = {table.name: subjects(spent, table) for table in THEIRS}
    pseudonyms = {name for counts in after.values() for name in counts if name != "ben"}
    assert len(pseudonyms) == 1
    assert all(name.startswith(PREFIX) for name in pseudonyms)
    assert changed == {name: counts[ANNA] for name, counts in before.items()}
    assert [counts["ben"] for counts in after.values()] == [counts["ben"] for counts in before.values()]


async def test_a_restatement_finds_its_frozen_row_afterwards(spent: Database) -> None:
    await erase(spent)
    write(spent, an_adjustment("att_01", id="adj_more", settled_at=NOON + DAY + 1, cost=5))
    shown = Closings(database=spent, clock=ManualClock()).restated(NOVEMBER, ("team", "subject"))
    assert [(row.difference["cost"], row.difference["attempts"]) for row in shown if row.changed] == [(5, 0)]


async def test_erasing_again_finds_what_came_later(spent: Database) -> None:
    await erase(spent)
    write(spent, an_admission("att_late", subject=ANNA), a_settlement("att_late", settled_at=NOON, cost=7))
    before = without_subjects(spent)
    changed = await erase(spent)
    assert changed == {"daily": 1, "closed": 0, "admissions": 1, "under_way": 0, "charges": 1}
    assert without_subjects(spent) == before
    assert ANNA not in str(rows(spent, DAILY))


async def test_what_was_under_way_is_settled_under_the_pseudonym(spent: Database) -> None:
    await erase(spent)
    write(spent, a_settlement("att_11", settled_at=NOON, cost=7))
    assert all(ANNA not in str(rows(spent, table)) for table in THEIRS)
    assert sum(row["attempts"] for row in rows(spent, DAILY)) == 11


async def test_of_someone_unknown_there_is_nothing(spent: Database) -> None:
    before = {table.name: rows(spent, table) for table in THEIRS}
    assert set((await erase(spent, "nobody")).values()) == {0}
    assert {table.name: rows(spent, table) for table in THEIRS} == before


async def test_the_trail_tells_of_the_pseudonym_and_of_no_name(spent: Database) -> None:
    changed = await erase(spent)
    begun, ended = acts(spent, "ledger.eras")
    (pseudonym,) = subjects(spent, ADMISSIONS).keys() - {"ben"}
    whose = ("cli:ops", f"user:{pseudonym}", "")
    assert (begun.action, begun.actor, begun.target, begun.team) == ("ledger.erasing", *whose)
    assert (ended.action, ended.actor, ended.target, ended.team) == ("ledger.erased", *whose)
    assert (begun.details, ended.details) == ({}, changed)
    assert ANNA not in str(rows(spent, AUDIT))


async def test_of_someone_unknown_the_trail_tells_nothing(spent: Database) -> None:
    await erase(spent, "nobody")
    assert acts(spent, "ledger.") == []


async def test_an_erasure_that_is_cut_short_is_on_record_as_begun(spent: Database) -> None:
    async def fail(seconds: float) -> None:
        raise LookupError

    erasure = Erasure(database=spent, clock=ManualClock(), pause=fail)
    with pytest.raises(LookupError):
        await erasure.erase(ANNA, by="cli:ops")
    assert [act.action for act in acts(spent, "ledger.")] == ["ledger.erasing"]


async def test_two_pseudonyms_are_never_the_same(spent: Database) -> None:
    await erase(spent, ANNA)
    await erase(spent, "ben")
    assert len(subjects(spent, ADMISSIONS)) == 2


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 2), st.none() | st.integers(0, 9)),
        max_size=12,
    ),
    erased=st.lists(st.sampled_from(["a", "b"]), max_size=4),
)
async def test_sums_survive_any_erasures(
    database: Database, lines: list[tuple[str, int, int | None]], erased: list[str]
) -> None:
    for number, (who, day, cost) in enumerate(lines):
        name = f"att_{number}"
        write(database, an_admission(name, subject=who))
        write(database, a_settlement(name, settled_at=NOON + day * DAY, cost=cost))
    before = without_subjects(database)
    for who in erased:
        await erase(database, who)
    assert without_subjects(database) == before
    with database.transaction(writes=True) as connection:
        for table in (DAILY, ADMISSIONS, SETTLEMENTS, CHARGES, UNDER_WAY):
            connection.execute(delete(table))


async def test_while_others_write_nothing_is_lost(database_url: str) -> None:
    def go_on() -> None:
        with closing_database(database_url) as own:
            for number in range(150):
                name = f"att_{number:03}"
                write(own, an_admission(name, subject=ANNA))
                write(own, a_settlement(name, settled_at=NOON + number, cost=1))

    with closing_database(database_url) as database:
        writing = asyncio.get_running_loop().run_in_executor(None, go_on)
        while not writing.done():
            await erase(database)
        await writing
        await erase(database)
        assert all(ANNA not in str(rows(database, table)) for table in THEIRS)
        assert sum(row["cost"] for row in rows(database, DAILY)) == 150
        assert sum(row["attempts"] for row in rows(database, DAILY)) == 150
        assert len(rows(database, CHARGES)) == len(rows(database, ADMISSIONS)) == 150
