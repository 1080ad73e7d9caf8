"""What a chargeback is made of: frozen rows, or today's, always in the same order. On both engines."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from gateway.database.engine import Database
from gateway.database.tables import DAILY, KEYS
from gateway.metering.reports.chargeback import Chargeback
from gateway.metering.reports.closing import GRACE, WHOSE, Closings
from gateway.metering.reports.daily import MEASURES
from gateway.metering.reports.month import Month
from tests.support.clock import ManualClock
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.written_lines import an_adjustment, rows, write

NOVEMBER = Month(2026, 11)
TEAMS = ("b", "Ä", "a", "B", "ä", "_")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Teams whose names languages sort in many ways, on two days; and something of December."""
    with closing_database(database_url) as database:
        for number, team in enumerate(TEAMS):
            name, moment = f"att_{number}", NOON + number % 2 * DAY
            write(database, an_admission(name, team=team), a_settlement(name, settled_at=moment, cost=number))
        write(database, an_admission("att_9"), a_settlement("att_9", settled_at=NOVEMBER.until, cost=99))
        yield database


def close(database: Database) -> None:
    Closings(database=database, clock=ManualClock((NOVEMBER.until + GRACE) / 1000)).close(
        NOVEMBER, by="cli:ops"
    )


def test_an_open_month_has_todays_rows(database: Database) -> None:
    found = list(Chargeback(database).rows(NOVEMBER, closed=False))
    expected = [row for row in rows(database, DAILY) if row["day"] < NOVEMBER.end_day]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert list(found[0]) == ["day", *WHOSE, *MEASURES]


@pytest.mark.parametrize("closed", [False, True])
def test_rows_are_in_the_order_of_their_characters(database: Database, closed: bool) -> None:
    close(database)
    found = [(row["day"], row["team"]) for row in Chargeback(database).rows(NOVEMBER, closed=closed)]
    assert found == sorted(found)
    assert len(found) == Chargeback(database).count(NOVEMBER, closed=closed) == len(TEAMS)


def test_a_closed_month_has_its_frozen_rows(database: Database) -> None:
    before = list(Chargeback(database).rows(NOVEMBER, closed=False))
    close(database)
    write(database, an_adjustment("att_0", settled_at=NOON))
    assert list(Chargeback(database).rows(NOVEMBER, closed=True)) == before


def test_restatements_are_what_it_must_be_changed_by(database: Database) -> None:
    close(database)
    write(database, an_adjustment("att_0", settled_at=NOON, cost=-7))
    write(database, an_admission("att_late", team="c"), a_settlement("att_late", settled_at=NOON, cost=5))
    corrected, late = Chargeback(database).restatements(NOVEMBER)
    assert (corrected["team"], corrected["cost"], corrected["attempts"]) == ("b", -7, 0)
    assert (late["team"], late["cost"], late["attempts"], late["input_tokens"]) == ("c", 5, 1, 90)


def test_frozen_rows_and_restatements_are_todays_rows(database: Database) -> None:
    close(database)
    write(database, an_adjustment("att_0", settled_at=NOON, cost=-7))
    its = Chargeback(database)
    frozen = sum(row["cost"] for row in its.rows(NOVEMBER, closed=True))
    restated = sum(row["cost"] for row in its.restatements(NOVEMBER))
    assert frozen + restated == sum(row["cost"] for row in its.rows(NOVEMBER, closed=False))


def test_a_month_that_was_not_restated_has_none(database: Database) -> None:
    close(database)
    assert list(Chargeback(database).restatements(NOVEMBER)) == []


def test_keys_are_known_by_name_even_when_they_are_revoked(database: Database) -> None:
    key = {"id": "k1", "team": "a", "name": "web", "secret_hash": b"h", "created_at": 1, "revoked_at": 2}
    with database.transaction(writes=True) as connection:
        connection.execute(insert(KEYS).values(key))
    assert Chargeback(database).key_names() == {"k1": "web"}
