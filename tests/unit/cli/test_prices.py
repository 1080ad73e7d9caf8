"""`gateway prices check`: the price book on a day."""

import msgspec
import pytest
from typer.testing import CliRunner, Result

from gateway.cli.prices import command
from gateway.metering.prices.outlook import Outlook
from tests.support.policy_files import write_models
from tests.unit.cli.conftest import Installation

MODELS = "models: {gpt-5: {upstream: openai}, gpt-4o: {upstream: openai}}"
PRICES = """
models:
  gpt-5:
    - {input: 1.25, output: 10, until: 2026-12-25}
    - {input: 1.00, output: 10, from: 2026-12-25}
"""


def check(gateway: Installation, *words: str) -> Result:
    return CliRunner().invoke(command, ["check", *words], env=gateway.environment)


@pytest.fixture
def two_models(gateway: Installation) -> Installation:
    write_models(gateway.policies, MODELS, PRICES)
    return gateway


def test_the_shipped_book_is_good(gateway: Installation) -> None:
    checked = check(gateway)
    assert checked.exit_code == 0, checked.stderr
    assert "gpt-6-sol" in checked.stdout
    assert "Without a price" not in checked.stdout
    assert "Gaps" not in checked.stdout


def test_it_shows_the_book_of_the_day_that_is_asked_for(two_models: Installation) -> None:
    before, after = (check(two_models, "--at", day).stdout for day in ("2026-12-24", "2026-12-25"))
    assert "2026-12-24 UTC" in before
    assert [line.split()[:4] for line in before.splitlines() if "gpt-5  standard" in line][:1] == [
        ["gpt-5", "standard", "1.25", "10.00"]
    ]
    assert "1.25" not in after
    assert "Changes" in before
    assert "Changes" not in after


def test_without_a_day_it_is_today_s(two_models: Installation) -> None:
    assert check(two_models).stdout.splitlines()[0].startswith("price book ")


def test_models_without_a_price_are_named(two_models: Installation) -> None:
    _, _, named = check(two_models, "--at", "2026-12-24").stdout.partition("Without a price\n")
    assert named.split() == ["gpt-4o"]


def test_json_is_the_whole_of_it(two_models: Installation) -> None:
    checked = check(two_models, "--at", "2026-12-24", "--format", "json")
    found = msgspec.json.decode(checked.stdout, type=Outlook)
    assert checked.stderr == ""
    assert (found.at, found.without_price) == ("2026-12-24", ("gpt-4o",))
    assert found.models[0].lines[0].rates == {"input": 1_250_000, "output": 10_000_000}
    assert [change.day for change in found.changes] == ["2026-12-25"]


def test_files_that_are_wrong_are_told_with_file_and_line(two_models: Installation) -> None:
    (two_models.policies / "prices.yaml").write_text("models:\n  gpt-5: {input: -1}\n  gpt-4o: {inputs: 1}\n")
    checked = check(two_models)
    assert (checked.exit_code, checked.stdout) == (1, "")
    told = [line.removeprefix(f"✗ {two_models.policies}/") for line in checked.stderr.splitlines()]
    assert told == [
        "prices.yaml:2: models.gpt-5.input: must be at least 0",
        "prices.yaml:3: models.gpt-4o.inputs: unknown key; did you mean `input`?",
    ]


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01", "2026-02-29", "20261224", "2026-12-24T12:00"])
def test_what_is_no_day_is_told(two_models: Installation, day: str) -> None:
    checked = check(two_models, "--at", day)
    assert checked.exit_code == 2
    assert "2026-12-24" in checked.stderr


def test_it_needs_no_database(two_models: Installation) -> None:
    (two_models.folder / "gateway.db").unlink()
    check(two_models)
    assert [file.name for file in two_models.folder.iterdir()] == ["policies"]
