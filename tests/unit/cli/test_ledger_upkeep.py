"""`gateway ledger prune` and `gateway ledger erase`: what they ask, do and tell."""

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli.actor import at_the_keyboard
from gateway.cli.ledger_upkeep import erase, prune
from gateway.cli.months import command as months
from gateway.core.clock import SystemClock
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, DAILY, SETTLEMENTS
from gateway.metering.reports.month import Month
from tests.support.acts import acts
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import rows, write
from tests.unit.cli.conftest import Installation

MAY = Month(2024, 5)
ANNA = "[red]anna@example.com"

command = typer.Typer()
command.command()(prune)
command.command()(erase)


class Ledger:
    def __init__(self, gateway: Installation) -> None:
        self._environment = gateway.environment

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(command, list(words), env=self._environment)

    def close(self) -> None:
        assert CliRunner().invoke(months, ["close", "2024-05"], env=self._environment).exit_code == 0


@pytest.fixture
def database(gateway: Installation) -> Iterator[Database]:
    """An attempt of May 2024, and one of today."""
    with closing_database(migrated(gateway.environment["GATEWAY_DATABASE_URL"])) as database:
        for name, moment in (("att_1", MAY.since), ("att_2", int(SystemClock().now() * 1000))):
            write(database, an_admission(name, subject=ANNA), a_settlement(name, settled_at=moment))
        yield database


@pytest.fixture
def ledger(gateway: Installation, database: Database) -> Ledger:
    return Ledger(gateway)


def attempts(database: Database) -> list[str]:
    return [row["attempt_id"] for row in rows(database, SETTLEMENTS)]


def test_old_lines_are_deleted(ledger: Ledger, database: Database) -> None:
    ledger.close()
    told = ledger("prune", "--older-than", "400d", "--yes")
    assert told.exit_code == 0, told.stderr
    assert "Deleted: the lines of 1 attempt." in told.stderr
    assert attempts(database) == ["att_2"]
    assert len(rows(database, DAILY)) == 2


def test_who_deleted_them_is_on_record(ledger: Ledger, database: Database) -> None:
    ledger.close()
    ledger("prune", "--older-than", "400d", "--yes")
    assert [(act.actor, act.action) for act in acts(database, "ledger.")] == [
        (at_the_keyboard().name, "ledger.pruning"),
        (at_the_keyboard().name, "ledger.pruned"),
    ]


def test_a_dry_run_of_pruning_only_tells(ledger: Ledger, database: Database) -> None:
    ledger.close()
    told = ledger("prune", "--older-than", "400d", "--dry-run")
    assert told.exit_code == 0
    assert "Would be deleted: the lines of 1 attempt settled from 2024-05-01 on" in told.stderr
    assert acts(database, "ledger.") == []
    assert len(attempts(database)) == 2


def test_nothing_is_deleted_unasked(ledger: Ledger, database: Database) -> None:
    ledger.close()
    told = ledger("prune", "--older-than", "400d")
    assert told.exit_code == 1
    assert "add --yes" in told.stderr
    assert len(attempts(database)) == 2


def test_a_month_that_is_not_closed_is_not_pruned(ledger: Ledger, database: Database) -> None:
    told = ledger("prune", "--older-than", "400d", "--yes")
    assert told.exit_code == 1
    assert "2024-05 is not closed" in told.stderr
    assert len(attempts(database)) == 2


def test_a_month_that_is_not_closed_is_pruned_when_told_to(ledger: Ledger, database: Database) -> None:
    assert ledger("prune", "--older-than", "400d", "--even-if-open", "--yes").exit_code == 0
    assert attempts(database) == ["att_2"]


def test_nothing_old_is_told(ledger: Ledger) -> None:
    told = ledger("prune", "--older-than", "9000d", "--yes")
    assert told.exit_code == 0
    assert "There is nothing to delete: no attempt was settled before" in told.stderr


def test_what_budgets_count_is_refused(ledger: Ledger) -> None:
    told = ledger("prune", "--older-than", "34d", "--yes")
    assert told.exit_code == 2
    assert "last 35 days stay" in told.stderr


@pytest.mark.parametrize("age", ["400", "a year", "12h", "-3d", "2024-05"])
def test_an_age_is_in_days(ledger: Ledger, age: str) -> None:
    told = ledger("prune", f"--older-than={age}", "--yes")
    assert told.exit_code == 2
    assert "say it in days" in told.stderr


def test_a_user_is_forgotten(ledger: Ledger, database: Database) -> None:
    told = ledger("erase", "--user", ANNA, "--yes")
    assert told.exit_code == 0, told.stderr
    said = " ".join(told.stderr.split())
    assert (
        f"`{ANNA}` is forgotten: erased-… stands there now (2 in daily, 2 in admissions, 2 in charges)."
        in said
    )
    assert "run this again" in said
    assert ANNA not in str(rows(database, ADMISSIONS) + rows(database, DAILY))


def test_who_made_it_forget_is_on_record_and_not_whom(ledger: Ledger, database: Database) -> None:
    ledger("erase", "--user", ANNA, "--yes")
    found = acts(database)
    assert [(act.actor, act.action) for act in found] == [
        (at_the_keyboard().name, "ledger.erasing"),
        (at_the_keyboard().name, "ledger.erased"),
    ]
    assert "anna" not in str(found)


def test_nobody_is_forgotten_unasked(ledger: Ledger, database: Database) -> None:
    told = ledger("erase", "--user", ANNA)
    assert told.exit_code == 1
    assert "add --yes" in told.stderr
    assert ANNA in str(rows(database, ADMISSIONS))


def test_someone_unknown_is_told(ledger: Ledger) -> None:
    told = ledger("erase", "--user", "ben", "--yes")
    assert told.exit_code == 0
    assert "The ledger has nothing of `ben`." in told.stderr


def test_a_keys_own_name_is_spoken_of(ledger: Ledger) -> None:
    assert "revoke it" in ledger("erase", "--user", "key:search/anna", "--yes").stderr


def test_an_empty_name_is_a_wrong_use(ledger: Ledger) -> None:
    assert ledger("erase", "--user", " ", "--yes").exit_code == 2
