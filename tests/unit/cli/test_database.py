"""Commands read what is there, and change no tables."""

from tests.support.database import closing_database
from tests.unit.cli.conftest import Installation


def test_a_database_that_is_not_there_is_not_made(gateway: Installation) -> None:
    (gateway.folder / "gateway.db").unlink()
    printed = gateway("usage")
    assert (printed.exit_code, (gateway.folder / "gateway.db").exists()) == (1, False)
    assert "There is no database at" in printed.stderr


def test_tables_of_another_release_are_left_as_they_are(gateway: Installation) -> None:
    with closing_database(gateway.environment["GATEWAY_DATABASE_URL"]) as database:
        with database.transaction(writes=True) as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
        printed = gateway("usage")
        with database.transaction(writes=False) as connection:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    assert (printed.exit_code, found) == (1, "0002")
    assert "of another release" in printed.stderr
