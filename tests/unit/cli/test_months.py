"""`gateway months`: close, list, show."""

import csv
import io
from collections.abc import Iterator

import msgspec
import pytest
from typer.testing import CliRunner, Result

from gateway.cli.actor import at_the_keyboard
from gateway.cli.months import command
from gateway.database.engine import Database
from gateway.metering.reports.month import Month
from tests.support.acts import acts
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import an_adjustment, write
from tests.unit.cli.conftest import Installation

MAY = Month(2024, 5)


@pytest.fixture
def database(gateway: Installation) -> Iterator[Database]:
    """Of an installation that was used in May 2024."""
    with closing_database(migrated(gateway.environment["GATEWAY_DATABASE_URL"])) as database:
        write(database, an_admission("att_1"), a_settlement("att_1", settled_at=MAY.since + 5))
        write(database, an_admission("att_2", team="ads", model="[bold]", admitted_at=MAY.since))
        write(database, a_settlement("att_2", settled_at=MAY.since + 6, cost=None))
        yield database


@pytest.fixture
def months(gateway: Installation, database: Database) -> "Months":
    return Months(gateway)


class Months:
    def __init__(self, gateway: Installation) -> None:
        self._gateway = gateway

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(command, list(words), env=self._gateway.environment)


def test_a_month_is_closed_once(months: Months, database: Database) -> None:
    first = months("close", "2024-05")
    assert (first.exit_code, first.stdout) == (0, "")
    assert "2024-05 is closed: 2 attempts, 0.000340 USD." in first.stderr
    again = months("close", "2024-05")
    assert again.exit_code == 0
    assert "2024-05 is closed since 20" in again.stderr
    assert "Nothing was changed." in again.stderr
    (act,) = acts(database)
    assert (act.actor, act.action, act.target) == (at_the_keyboard().name, "month.closed", "month:2024-05")


def test_closing_warns_of_what_has_no_price(months: Months) -> None:
    told = " ".join(months("close", "2024-05").stderr.split())
    assert "! The cost of 1 attempt is not known" in told
    assert "`gateway prices rerate --since 2024-05 --until 2024-06`" in told


def test_closing_warns_of_what_is_not_settled(months: Months, database: Database) -> None:
    write(database, an_admission("att_9", admitted_at=MAY.since))
    told = months("close", "2024-05").stderr
    assert "! Admitted before the month's end and not settled: 1 attempt (att_9)." in told


def test_an_empty_month_can_be_closed(months: Months) -> None:
    assert "2024-04 is closed. Nothing was settled in it." in months("close", "2024-04").stderr


def test_a_month_to_come_is_refused(months: Months) -> None:
    told = months("close", "9000-01")
    assert told.exit_code == 1
    assert "9000-01 is not over" in told.stderr


@pytest.mark.parametrize("words", [["close", "may"], ["show", "2024-5"]])
def test_what_is_no_month_is_a_wrong_use(months: Months, words: list[str]) -> None:
    told = months(*words)
    assert told.exit_code == 2
    assert "is no month" in told.stderr


def test_a_month_that_is_not_closed_cannot_be_shown(months: Months) -> None:
    told = months("show", "2024-05")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "`gateway months close 2024-05`" in told.stderr


def test_what_is_shown_stays_and_restatements_stand_beside_it(months: Months, database: Database) -> None:
    months("close", "2024-05")
    write(database, an_adjustment("att_1", settled_at=MAY.since + 5, cost=-40))
    shown = months("show", "2024-05")
    assert shown.exit_code == 0
    heading, ads, search, total = (line.split() for line in shown.stdout.splitlines())
    assert heading[-5:] == ["frozen", "USD", "restated", "USD", "today"]
    assert ads == ["ads", "[bold]", "1", "90", "11", "0.000000", "0.000000", "1", "unpriced"]
    assert search == ["search", "gpt-4o", "1", "90", "11", "0.000340", "-0.000040", "0.000300"]
    assert total == ["all", "2", "0.000340", "-0.000040", "0.000300"]
    assert "Restated since: -0.000040 USD." in shown.stderr


def test_a_month_to_which_nothing_was_added_says_so(months: Months) -> None:
    months("close", "2024-05")
    assert "The ledger says the same today." in months("show", "2024-05").stderr


def test_a_file_has_every_measure(months: Months, database: Database) -> None:
    months("close", "2024-05")
    write(database, an_adjustment("att_1", settled_at=MAY.since + 5, cost=60))
    shown = months("show", "2024-05", "--format", "csv")
    _, row = csv.DictReader(io.StringIO(shown.stdout))
    assert (row["month"], row["team"], row["model"]) == ("2024-05", "search", "gpt-4o")
    assert (row["frozen_cost_microdollars"], row["restated_cost_microdollars"]) == ("340", "60")
    assert (row["frozen_attempts"], row["restated_attempts"]) == ("1", "0")


def test_closed_months_are_listed(months: Months) -> None:
    months("close", "2024-05")
    months("close", "2024-04")
    (first, second) = msgspec.json.decode(months("list", "--format", "json").stdout)
    assert (first["month"], first["attempts"]) == ("2024-04", 0)
    assert (second["month"], second["cost_microdollars"], second["unpriced"]) == ("2024-05", 340, 1)
    heading, _, may = months("list").stdout.splitlines()
    assert heading.split() == ["month", "closed", "attempts", "USD"]
    assert may.split()[-4:] == ["2", "0.000340", "1", "unpriced"]


def test_that_nothing_is_closed_is_told(months: Months) -> None:
    listed = months("list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "No month is closed yet." in listed.stderr
