"""The monthly close: figures are frozen once, and what comes later is a restatement. On both engines."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.core.attempt import Cause
from gateway.database.engine import Database
from gateway.database.tables import CLOSED, CLOSINGS, DAILY
from gateway.metering.reports.closing import GRACE, Closings
from gateway.metering.reports.month import Month
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.written_lines import an_adjustment, rows, write

NOVEMBER = Month(2026, 11)
AFTER = (NOVEMBER.until + GRACE) / 1000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing_database(database_url) as database:
        yield database


@pytest.fixture
def spent(database: Database) -> Database:
    """Two attempts of November, one of them without a price; one of October, one of December."""
    for name, settled_at, cost in (
        ("att_1", NOON, 340),
        ("att_2", NOON + DAY, None),
        ("att_3", NOVEMBER.since - 1, 7),
        ("att_4", NOVEMBER.until, 9),
    ):
        write(database, an_admission(name), a_settlement(name, settled_at=settled_at, cost=cost))
    return database


def closings(database: Database, now: float = AFTER) -> Closings:
    return Closings(database=database, clock=ManualClock(now))


def frozen(database: Database) -> list[dict[str, Any]]:
    return rows(database, CLOSED)


def test_closing_freezes_the_months_rows(spent: Database) -> None:
    closings(spent).close(NOVEMBER, by="cli:ops")
    days = range(NOVEMBER.first_day, NOVEMBER.end_day)
    expected = [{"month": "2026-11", **row} for row in rows(spent, DAILY) if row["day"] in days]
    assert len(expected) == 2
    assert frozen(spent) == expected
    assert rows(spent, CLOSINGS) == [{"month": "2026-11", "closed_at": int(AFTER * 1000)}]


def test_it_says_what_was_closed(spent: Database) -> None:
    closed = closings(spent).close(NOVEMBER, by="cli:ops")
    assert (closed.before, closed.unsettled) == (False, 0)
    closing = closed.closing
    assert (closing.month, closing.attempts, closing.cost, closing.unpriced) == (NOVEMBER, 2, 340, 1)


def test_a_second_close_changes_nothing(spent: Database) -> None:
    first = closings(spent).close(NOVEMBER, by="cli:ops")
    before = frozen(spent)
    write(spent, an_adjustment("att_1", settled_at=NOON))
    second = closings(spent, AFTER + 9999).close(NOVEMBER, by="cli:ops")
    assert (second.before, second.closing) == (True, first.closing)
    assert frozen(spent) == before


def test_it_is_on_record_who_closed_it_once(spent: Database) -> None:
    write(spent, an_admission("att_5"))
    for _ in range(2):
        closings(spent).close(NOVEMBER, by="cli:ops")
    (act,) = acts(spent)
    assert (act.actor, act.action, act.target, act.team) == ("cli:ops", "month.closed", "month:2026-11", "")
    assert act.details == {"attempts": 2, "cost_microdollars": 340, "unpriced": 1, "unsettled": 1}
    assert act.at == int(AFTER * 1000)


def test_a_month_that_was_refused_is_not_on_record(spent: Database) -> None:
    with pytest.raises(ValueError, match="is not over"):
        closings(spent, NOON / 1000).close(NOVEMBER, by="cli:ops")
    assert acts(spent) == []


def test_of_two_who_close_at_once_one_does(spent: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: closings(spent).close(NOVEMBER, by="cli:ops"), range(4)))
    assert sorted(closed.before for closed in done) == [False, True, True, True]
    assert len(acts(spent)) == 1
    assert len(frozen(spent)) == 2


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (NOON / 1000, "2026-11 is not over"),
        (NOVEMBER.until / 1000, "2026-11 has only just ended"),
        (AFTER - 1, "2026-11 has only just ended"),
    ],
)
def test_a_month_is_not_closed_too_early(spent: Database, now: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as told:
        closings(spent, now).close(NOVEMBER, by="cli:ops")
    assert "2026-12-01 01:00" in str(told.value)
    assert rows(spent, CLOSINGS) == frozen(spent) == []


def test_attempts_that_are_not_settled_are_named(database: Database) -> None:
    write(database, *(an_admission(f"att_{number}") for number in range(7)))
    write(database, an_admission("att_later", admitted_at=NOVEMBER.until))
    closed = closings(database).close(NOVEMBER, by="cli:ops")
    assert closed.unsettled == 7
    assert closed.unsettled_named == [f"att_{number}" for number in range(5)]


def test_a_month_without_any_usage_can_be_closed(database: Database) -> None:
    closing = closings(database).close(NOVEMBER, by="cli:ops").closing
    assert (closing.attempts, closing.cost) == (0, 0)
    assert closings(database).find(NOVEMBER) == closing


def test_closed_months_are_listed_in_order(spent: Database) -> None:
    for month in (Month(2026, 12), NOVEMBER, Month(2026, 10)):
        closings(spent, Month(2027, 2).since / 1000).close(month, by="cli:ops")
    assert [(str(each.month), each.cost) for each in closings(spent).all()] == [
        ("2026-10", 7),
        ("2026-11", 340),
        ("2026-12", 9),
    ]


def test_a_month_that_is_not_closed_is_not_found(spent: Database) -> None:
    assert closings(spent).find(NOVEMBER) is None


def test_what_comes_later_is_a_restatement(spent: Database) -> None:
    closings(spent).close(NOVEMBER, by="cli:ops")
    before = frozen(spent)
    write(spent, an_admission("att_5", team="ads"), a_settlement("att_5", settled_at=NOON, cost=5))
    write(spent, an_adjustment("att_2", settled_at=NOON + DAY, unpriced=-1, cost=60))
    ads, search = closings(spent).restated(NOVEMBER)
    assert (ads.group, ads.frozen["cost"], ads.difference["cost"], ads.difference["attempts"]) == (
        *(("ads", "gpt-4o"), 0, 5, 1),
    )
    assert (search.group, search.frozen["cost"], search.today["cost"]) == (("search", "gpt-4o"), 340, 400)
    assert (search.difference["unpriced"], search.difference["attempts"], search.changed) == (-1, 0, True)
    assert frozen(spent) == before


def test_what_did_not_change_is_no_restatement(spent: Database) -> None:
    closings(spent).close(NOVEMBER, by="cli:ops")
    (row,) = closings(spent).restated(NOVEMBER)
    assert not row.changed
    assert set(row.difference.values()) == {0}


def test_a_crash_settled_after_the_close_counts_on_its_own_day(spent: Database) -> None:
    write(spent, an_admission("att_5"))
    assert closings(spent).close(NOVEMBER, by="cli:ops").unsettled_named == ["att_5"]
    write(spent, a_settlement("att_5", settled_at=NOVEMBER.until + 2 * GRACE, cause=Cause.CRASH, cost=11))
    (row,) = closings(spent).restated(NOVEMBER)
    assert not row.changed
