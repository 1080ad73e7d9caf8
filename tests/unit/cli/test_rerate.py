"""`gateway prices rerate`: what it asks, writes and tells."""

import csv
import io
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli.actor import at_the_keyboard
from gateway.cli.months import command as months
from gateway.cli.rerate import rerate
from gateway.core.attempt import Cause
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS
from gateway.metering.reports.month import Month
from tests.support.acts import acts
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.policy_files import write_models, write_policies
from tests.support.written_lines import rows, write
from tests.unit.cli.conftest import Installation

MAY = Month(2024, 5)
MODELS = """
models:
  gpt-4o: {upstream: openai}
  gone: {upstream: openai}
"""
PRICES = """
models:
  gpt-4o: {input: 0.000050}
"""

command = typer.Typer()
command.command()(rerate)


class Desk:
    def __init__(self, gateway: Installation) -> None:
        self._environment = gateway.environment

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(command, list(words), env=self._environment)

    def close(self) -> None:
        assert CliRunner().invoke(months, ["close", "2024-05"], env=self._environment).exit_code == 0


@pytest.fixture
def database(gateway: Installation) -> Iterator[Database]:
    """In May 2024 a million tokens of input cost 40 micro-dollars; by the book they cost 50."""
    write_models(write_policies(gateway.folder), MODELS, PRICES)
    with closing_database(migrated(gateway.environment["GATEWAY_DATABASE_URL"])) as database:
        attempt(database, "att_1")
        attempt(database, "att_2", cost=None)
        yield database


@pytest.fixture
def desk(gateway: Installation, database: Database) -> Desk:
    return Desk(gateway)


def attempt(database: Database, name: str, model: str = "gpt-4o", **settled: object) -> None:
    usage = Usage(UsageSource.PROVIDER, input_tokens=1_000_000)
    values = {"settled_at": MAY.since, "usage": usage, "cost": 40} | settled
    write(database, an_admission(name, model=model, endpoint="chat_completions"))
    write(database, a_settlement(name, **values))


def test_differences_are_written_and_told(desk: Desk, database: Database) -> None:
    told = desk("--since", "2024-05", "--until", "2024-06")
    assert told.exit_code == 0, told.stderr
    heading, row, total = (line.split() for line in told.stdout.splitlines())
    assert heading == ["team", "model", "attempts", "touched", "USD", "before", "after", "difference"]
    figures = ["2", "2", "0.000040", "0.000100", "+0.000060"]
    assert row == ["search", "gpt-4o", *figures, "1", "became", "priced"]
    assert total == ["all", *figures]
    assert "Corrected: 2 of 2 attempts, by price book" in told.stderr
    assert [line["cost"] for line in rows(database, ADJUSTMENTS)] == [10, 50]


def test_who_re_rated_is_on_record(desk: Desk, database: Database) -> None:
    desk("--since", "2024-05", "--model", "gpt-4o")
    begun, ended = acts(database)
    assert (begun.action, ended.action) == ("prices.rerating", "prices.rerated")
    assert {begun.actor, ended.actor} == {at_the_keyboard().name}
    assert (ended.details["models"], ended.details["attempts"]) == (["gpt-4o"], 2)


def test_a_second_time_changes_nothing(desk: Desk, database: Database) -> None:
    desk("--since", "2024-05")
    before = rows(database, ADJUSTMENTS)
    assert "Corrected: 0 of 2 attempts" in desk("--since", "2024-05").stderr
    assert rows(database, ADJUSTMENTS) == before


def test_a_dry_run_only_tells(desk: Desk, database: Database) -> None:
    told = desk("--since", "2024-05", "--dry-run")
    assert "Would be corrected: 2 of 2 attempts" in told.stderr
    assert acts(database) == []
    assert rows(database, ADJUSTMENTS) == []


def test_a_closed_month_is_not_restated_unasked(desk: Desk, database: Database) -> None:
    desk.close()
    told = desk("--since", "2024-05")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "2024-05 is closed: what changes there becomes a restatement." in told.stderr
    assert "add --yes" in told.stderr
    assert rows(database, ADJUSTMENTS) == []


def test_a_closed_month_is_restated_when_told_to(desk: Desk, database: Database) -> None:
    desk.close()
    told = desk("--since", "2024-05", "--yes")
    assert told.exit_code == 0
    assert "`gateway months show 2024-05` shows what is restated." in told.stderr
    assert len(rows(database, ADJUSTMENTS)) == 2


def test_a_dry_run_over_a_closed_month_need_not_ask(desk: Desk) -> None:
    desk.close()
    assert desk("--since", "2024-05", "--dry-run").exit_code == 0


def test_other_months_need_not_be_asked_about(desk: Desk) -> None:
    desk.close()
    told = desk("--since", "2024-06")
    assert told.exit_code == 0
    assert "The ledger has no settled attempt from 2024-06-01 until now (UTC)." in told.stderr


def test_only_models_that_are_named_are_touched(desk: Desk, database: Database) -> None:
    told = desk("--since", "2024-05", "--model", "gone")
    assert told.exit_code == 0
    assert rows(database, ADJUSTMENTS) == []


def test_a_model_that_there_is_not_is_a_wrong_use(desk: Desk) -> None:
    told = desk("--since", "2024-05", "--model", "gpt-99")
    assert told.exit_code == 2
    assert "gpt-99" in told.stderr


def test_what_keeps_its_cost_is_told(desk: Desk, database: Database) -> None:
    attempt(database, "att_3", "gone")
    attempt(database, "att_4", cause=Cause.CRASH)
    told = desk("--since", "2024-05").stderr
    assert "prices.yaml has no price for it any more: 1 attempt." in told
    assert "nobody knows in which service tier it was answered: 1 attempt." in told


def test_from_when_on_must_be_said(desk: Desk) -> None:
    told = desk()
    assert told.exit_code == 2
    assert "--since 2026-10-01" in told.stderr


def test_csv_has_micro_dollars(desk: Desk) -> None:
    (row,) = csv.DictReader(io.StringIO(desk("--since", "2024-05", "--dry-run", "--format", "csv").stdout))
    assert (row["before_microdollars"], row["after_microdollars"]) == ("40", "100")
    assert (row["difference_microdollars"], row["became_priced"], row["dry_run"]) == ("60", "1", "true")
