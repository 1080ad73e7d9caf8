"""What is under way and what was charged follows from the ledger's lines, those of before included."""

from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Table, select

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.database.statements import insertion
from gateway.database.tables import ADMISSIONS, CHARGES, SETTLEMENTS, UNDER_WAY
from gateway.metering.interfaces import Admission, Settlement
from gateway.metering.ledger.rows import admission_row, settlement_row
from tests.support.ledger_lines import NOON, a_settlement, an_admission

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


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database that nobody has upgraded yet."""
    database = open_database(f"sqlite:///{tmp_path / 'gateway.db'}")
    yield database
    database.engine.dispose()


def upgrade_to(database: Database, version: str) -> None:
    with database.transaction(writes=True) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gateway.database:migrations")
        command.upgrade(config, version)


def write(database: Database, *lines: Admission | Settlement) -> None:
    with database.transaction(writes=True) as connection:
        for line in lines:
            if isinstance(line, Admission):
                table, row = ADMISSIONS, admission_row(line, "wrk_1")
            else:
                table, row = SETTLEMENTS, settlement_row(line)
            connection.exec_driver_sql(insertion(database.engine, table), row)


def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    with database.transaction(writes=False) as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def test_what_is_admitted_is_under_way(database: Database) -> None:
    upgrade(database)
    write(database, an_admission("att_1"))
    assert rows(database, UNDER_WAY) == [OPEN]
    assert rows(database, CHARGES) == []


def test_what_is_settled_is_charged_and_under_way_no_more(database: Database) -> None:
    upgrade(database)
    write(database, an_admission("att_1"), a_settlement("att_1"))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def test_a_line_that_is_there_already_changes_nothing(database: Database) -> None:
    upgrade(database)
    lines = an_admission("att_1"), a_settlement("att_1")
    write(database, *lines)
    write(database, *lines, a_settlement("att_1", cost=999, settled_at=NOON))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def test_lines_of_before_are_taken_over(database: Database) -> None:
    upgrade_to(database, "0001")
    write(database, an_admission("att_1"), an_admission("att_2"), a_settlement("att_2"))
    upgrade(database)
    assert rows(database, UNDER_WAY) == [OPEN]
    assert rows(database, CHARGES) == [CHARGED | {"attempt_id": "att_2"}]


def test_what_was_under_way_before_is_charged_when_it_is_settled(database: Database) -> None:
    upgrade_to(database, "0001")
    write(database, an_admission("att_1"))
    upgrade(database)
    write(database, a_settlement("att_1"))
    assert rows(database, UNDER_WAY) == []
    assert rows(database, CHARGES) == [CHARGED]


def postgresql_script() -> str:
    script = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script}
    )
    with Operations.context(context):
        import_module("gateway.database.migrations.versions.v0002_what_budgets_ask").upgrade()
    return script.getvalue()


def test_postgresql_does_the_same_by_functions() -> None:
    script = postgresql_script()
    for table, name in (("admissions", "ledger_admitted"), ("settlements", "ledger_settled")):
        assert f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql" in script
        trigger = f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
        assert trigger in script


def test_postgresql_has_an_index_by_team() -> None:
    assert "CREATE INDEX charges_by_team ON charges (team, settled_at)" in postgresql_script()
