"""What reports say: the same from every ledger, whatever is in it and whatever is asked.

The ledger in memory is the plainest statement of it; SQLite and PostgreSQL answer from sums that triggers
keep, and from lines where a range begins or ends within a day.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, insert

from gateway.core.attempt import Cause
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, CHARGES, DAILY, SETTLEMENTS, UNDER_WAY
from gateway.metering.interfaces import (
    GROUPS,
    NARROWING,
    Adjustment,
    Admission,
    PricedBy,
    Reason,
    Settlement,
    UsageReports,
    UsageRow,
)
from gateway.metering.ledger.memory import MemoryLedger
from gateway.metering.ledger.rows import admission_row, settlement_row
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.postgres import PostgresServer, fresh_database

MIDNIGHT = NOON - DAY // 2
_ADJUSTED = tuple(column.name for column in ADJUSTMENTS.columns)
TABLES = (DAILY, CHARGES, UNDER_WAY, ADJUSTMENTS, SETTLEMENTS, ADMISSIONS)


@dataclass(frozen=True)
class Lines:
    """What is in a ledger."""

    admissions: Sequence[Admission]
    settlements: Sequence[Settlement]
    adjustments: Sequence[Adjustment]

    def in_memory(self) -> MemoryLedger:
        ledger = MemoryLedger()
        for admission in self.admissions:
            asyncio.run(ledger.admit(admission))
        for settlement in self.settlements:
            ledger.settle(settlement)
        for adjustment in self.adjustments:
            ledger.adjust(adjustment)
        return ledger

    def write(self, database: Database) -> None:
        """In the place of what was there."""
        rows: Mapping[Table, Sequence[dict[str, Any]]] = {
            ADMISSIONS: [named(ADMISSIONS, admission_row(each, "wrk_1")) for each in self.admissions],
            SETTLEMENTS: [named(SETTLEMENTS, settlement_row(each)) for each in self.settlements],
            ADJUSTMENTS: [adjustment_row(each) for each in self.adjustments],
        }
        with database.transaction(writes=True) as connection:
            for table in TABLES:
                connection.execute(table.delete())
            for table, lines in rows.items():
                if lines:
                    connection.execute(insert(table), lines)


def named(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(table.columns.keys(), row, strict=True))


def adjustment_row(adjustment: Adjustment) -> dict[str, Any]:
    row = {name: getattr(adjustment, name) for name in _ADJUSTED if hasattr(adjustment, name)}
    return {**row, **adjustment.usage._asdict()}


@dataclass(frozen=True)
class Question:
    by: tuple[str, ...]
    since: int | None = None
    until: int | None = None
    only: Mapping[str, str] | None = None

    def of(self, reports: UsageReports) -> Sequence[UsageRow]:
        return asyncio.run(reports.usage(self.by, self.since, self.until, self.only or {}))


counts = st.integers(0, 2**40)
moments = st.integers(MIDNIGHT - 40 * DAY, MIDNIGHT + 2 * DAY) | st.integers(-2, 2).map(
    lambda milliseconds: MIDNIGHT + milliseconds
)
usages = st.builds(Usage, st.sampled_from(UsageSource), *[st.just(0) | counts for _ in Usage._fields[1:]])


@st.composite
def ledgers(draw: st.DrawFn) -> Lines:
    lines = Lines([], [], [])
    for number in range(draw(st.integers(0, 8))):
        attempt = f"att_{number}"
        lines.admissions.append(  # type: ignore[attr-defined]
            an_admission(
                attempt,
                number=draw(st.integers(1, 2)),
                team=draw(st.sampled_from(["search", "ads"])),
                subject=draw(st.sampled_from(["alice", "bob"])),
                key_id=draw(st.sampled_from(["k1", "k2"])),
                model=draw(st.sampled_from(["gpt-4o", "o3"])),
                endpoint=draw(st.sampled_from(["create_response", "create_embedding"])),
                upstream=draw(st.sampled_from(["openai", "azure"])),
            )
        )
        if draw(st.booleans()) and number:
            continue  # under way
        settlement = a_settlement(
            attempt,
            settled_at=draw(moments),
            cause=draw(st.sampled_from(Cause)),
            usage=draw(usages),
            cost=draw(st.none() | counts),
            answered_model=draw(st.none() | st.just("gpt-4o-2024-08-06")),
            service_tier=draw(st.sampled_from([None, "", "default", "flex"])),
        )
        lines.settlements.append(settlement)  # type: ignore[attr-defined]
        lines.adjustments.extend(  # type: ignore[attr-defined]
            an_adjustment(draw, settlement, f"adj_{number}_{nth}") for nth in range(draw(st.integers(0, 2)))
        )
    return lines


def an_adjustment(draw: st.DrawFn, settlement: Settlement, id_: str) -> Adjustment:
    differences = st.integers(-(2**40), 2**40)
    return Adjustment(
        id=id_,
        attempt_id=settlement.attempt_id,
        settled_at=settlement.settled_at,
        adjusted_at=settlement.settled_at + draw(st.integers(0, 90 * DAY)),
        reason=draw(st.sampled_from(Reason)),
        usage=Usage(draw(st.sampled_from(UsageSource)), *[draw(differences) for _ in Usage._fields[1:]]),
        cost=draw(differences),
        unpriced=draw(st.integers(-1, 1)),
        estimated=draw(st.integers(-1, 1)),
        priced_by=draw(st.sampled_from(PricedBy)),
        price_version="77d2",
    )


ends = st.none() | moments | st.integers(-3, 3).map(lambda days: MIDNIGHT + days * DAY)
questions = st.builds(
    Question,
    by=st.lists(st.sampled_from(GROUPS), unique=True, max_size=4).map(tuple),
    since=ends,
    until=ends,
    only=st.dictionaries(
        st.sampled_from(NARROWING),
        st.sampled_from(["search", "alice", "k1", "o3", "openai", "flex", ""]),
        max_size=1,
    ),
)
EVERY_GROUP = [Question((group,)) for group in GROUPS]


@pytest.fixture(scope="module")
def databases(
    postgres_server: PostgresServer, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[Database]]:
    """Both engines, in which any number of ledgers are written one after the other."""
    file: Path = tmp_path_factory.mktemp("reports") / "gateway.db"
    with ExitStack() as stack:
        server = stack.enter_context(fresh_database(postgres_server, template=postgres_template))
        yield [stack.enter_context(closing_database(url)) for url in (migrated(f"sqlite:///{file}"), server)]


@settings(max_examples=60)
@given(lines=ledgers(), asked=st.lists(questions, min_size=3, max_size=3))
def test_every_ledger_says_the_same(
    databases: Sequence[Database], lines: Lines, asked: Sequence[Question]
) -> None:
    memory = lines.in_memory()
    for database in databases:
        lines.write(database)
        for question in (*EVERY_GROUP, *asked):
            assert question.of(SqlUsageReports(database)) == question.of(memory), question


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def report(request: pytest.FixtureRequest, databases: Sequence[Database]) -> Any:
    """Writes lines, and gives what is said of them."""

    def of(lines: Lines, question: Question) -> Sequence[UsageRow]:
        if request.param == "memory":
            return question.of(lines.in_memory())
        (database,) = (each for each in databases if each.engine.dialect.name == request.param)
        lines.write(database)
        return question.of(SqlUsageReports(database))

    return of


TWO = Lines(
    [an_admission("att_1"), an_admission("att_2", team="ads", number=2, retry_of="att_1")],
    [a_settlement("att_1"), a_settlement("att_2", settled_at=MIDNIGHT - 1, cost=None, service_tier=None)],
    [],
)


@pytest.mark.parametrize(
    ("group", "groups"),
    [
        ("team", ["ads", "search"]),
        ("user", ["key:search/web"]),
        ("key", ["k1"]),
        ("model", ["gpt-4o"]),
        ("endpoint", ["create_chat_completion"]),
        ("upstream", ["openai"]),
        ("tier", ["", "default"]),
        ("day", ["2026-11-17", "2026-11-18"]),
        ("month", ["2026-11"]),
    ],
)
def test_every_group_has_its_names(report: Any, group: str, groups: list[str]) -> None:
    assert [row.group for row in report(TWO, Question((group,)))] == [(name,) for name in groups]


@pytest.mark.parametrize("since", [None, MIDNIGHT - 5])
def test_a_further_attempt_is_no_further_request(report: Any, since: int | None) -> None:
    (row,) = report(TWO, Question((), since=since))
    assert (row.attempts, row.requests) == (2, 1)


@pytest.mark.parametrize(
    ("only", "attempts"),
    [
        ({"team": "ads"}, [1]),
        ({"user": "key:search/web"}, [2]),
        ({"tier": ""}, [1]),
        ({"team": "ads", "tier": "default"}, []),
        ({"model": "gpt"}, []),
    ],
)
def test_a_report_can_be_narrowed(report: Any, only: Mapping[str, str], attempts: list[int]) -> None:
    assert [row.attempts for row in report(TWO, Question((), only=only))] == attempts
    assert [row.attempts for row in report(TWO, Question((), since=MIDNIGHT - 5, only=only))] == attempts


@pytest.mark.parametrize("name", ["day", "month", "subject", "weather"])
def test_what_a_report_cannot_be_narrowed_to_is_refused(report: Any, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        report(TWO, Question((), only={name: "x"}))


@pytest.mark.parametrize(
    ("since", "until", "attempts"),
    [
        (MIDNIGHT, None, 1),
        (None, MIDNIGHT, 1),
        (MIDNIGHT - 1, None, 2),
        (MIDNIGHT - 1, MIDNIGHT, 1),
        (MIDNIGHT - 1, MIDNIGHT + DAY, 2),
        (MIDNIGHT - DAY, NOON + 1000, 1),
        (MIDNIGHT - DAY, NOON + 1001, 2),
        (NOON, NOON + 1001, 1),
        (NOON, NOON + 1000, 0),
        (MIDNIGHT + DAY, None, 0),
        (NOON + 1001, NOON, 0),
    ],
)
def test_a_range_may_begin_and_end_within_a_day(
    report: Any, since: int | None, until: int | None, attempts: int
) -> None:
    assert sum(row.attempts for row in report(TWO, Question((), since, until))) == attempts


def corrected(cost: int | None, /, **difference: Any) -> Lines:
    values: dict[str, Any] = {
        "id": "adj_1",
        "attempt_id": "att_1",
        "settled_at": MIDNIGHT,
        "adjusted_at": MIDNIGHT + 60 * DAY,
        "reason": Reason.RERATED,
        "usage": Usage(UsageSource.PROVIDER),
        "cost": 0,
        "unpriced": 0,
        "estimated": 0,
        "priced_by": PricedBy.BOOK,
        "price_version": "77d2",
    }
    settlement = a_settlement("att_1", settled_at=MIDNIGHT, cost=cost)
    return Lines([an_admission("att_1")], [settlement], [Adjustment(**values | difference)])


@pytest.mark.parametrize("since", [None, MIDNIGHT - 1])
def test_a_correction_counts_on_the_day_of_what_it_corrects(report: Any, since: int | None) -> None:
    lines = corrected(None, cost=70, unpriced=-1)
    (row,) = report(lines, Question(("day",), since=since))
    assert (row.group, row.attempts, row.cost, row.unpriced) == (("2026-11-18",), 1, 70, 0)


def test_a_correction_may_take_away(report: Any) -> None:
    lines = corrected(340, cost=-300, usage=Usage(UsageSource.PROVIDER, input_tokens=-90))
    (row,) = report(lines, Question(("team",)))
    assert (row.cost, row.input_tokens, row.output_tokens) == (40, 0, 11)


def test_days_whose_lines_have_ended_are_still_told(databases: Sequence[Database]) -> None:
    for database in databases:
        TWO.write(database)
        with database.transaction(writes=True) as connection:
            connection.execute(SETTLEMENTS.delete())
            connection.execute(ADMISSIONS.delete())
        asked = Question((), since=MIDNIGHT - 2 * DAY + 5)
        assert [row.attempts for row in asked.of(SqlUsageReports(database))] == [2]
