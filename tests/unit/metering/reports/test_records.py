"""How rows of usage are put into words for machines."""

from gateway.core.usage import Usage
from gateway.metering.interfaces import UsageRow
from gateway.metering.reports.records import MEASURES, as_record, columns

ROW = UsageRow(
    group=("search", "gpt-4o"),
    attempts=2,
    input_tokens=30,
    cached_tokens=10,
    output_tokens=5,
    reasoning_tokens=1,
    cost=1234,
    unpriced=1,
)


def test_a_record_has_its_groups_before_its_measures() -> None:
    assert list(as_record(("team", "model"), ROW)) == ["team", "model", *MEASURES]


def test_a_file_has_the_columns_of_its_records() -> None:
    assert list(columns(("team", "model"))) == list(as_record(("team", "model"), ROW))


def test_every_unit_has_its_column() -> None:
    assert {*Usage._fields} - {"source"} <= {*MEASURES}


def test_money_says_its_unit() -> None:
    assert as_record(("team", "model"), ROW)["cost_microdollars"] == 1234


def test_a_row_keeps_every_number() -> None:
    record = as_record(("team", "model"), ROW)
    assert (record["model"], record["attempts"], record["input_tokens"], record["unpriced"]) == (
        "gpt-4o",
        2,
        30,
        1,
    )
