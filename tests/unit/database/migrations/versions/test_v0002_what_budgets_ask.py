"""What is under way and what was charged follows from the ledger's lines, those of before included."""

from sqlalchemy import inspect

from gateway.database.engine import Database
from gateway.database.tables import CHARGES, UNDER_WAY
from tests.support.ledger_lines import NOON, a_settlement, an_admission
from tests.unit.database.migrations.versions.conftest import rows, upgrade_to, write

OPEN = {
    "attempt_id": "att_1",
    "exchange_id": "req_1",
    "team": "search",
    "subject": "key:search/web",
    "key_id": "k1",
    "model": "gpt-4o",
    "cost": 400,
    "input_tokens": 80,
    "output_tokens": 20,
    "images": 0,
    "audio_milliseconds": 0,
}
CHARGED = OPEN | {"settled_at": NOON + 1000, "cost": 340, "input_tokens": 90, "output_tokens": 11}


def test_what_is_admitted_is_under_way(database: Database) -> None:
    upgrade_to(database, "0002")
    write(database, an_admission("att_1"))
    assert rows(database, UNDER_WAY) == [OPEN]
    assert rows(database, CHARGES) == []


def test_what_is_settled_is_charged_and_under_way_no_more(database: Database) -> None:
    upgrade_to(database, "0002")
    write(database, an_admission("att_1"), a_settlement("att_1"))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def test_a_line_that_is_there_already_changes_nothing(database: Database) -> None:
    upgrade_to(database, "0002")
    lines = an_admission("att_1"), a_settlement("att_1")
    write(database, *lines)
    write(database, *lines, a_settlement("att_1", cost=999, settled_at=NOON))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def test_lines_of_before_are_taken_over(database: Database) -> None:
    upgrade_to(database, "0001")
    write(database, an_admission("att_1"), an_admission("att_2"), a_settlement("att_2"))
    upgrade_to(database, "0002")
    assert rows(database, UNDER_WAY) == [OPEN]
    assert rows(database, CHARGES) == [CHARGED | {"attempt_id": "att_2"}]


def test_what_was_under_way_before_is_charged_when_it_is_settled(database: Database) -> None:
    upgrade_to(database, "0001")
    write(database, an_admission("att_1"))
    upgrade_to(database, "0002")
    write(database, a_settlement("att_1"))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def test_the_larger_ledgers_of_postgresql_have_an_index_by_team(database: Database) -> None:
    upgrade_to(database, "0002")
    by_team = [["team", "settled_at"]] if database.engine.dialect.name == "postgresql" else []
    assert [index["column_names"] for index in inspect(database.engine).get_indexes("charges")] == by_team
