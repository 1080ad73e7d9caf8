"""Every line, with all its fields, of one moment, page by page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.ledger.rows import admission_row, settlement_row
from gateway.metering.reports import lines as lines_module
from gateway.metering.reports.lines import (
    ADJUSTED,
    ADMITTED,
    ROW,
    SETTLED,
    AttemptLines,
    LedgerLines,
    as_lines,
    as_rows,
)
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission

ALL = Range()
UNITS = Usage._fields[1:]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing_database(database_url) as database:
        yield database


@pytest.fixture
def lines(database: Database) -> LedgerLines:
    return LedgerLines(database=database)


Write = Callable[..., None]


@pytest.fixture
def admit(database: Database) -> Write:
    def write(*attempts: str, **changes: Any) -> None:
        rows = [
            dict(zip(ADMITTED, admission_row(an_admission(each, **changes), "wrk_1"), strict=True))
            for each in attempts
        ]
        with database.transaction(writes=True) as connection:
            connection.execute(insert(ADMISSIONS), rows)

    return write


@pytest.fixture
def settle(database: Database, admit: Write) -> Write:
    def write(*attempts: str, **changes: Any) -> None:
        admit(*attempts)
        rows = [
            dict(zip(SETTLED, settlement_row(a_settlement(each, **changes)), strict=True))
            for each in attempts
        ]
        with database.transaction(writes=True) as connection:
            connection.execute(insert(SETTLEMENTS), rows)

    return write


@pytest.fixture
def adjust(database: Database) -> Write:
    def write(id_: str, attempt: str, **changes: Any) -> None:
        row = {
            "id": id_,
            "attempt_id": attempt,
            "settled_at": NOON + 1000,
            "adjusted_at": NOON + 90 * DAY,
            "reason": "rerated",
            "source": "provider",
            **dict.fromkeys(UNITS, 0),
            "cost": -40,
            "unpriced": 0,
            "estimated": 0,
            "priced_by": "book",
            "price_version": "77d2",
        }
        with database.transaction(writes=True) as connection:
            connection.execute(insert(ADJUSTMENTS), [row | changes])

    return write


@contextmanager
def pages_of(attempts: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(lines_module, "_PAGE", attempts)
        yield


def ids(attempts: Sequence[AttemptLines] | Iterator[AttemptLines]) -> list[str]:
    return [each.admitted["attempt_id"] for each in attempts]


def test_a_line_has_every_field_by_the_name_of_its_column(
    lines: LedgerLines, settle: Write, adjust: Write
) -> None:
    settle("att_1")
    adjust("adj_1", "att_1")
    admitted, settled, adjusted = [line for each in lines.attempts(ALL) for line in as_lines(each)]
    assert tuple(admitted) == ("line", *ADMITTED)
    assert tuple(settled) == ("line", *SETTLED)
    assert tuple(adjusted) == ("line", *ADJUSTED)
    assert [line["line"] for line in (admitted, settled, adjusted)] == ["admitted", "settled", "adjusted"]


def test_a_line_is_as_it_was_written(lines: LedgerLines, settle: Write, adjust: Write) -> None:
    settle("att_1", cost=None, status=None)
    adjust("adj_1", "att_1", cost=70, unpriced=-1)
    (attempt,) = lines.attempts(ALL)
    assert tuple(attempt.admitted.values()) == admission_row(an_admission("att_1"), "wrk_1")
    assert attempt.settled is not None
    assert tuple(attempt.settled.values()) == settlement_row(a_settlement("att_1", cost=None, status=None))
    assert [(each["id"], each["cost"], each["unpriced"]) for each in attempt.adjusted] == [("adj_1", 70, -1)]


def test_attempts_come_in_the_order_of_their_settlement(lines: LedgerLines, settle: Write) -> None:
    settle("att_1", settled_at=NOON + 2)
    settle("att_3", "att_2", settled_at=NOON + 1)
    assert ids(lines.attempts(ALL)) == ["att_2", "att_3", "att_1"]


def test_what_is_not_settled_comes_last(lines: LedgerLines, admit: Write, settle: Write) -> None:
    admit("att_2", "att_0")
    settle("att_1")
    attempts = list(lines.attempts(ALL))
    assert ids(attempts) == ["att_1", "att_0", "att_2"]
    assert [each.settled is None for each in attempts] == [False, True, True]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Range(NOON, NOON + 1), ["att_1"]),
        (Range(NOON + 1, None), ["att_2"]),
        (Range(None, NOON), []),
        (Range(NOON - 5, NOON + 5), ["att_1", "att_2"]),
    ],
)
def test_a_range_is_of_the_time_of_settlement(
    lines: LedgerLines, settle: Write, asked: Range, found: list[str]
) -> None:
    settle("att_1", settled_at=NOON)
    settle("att_2", settled_at=NOON + 1)
    assert ids(lines.attempts(asked)) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [(Range(NOON, NOON + 1), ["att_1"]), (Range(NOON + 1, None), []), (Range(None, NOON), [])],
)
def test_what_is_not_settled_counts_when_it_was_admitted(
    lines: LedgerLines, admit: Write, asked: Range, found: list[str]
) -> None:
    admit("att_1", admitted_at=NOON)
    assert ids(lines.attempts(asked)) == found


def test_a_correction_comes_with_what_it_corrects_however_late(
    lines: LedgerLines, settle: Write, adjust: Write
) -> None:
    settle("att_1", "att_2")
    adjust("adj_2", "att_1", adjusted_at=NOON + 99 * DAY)
    adjust("adj_3", "att_1", adjusted_at=NOON + 98 * DAY)
    first, second = lines.attempts(Range(NOON, NOON + DAY))
    assert [each["id"] for each in first.adjusted] == ["adj_3", "adj_2"]
    assert second.adjusted == ()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_leave_nothing_out_and_repeat_nothing(
    lines: LedgerLines,
    admit: Write,
    settle: Write,
    adjust: Write,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    settle(*[f"att_{number}" for number in range(7)], settled_at=NOON + 1000)
    settle("att_7", settled_at=NOON + 1001)
    admit(*[f"att_9{number}" for number in range(5)])
    adjust("adj_1", "att_6")
    with pages_of(size, monkeypatch):
        attempts = list(lines.attempts(ALL))
    assert ids(attempts) == [
        *(f"att_{number}" for number in range(8)),
        *(f"att_9{number}" for number in range(5)),
    ]
    assert [each.admitted["attempt_id"] for each in attempts if each.adjusted] == ["att_6"]


def test_it_is_all_of_one_moment(
    lines: LedgerLines, admit: Write, settle: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("att_1", "att_2")
    admit("att_8")
    with pages_of(1, monkeypatch):
        attempts = lines.attempts(ALL)
        first = next(attempts)
        settle("att_3")
        admit("att_9")
        rest = list(attempts)
    assert ids([first, *rest]) == ["att_1", "att_2", "att_8"]


def test_lines_are_counted_beforehand(lines: LedgerLines, admit: Write, settle: Write, adjust: Write) -> None:
    settle("att_1", "att_2")
    admit("att_3")
    adjust("adj_1", "att_2")
    count = lines.count(Range(NOON, NOON + DAY))
    assert count.lines == sum(len(list(as_lines(each))) for each in lines.attempts(ALL)) == 6
    assert count.rows == sum(len(list(as_rows(each))) for each in lines.attempts(ALL)) == 4
    assert lines.count(Range(NOON + DAY, None)).lines == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_page_is_found_by_the_index_on_the_time(
    database: Database, lines: LedgerLines, settle: Write, adjust: Write
) -> None:
    settle("att_1", "att_2")
    adjust("adj_1", "att_2")
    plans = plans_of(database, lambda: list(lines.attempts(Range(NOON, NOON + DAY))))
    (page, *_) = [plan for statement, plan in plans if statement.startswith("SELECT admissions")]
    assert page == [
        "SEARCH settlements USING INDEX settlements_by_time (settled_at>? AND settled_at<?)",
        "SEARCH admissions USING PRIMARY KEY (attempt_id=?)",
    ]
    (corrections,) = [plan for _, plan in plans if any("adjustments_by_attempt" in step for step in plan)]
    assert corrections[0] == "SEARCH adjustments USING INDEX adjustments_by_attempt (attempt_id=?)"


def plans_of(database: Database, work: Callable[[], object]) -> list[tuple[str, list[str]]]:
    """What SQLite does for every statement of some work."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    work()
    event.remove(database.engine, "before_cursor_execute", note)
    with database.transaction(writes=False) as connection:
        return [
            (
                statement,
                [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)],
            )
            for statement, given in asked
            if statement.startswith("SELECT")
        ]


