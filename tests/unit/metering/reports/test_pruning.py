"""Retention: lines end by age, sums stay. On both engines."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Table

from gateway.database.engine import Database
from gateway.database.tables import (
    ADJUSTMENTS,
    ADMISSIONS,
    CHARGES,
    CLOSED,
    CLOSINGS,
    DAILY,
    SETTLEMENTS,
    UNDER_WAY,
)
from gateway.metering.reports import pruning
from gateway.metering.reports.closing import Closings
from gateway.metering.reports.month import Month
from gateway.metering.reports.pruning import Pruning
from gateway.metering.reports.ranges import DAY
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import closing_database
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import an_adjustment, rows, write

MAY, JUNE = Month(2026, 5), Month(2026, 6)
NOW = Month(2026, 8).since
OLD = MAY.since + 3 * DAY
YOUNG = JUNE.since + 20 * DAY
KEPT = (DAILY, CLOSED, CLOSINGS, UNDER_WAY)
LINES = (ADMISSIONS, SETTLEMENTS, CHARGES, ADJUSTMENTS)


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Five old attempts, of which one was corrected and one is not settled, and a young one."""
    monkeypatch.setattr(pruning, "_LOT", 2)
    with closing_database(database_url) as database:
        for number in range(4):
            name = f"att_{number}"
            write(database, an_admission(name, admitted_at=OLD), a_settlement(name, settled_at=OLD + number))
        write(database, an_adjustment("att_2", settled_at=OLD + 2))
        write(database, an_admission("att_open", admitted_at=OLD))
        write(database, an_admission("att_young"), a_settlement("att_young", settled_at=YOUNG))
        write(database, an_adjustment("att_young", settled_at=YOUNG))
        yield database


def desk(database: Database) -> Pruning:
    async def pause(seconds: float) -> None:
        pass

    return Pruning(database=database, clock=ManualClock(NOW / 1000), pause=pause)


def close(database: Database, *months: Month) -> None:
    for month in months:
        Closings(database=database, clock=ManualClock(NOW / 1000)).close(month, by="cli:ops")


def kept(database: Database, *tables: Table) -> dict[str, list[dict[str, Any]]]:
    return {table.name: rows(database, table) for table in tables}


def attempts(database: Database, table: Table) -> list[str]:
    return [row["attempt_id"] for row in rows(database, table)]


async def test_what_is_older_is_found(database: Database) -> None:
    found = await desk(database).look(60)
    assert (found.attempts, found.oldest, found.before) == (4, OLD, NOW - 60 * DAY)


async def test_months_that_are_not_closed_are_named(database: Database) -> None:
    assert (await desk(database).look(60)).still_open == [MAY]
    close(database, MAY)
    assert (await desk(database).look(60)).still_open == []


async def test_nothing_old_is_nothing_to_prune(database: Database) -> None:
    found = await desk(database).look(400)
    assert (found.attempts, found.oldest, found.still_open) == (0, None, ())


async def test_what_budgets_count_is_never_pruned(database: Database) -> None:
    with pytest.raises(ValueError, match="last 35 days stay"):
        await desk(database).look(34)


async def test_an_attempt_goes_as_a_whole(database: Database) -> None:
    told: list[int] = []
    assert await desk(database).prune(NOW - 60 * DAY, by="cli:ops", told=told.append) == 4
    assert told == [2, 2]
    assert attempts(database, ADMISSIONS) == ["att_open", "att_young"]
    for table in (SETTLEMENTS, CHARGES, ADJUSTMENTS):
        assert attempts(database, table) == ["att_young"]


async def test_sums_and_what_is_not_settled_stay(database: Database) -> None:
    close(database, MAY, JUNE)
    before = kept(database, *KEPT)
    await desk(database).prune(NOW - 60 * DAY, by="cli:ops")
    assert kept(database, *KEPT) == before


async def test_pruning_twice_is_pruning_once(database: Database) -> None:
    await desk(database).prune(NOW - 60 * DAY, by="cli:ops")
    before = kept(database, *LINES)
    assert await desk(database).prune(NOW - 60 * DAY, by="cli:ops") == 0
    assert kept(database, *LINES) == before


async def test_an_attempt_that_is_settled_after_its_time_still_counts(database: Database) -> None:
    await desk(database).prune(NOW - 60 * DAY, by="cli:ops")
    write(database, a_settlement("att_open", settled_at=YOUNG + DAY))
    assert attempts(database, CHARGES) == ["att_young", "att_open"]
    assert sum(row["attempts"] for row in rows(database, DAILY)) == 6


async def test_retention_waits_for_the_close(database: Database) -> None:
    assert await desk(database).retain(60) == 0
    close(database, MAY)
    assert await desk(database).retain(60) == 4


async def test_retention_stops_at_the_first_open_month(database: Database) -> None:
    close(database, MAY)
    assert await desk(database).retain(36) == 4
    assert attempts(database, SETTLEMENTS) == ["att_young"]


async def test_it_is_on_record_that_it_began_and_what_went(database: Database) -> None:
    await desk(database).prune(NOW - 60 * DAY, by="cli:ops")
    begun, ended = acts(database)
    assert (begun.actor, begun.action, begun.target) == ("cli:ops", "ledger.pruning", "ledger")
    assert begun.details == {"settled_before": "2026-06-02"}
    assert (ended.actor, ended.action, ended.target) == ("cli:ops", "ledger.pruned", "ledger")
    assert ended.details == {"settled_before": "2026-06-02", "attempts": 4}


async def test_pruning_nothing_leaves_no_line(database: Database) -> None:
    await desk(database).prune(OLD, by="cli:ops")
    assert acts(database) == []


async def test_retention_is_the_gateways_own_act(database: Database) -> None:
    close(database, MAY)
    await desk(database).retain(60)
    assert [act.actor for act in acts(database, "ledger.")] == ["gateway", "gateway"]


async def test_of_two_who_prune_at_once_each_says_what_it_deleted(database: Database) -> None:
    pruned = await asyncio.gather(*(desk(database).prune(NOW - 60 * DAY, by="cli:ops") for _ in range(3)))
    ended = [act.details["attempts"] for act in acts(database, "ledger.pruned")]
    assert sum(pruned) == sum(ended) == 4
