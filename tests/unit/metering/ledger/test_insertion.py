"""Lines get into their tables once, on both engines."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, DAILY, SETTLEMENTS
from gateway.metering.ledger.insertion import insert_lines
from gateway.metering.ledger.rows import admission_json, settlement_json
from tests.support.database import closing_database
from tests.support.ledger_lines import a_settlement, an_admission


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing_database(database_url) as database:
        yield database


ADMITTED = [admission_json(an_admission(f"att_{number}"), "wrk_1") for number in range(3)]


def insert(database: Database, *settlements: bytes) -> int:
    with database.transaction(writes=True) as connection:
        insert_lines(connection, ADMISSIONS, ADMITTED)
        return insert_lines(connection, SETTLEMENTS, settlements)


def costs(database: Database) -> list[int]:
    with database.transaction(writes=False) as connection:
        rows = connection.execute(select(SETTLEMENTS.c.cost).order_by(SETTLEMENTS.c.attempt_id))
        return [row.cost for row in rows]


def test_lines_that_come_again_are_not_counted(database: Database) -> None:
    lines = [settlement_json(a_settlement(f"att_{number}", cost=number)) for number in range(3)]
    assert (insert(database, *lines[:2]), insert(database, *lines), insert(database, *lines)) == (2, 1, 0)
    assert costs(database) == [0, 1, 2]


def test_of_two_for_one_attempt_the_first_counts(database: Database) -> None:
    lines = [settlement_json(a_settlement("att_1", cost=cost)) for cost in (340, 999, 1)]
    assert insert(database, *lines) == 1
    assert costs(database) == [340]


def test_sums_are_of_what_is_there(database: Database) -> None:
    lines = [settlement_json(a_settlement(f"att_{number}")) for number in (0, 1, 1, 2)]
    insert(database, *lines)
    insert(database, *lines)
    with database.transaction(writes=False) as connection:
        sums = connection.execute(select(func.sum(DAILY.c.attempts), func.sum(DAILY.c.cost))).one()
    assert [int(each) for each in sums] == [3, 3 * 340]


@pytest.mark.parametrize(
    "line",
    [
        settlement_json(a_settlement("att_1", cost=2**70)),
        settlement_json(a_settlement("att_1")).replace(b'"settled_at":1795003201000', b'"settled_at":null'),
        b"{",
        b"{}",
    ],
    ids=["too large", "nothing where something must be", "no JSON", "empty"],
)
def test_a_line_that_cannot_be_is_an_error_and_nothing_is_there(database: Database, line: bytes) -> None:
    with pytest.raises((StoreUnavailable, IntegrityError, ValueError, LookupError, OverflowError)):
        insert(database, settlement_json(a_settlement("att_0")), line)
    assert costs(database) == []