def test_a_row_has_the_columns_that_are_promised(lines: LedgerLines, settle: Write, adjust: Write) -> None:
    settle("att_1")
    adjust("adj_1", "att_1")
    (attempt,) = lines.attempts(ALL)
    first, second = as_rows(attempt)
    assert set(first) | set(second) - {"id"} == set(ROW)
    assert list(ROW) == COLUMNS
    assert ROW["stream"] is bool
    assert ROW["cost"] is int


COLUMNS = """
line attempt_id exchange_id number admitted_at team key_id subject endpoint asked_model model upstream
policy_version stream estimated_input_tokens estimated_output_tokens estimated_images
estimated_audio_milliseconds estimated_characters estimated_cost worker retry_of
settled_at cause status source input_tokens cached_tokens cache_write_tokens audio_input_tokens
image_input_tokens output_tokens reasoning_tokens audio_output_tokens image_output_tokens images
audio_milliseconds characters cost answered_model service_tier upstream_request_id priced_by price_version
adjusted_at reason unpriced estimated adjustment_id
""".split()
"""Others read files by it: what changes it is to be told."""


async def test_rows_add_up_to_the_report(
    database: Database, lines: LedgerLines, settle: Write, adjust: Write
) -> None:
    settle("att_1", cost=None)
    settle("att_2", usage=Usage(UsageSource.PARTIAL, input_tokens=5))
    settle("att_3", usage=Usage(UsageSource.ESTIMATED))
    adjust("adj_1", "att_1", cost=70, unpriced=-1)
    adjust("adj_2", "att_2", input_tokens=3, source="provider", estimated=-1)
    rows = [row for each in lines.attempts(ALL) for row in as_rows(each)]
    (report,) = await SqlUsageReports(database).usage(("team",), None, None)
    for measure in (*UNITS, "cost", "unpriced", "estimated"):
        assert sum(row.get(measure) or 0 for row in rows) == getattr(report, measure), measure
    assert {row["team"] for row in rows} == {"search"}


def test_what_is_not_settled_has_no_figures(lines: LedgerLines, admit: Write) -> None:
    admit("att_1")
    ((row,),) = [list(as_rows(each)) for each in lines.attempts(ALL)]
    assert row["line"] == "attempt"
    assert row.get("cost") is row.get("unpriced") is row.get("settled_at") is None


def test_a_database_that_is_away_is_told(database: Database, lines: LedgerLines) -> None:
    with database.transaction(writes=True) as connection:
        connection.execute(text("DROP TABLE adjustments"))
    with pytest.raises(StoreUnavailable):
        list(lines.attempts(ALL))
    with pytest.raises(StoreUnavailable):
        lines.count(ALL)
