"""`gateway chargeback`: a month's costs for finance, exact, and for ever the same once it is closed."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli.chargeback import chargeback
from gateway.cli.months import command as months
from gateway.database.engine import Database
from gateway.database.tables import DAILY
from gateway.metering.reports.focus import COLUMNS
from gateway.metering.reports.month import Month
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import DAY, a_settlement, an_admission
from tests.support.policy_files import write_policies
from tests.support.written_lines import an_adjustment, rows, write
from tests.unit.cli.conftest import Installation

MAY = Month(2024, 5)

command = typer.Typer()
command.command()(chargeback)


class Finance:
    """Asks for chargebacks."""

    def __init__(self, gateway: Installation) -> None:
        self._environment = gateway.environment

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(command, list(words), env=self._environment)

    def close(self) -> None:
        assert CliRunner().invoke(months, ["close", "2024-05"], env=self._environment).exit_code == 0


@pytest.fixture
def database(gateway: Installation) -> Iterator[Database]:
    """May 2024: the team `ads` with a cost centre, and `search` with one of its key's."""
    write_policies(
        gateway.folder,
        ads='cost_centre: "4711"\n',
        search='cost_centre: "0815"\nkeys:\n  web:\n    cost_centre: "0816"\n',
    )
    gateway.new_key("search", "web")
    with closing_database(migrated(gateway.environment["GATEWAY_DATABASE_URL"])) as database:
        write(database, an_admission("att_1", team="ads", key_id="k1"))
        write(database, a_settlement("att_1", settled_at=MAY.since + 5, cost=340))
        write(database, an_admission("att_2", team="search", key_id="k2", upstream="azure-eu"))
        write(database, a_settlement("att_2", settled_at=MAY.since + 3 * DAY, cost=1_000_001))
        yield database


@pytest.fixture
def finance(gateway: Installation, database: Database) -> Finance:
    return Finance(gateway)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_it_is_a_csv_file_in_focus_columns(finance: Finance) -> None:
    printed = finance("2024-05")
    assert printed.exit_code == 0
    first, second = read(printed.stdout)
    assert list(first) == list(COLUMNS)
    assert (first["BilledCost"], first["SubAccountId"], first["x_CostCentre"]) == ("0.000340", "ads", "4711")
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == (
        "2024-05-01T00:00:00Z",
        "2024-05-02T00:00:00Z",
    )
    assert (first["BillingPeriodStart"], first["BillingPeriodEnd"]) == (
        "2024-05-01T00:00:00Z",
        "2024-06-01T00:00:00Z",
    )
    assert (second["BilledCost"], second["x_CostCentre"]) == ("1.000001", "0815")


def test_billed_costs_add_up_to_the_ledger(finance: Finance, database: Database) -> None:
    billed = sum(Decimal(row["BilledCost"]) for row in read(finance("2024-05").stdout))
    assert billed * 1_000_000 == sum(row["cost"] for row in rows(database, DAILY))


def test_a_key_may_have_a_cost_centre_of_its_own(finance: Finance, gateway: Installation) -> None:
    (key,) = gateway("keys", "list").stdout.splitlines()[1:]
    with closing_database(gateway.environment["GATEWAY_DATABASE_URL"]) as database:
        write(database, an_admission("att_3", team="search", key_id=key.split()[0]))
        write(database, a_settlement("att_3", settled_at=MAY.since + 9 * DAY, cost=1))
    assert [row["x_CostCentre"] for row in read(finance("2024-05").stdout)] == ["4711", "0815", "0816"]


def test_an_open_month_is_marked(finance: Finance) -> None:
    told = finance("2024-05").stderr
    assert "! 2024-05 is not closed: these figures may still change." in told
    assert "2024-05 (not closed): 2 rows, 1.000341 USD." in told


def test_a_closed_month_stays_byte_for_byte(finance: Finance, database: Database) -> None:
    before = finance("2024-05").stdout
    finance.close()
    write(database, an_adjustment("att_1", settled_at=MAY.since + 5, cost=60))
    after = finance("2024-05")
    assert after.stdout == before
    assert "2024-05 (closed since 20" in after.stderr
    assert "not closed" not in after.stderr


def test_restatements_are_corrections(finance: Finance, database: Database) -> None:
    finance.close()
    frozen = finance("2024-05").stdout
    write(database, an_adjustment("att_1", settled_at=MAY.since + 5, cost=-40))
    printed = finance("2024-05", "--restatements")
    assert printed.stdout.startswith(frozen)
    *_, correction = read(printed.stdout)
    assert (correction["ChargeClass"], correction["BilledCost"]) == ("Correction", "-0.000040")
    assert (correction["SubAccountId"], correction["ChargePeriodStart"]) == ("ads", "2024-05-01T00:00:00Z")
    assert "Corrections: 1 row, -0.000040 USD." in printed.stderr


def test_who_sells_is_known_by_the_upstream(finance: Finance) -> None:
    first, second = read(finance("2024-05").stdout)
    assert (first["ProviderName"], first["ServiceName"]) == ("OpenAI", "OpenAI API")
    assert {second[f"{who}Name"] for who in ("Provider", "Publisher", "InvoiceIssuer")} == {"azure-eu"}


def test_azure_is_sold_by_microsoft(finance: Finance, gateway: Installation) -> None:
    gateway.environment["GATEWAY_UPSTREAMS__AZURE-EU__KIND"] = "azure"
    gateway.environment["GATEWAY_UPSTREAMS__AZURE-EU__BASE_URL"] = "https://eu.example.com"
    _, second = read(finance("2024-05").stdout)
    assert (second["ProviderName"], second["PublisherName"], second["ServiceName"]) == (
        *("Microsoft", "OpenAI", "Azure OpenAI"),
    )


def test_what_has_no_price_is_empty_and_told(finance: Finance, database: Database) -> None:
    write(database, an_admission("att_3", team="zoo"))
    write(database, a_settlement("att_3", settled_at=MAY.since, cost=None))
    printed = finance("2024-05")
    assert [row["BilledCost"] for row in read(printed.stdout) if row["SubAccountId"] == "zoo"] == [""]
    assert "! The cost of 1 attempt is not known" in printed.stderr
    assert "`gateway prices rerate --since 2024-05 --until 2024-06`" in printed.stderr


def test_what_was_priced_since_is_known_with_its_correction(finance: Finance, database: Database) -> None:
    write(database, an_admission("att_3", team="zoo"))
    write(database, a_settlement("att_3", settled_at=MAY.since, cost=None))
    finance.close()
    write(database, an_adjustment("att_3", settled_at=MAY.since, cost=7, unpriced=-1))
    assert "is not known" in finance("2024-05").stderr
    printed = finance("2024-05", "--restatements")
    assert "is not known" not in printed.stderr
    assert sum(Decimal(row["BilledCost"] or 0) for row in read(printed.stdout)) == Decimal("1.000348")


def test_json_has_numbers_and_moments(finance: Finance) -> None:
    printed = finance("2024-05", "--format", "json")
    assert '"BilledCost":0.000340' in printed.stdout
    first, _ = msgspec.json.decode(printed.stdout)
    assert (first["ChargePeriodStart"], first["ChargeClass"]) == ("2024-05-01T00:00:00Z", None)


def test_parquet_has_exact_decimals(finance: Finance, tmp_path: Path) -> None:
    file = tmp_path / "may.parquet"
    assert finance("2024-05", "--format", "parquet", "--output", str(file)).exit_code == 0
    assert file.read_bytes()[:4] == file.read_bytes()[-4:] == b"PAR1"


def test_a_file_is_whole_or_not_there(finance: Finance, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "may.csv"
    told = finance("2024-05", "--output", str(file))
    assert told.exit_code == 1
    assert "cannot be written" in told.stderr
    assert not file.parent.exists()


def test_a_month_without_anything_has_a_heading(finance: Finance) -> None:
    printed = finance("2024-04")
    assert (printed.exit_code, printed.stdout) == (0, ",".join(COLUMNS) + "\n")
    assert "Nothing was spent in 2024-04." in printed.stderr


def test_what_is_no_month_is_a_wrong_use(finance: Finance) -> None:
    assert finance("may").exit_code == 2
