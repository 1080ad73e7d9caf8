"""Usage by buckets: the same from sums of days and from lines, and the same on both engines."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text

from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.core.usage_question import Sums, UsageQuestion, UsageSum, Whose
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.interfaces import Adjustment, Admission, Settlement
from gateway.metering.reports import organization
from gateway.metering.reports.organization import (
    LinesGone,
    SqlOrganizationUsage,
    TooManySums,
    read_usage,
    usage_queries,
)
from tests.support.clock import ManualClock
from tests.support.database import open_file, open_url
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import an_adjustment, write

DAY: Final = 86_400
HOUR: Final = 3600
MIDNIGHT: Final = 1_795_046_400
"""2026-11-19 00:00 UTC."""
NOW: Final = MIDNIGHT + 10 * HOUR
_UNITS: Final = Sums._fields[1:-2]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield database


def an_attempt(name: str, at: float, **changes: Any) -> tuple[Admission, Settlement]:
    """Settled at that second. Changes go where they belong."""
    line = a_settlement(name, settled_at=int(at * 1000))
    of_settlement = {key: value for key, value in changes.items() if hasattr(line, key)}
    of_admission = {key: value for key, value in changes.items() if key not in of_settlement}
    settlement = a_settlement(name, **{"settled_at": int(at * 1000), **of_settlement})
    return an_admission(name, exchange_id=f"req_{name}", **of_admission), settlement


def a_question(since: int, until: int, width: int = DAY, *by: Whose, **only: frozenset[str]) -> UsageQuestion:
    picked = {Whose(name): values for name, values in only.items()}
    return UsageQuestion(since=since, until=until, width=width, by=by, only=picked)


def ask(database: Database, question: UsageQuestion, now: float = NOW) -> Sequence[UsageSum]:
    with database.transaction(writes=False) as connection:
        return read_usage(connection, question, now)


def told(sums: Sequence[UsageSum], measure: str = "attempts") -> dict[Any, int]:
    """By bucket, counted from midnight, and group."""
    return {(each.bucket - MIDNIGHT, *each.group): getattr(each.sums, measure) for each in sums}


async def test_days_are_told_apart_at_midnight(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT - 0.001), *an_attempt("b", MIDNIGHT))
    assert told(ask(database, a_question(MIDNIGHT - DAY, MIDNIGHT + DAY))) == {(-DAY,): 1, (0,): 1}


@pytest.mark.parametrize(
    ("width", "buckets"), [(HOUR, {(0,): 2, (HOUR,): 1}), (60, {(0,): 1, (3540,): 1, (HOUR,): 1})]
)
async def test_hours_and_minutes_are_told_apart(
    database: Database, width: int, buckets: dict[Any, int]
) -> None:
    for name, at in (("a", 0), ("b", 3599.999), ("c", 3600)):
        write(database, *an_attempt(name, MIDNIGHT + at))
    assert told(ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, width))) == buckets


async def test_a_day_that_is_cut_has_what_was_settled_in_the_rest_of_it(database: Database) -> None:
    for name, at in (("a", -DAY + 9.999), ("b", -DAY + 10), ("c", 0), ("d", 19.999), ("e", 20)):
        write(database, *an_attempt(name, MIDNIGHT + at))
    found = ask(database, a_question(MIDNIGHT - DAY + 10, MIDNIGHT + 20))
    assert told(found) == {(-DAY,): 1, (0,): 2}


async def test_today_is_read_as_a_whole_day(database: Database) -> None:
    queries = [str(query) for query in usage_queries(a_question(MIDNIGHT - DAY, NOW + 1), NOW)]
    assert (len(queries), "FROM daily" in queries[0]) == (1, True)


async def test_a_month_of_days_reads_no_line(database: Database) -> None:
    (query,) = usage_queries(a_question(MIDNIGHT - 30 * DAY, MIDNIGHT), NOW)
    assert "settlements" not in str(query)


async def test_lines_are_read_by_the_index_on_their_time(path: Path) -> None:
    async with open_file(path) as database:
        queries = usage_queries(a_question(MIDNIGHT, MIDNIGHT + DAY, HOUR, team=frozenset({"search"})), NOW)
        for query in queries:
            compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
            with database.transaction(writes=False) as connection:
                plan = " ".join(
                    row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
                )
            assert "INDEX settlements_by_time (settled_at>? AND settled_at<?)" in plan
            assert "SEARCH admissions USING PRIMARY KEY" in plan
            assert "SCAN" not in plan


async def test_a_model_is_as_the_answer_named_it_or_as_the_catalogue_does(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT), *an_attempt("b", MIDNIGHT, answered_model=None))
    for width in (DAY, HOUR):
        found = ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, width, Whose.MODEL))
        assert told(found) == {(0, "gpt-4o"): 1, (0, "gpt-4o-2024-08-06"): 1}


async def test_a_tier_that_is_not_known_is_an_empty_text(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT, service_tier=None))
    for width in (DAY, HOUR):
        found = ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, width, Whose.SERVICE_TIER))
        assert told(found) == {(0, ""): 1}


async def test_a_cost_that_is_not_known_is_counted(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT, cost=None), *an_attempt("b", MIDNIGHT, cost=7))
    for width in (DAY, HOUR):
        (found,) = ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, width))
        assert (found.sums.cost, found.sums.unpriced) == (7, 1)


async def test_a_correction_counts_where_its_settlement_counts(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT - 1, cost=None))
    correction = an_adjustment(
        "a",
        settled_at=(MIDNIGHT - 1) * 1000,
        adjusted_at=(MIDNIGHT + 5) * 1000,
        cost=90,
        unpriced=-1,
        usage=Usage(UsageSource.PROVIDER, output_tokens=-11),
    )
    write(database, correction)
    for width in (DAY, HOUR):
        (found,) = ask(database, a_question(MIDNIGHT - DAY, MIDNIGHT + DAY, width))
        sums = found.sums
        assert (sums.attempts, sums.cost, sums.unpriced, sums.output_tokens) == (1, 90, 0, 0)
        assert MIDNIGHT - DAY <= found.bucket < MIDNIGHT


async def test_nothing_is_picked_by_an_empty_set_without_asking_the_store(database: Database) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE daily")))
    reports = SqlOrganizationUsage(database, clock=ManualClock(NOW), seconds=30)
    assert await reports.usage(a_question(MIDNIGHT, MIDNIGHT + DAY, team=frozenset())) == ()


async def test_a_store_that_is_away_is_told(database: Database) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE daily")))
    reports = SqlOrganizationUsage(database, clock=ManualClock(NOW), seconds=30)
    with pytest.raises(StoreUnavailable):
        await reports.usage(a_question(MIDNIGHT, MIDNIGHT + DAY))


async def test_an_answer_is_not_longer_than_its_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(organization, "MOST_SUMS", 2)
    for number in range(3):
        write(database, *an_attempt(f"att_{number}", MIDNIGHT, subject=f"user {number}"))
    assert len(ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY))) == 1
    for width in (DAY, HOUR):
        with pytest.raises(TooManySums):
            ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, width, Whose.SUBJECT))


# Lines end by age, the sums of days do not.


def end_by_age(database: Database) -> None:
    with database.transaction(writes=True) as connection:
        for table in (ADJUSTMENTS, ADMISSIONS, SETTLEMENTS):
            connection.execute(delete(table))


async def test_days_are_told_when_their_lines_are_gone(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT))
    end_by_age(database)
    assert told(ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY))) == {(0,): 1}


@pytest.mark.parametrize("left", [False, True])
async def test_hours_whose_lines_are_gone_are_not_told_as_empty(database: Database, left: bool) -> None:
    write(database, *an_attempt("a", MIDNIGHT))
    end_by_age(database)
    if left:
        write(database, *an_attempt("b", MIDNIGHT + DAY))
    with pytest.raises(LinesGone):
        ask(database, a_question(MIDNIGHT, MIDNIGHT + HOUR, HOUR))
    with pytest.raises(LinesGone):
        ask(database, a_question(MIDNIGHT + 1, MIDNIGHT + 2 * DAY))


async def test_lines_of_others_that_are_gone_are_not_missed(database: Database) -> None:
    write(database, *an_attempt("a", MIDNIGHT))
    end_by_age(database)
    assert ask(database, a_question(MIDNIGHT, MIDNIGHT + DAY, HOUR, team=frozenset({"billing"}))) == []


# All of it, against the same sums made by hand.

Line = tuple[int, dict[Whose, str], Counter[str]]
SPAN: Final = 3 * DAY


def wild_lines(database: Database, chance: random.Random) -> list[Line]:
    """Three days of a house, written; and when and whose each line was, and what it says."""
    lines = []
    for number in range(300):
        at = chance.randrange(-SPAN * 1000, NOW * 1000 - MIDNIGHT * 1000) + MIDNIGHT * 1000
        units = {unit: chance.randrange(1000) for unit in _UNITS}
        cost, answered = chance.choice([None, 0, 17, 2**40]), chance.choice([None, "gpt-4o-1", "gpt-4o-2"])
        whose = {
            "team": chance.choice(["search", "billing"]),
            "subject": chance.choice(["u1", "u2"]),
            "key_id": chance.choice(["k1", "k2"]),
            "model": chance.choice(["gpt-4o", "whisper-1"]),
            "endpoint": chance.choice(["chat_completions", "embeddings"]),
        }
        tier = chance.choice([None, "flex"])
        name, usage = f"att_{number}", Usage(UsageSource.PROVIDER, **units)
        write(
            database,
            an_admission(name, exchange_id=name, **whose),
            a_settlement(
                name, settled_at=at, usage=usage, cost=cost, answered_model=answered, service_tier=tier
            ),
        )
        group = {
            **{Whose(key): value for key, value in whose.items()},
            Whose.MODEL: answered or whose["model"],
            Whose.SERVICE_TIER: tier or "",
        }
        lines.append((at, group, Counter(attempts=1, cost=cost or 0, unpriced=int(cost is None), **units)))
        if chance.random() < 0.3:
            correction = _correction(name, at, cost, chance)
            write(database, correction)
            changed = {unit: getattr(correction.usage, unit) for unit in _UNITS}
            lines.append((at, group, Counter(cost=correction.cost, unpriced=correction.unpriced, **changed)))
    return lines


def _correction(name: str, at: int, cost: int | None, chance: random.Random) -> Adjustment:
    return an_adjustment(
        name,
        settled_at=at,
        adjusted_at=at + chance.randrange(10 * DAY * 1000),
        cost=chance.randrange(-5, 50),
        unpriced=-int(cost is None),
        usage=Usage(UsageSource.PROVIDER, input_tokens=chance.randrange(-9, 9)),
    )


def by_hand(lines: list[Line], question: UsageQuestion) -> dict[tuple[int, tuple[str, ...]], Sums]:
    found: dict[tuple[int, tuple[str, ...]], Counter[str]] = {}
    for at, group, amounts in lines:
        inside = question.since * 1000 <= at < question.until * 1000
        if inside and all(group[whose] in values for whose, values in question.only.items()):
            key = (at // (question.width * 1000) * question.width, tuple(group[each] for each in question.by))
            found.setdefault(key, Counter()).update(amounts)
    return {key: Sums(**{name: sums[name] for name in Sums._fields}) for key, sums in found.items()}


@st.composite
def questions(draw: st.DrawFn) -> UsageQuestion:
    edges = st.one_of(st.integers(-SPAN, 11 * HOUR), st.sampled_from([-SPAN, -2 * DAY, -DAY, 0]))
    since, until = sorted(draw(st.tuples(edges, edges).filter(lambda pair: pair[0] != pair[1])))
    by = tuple(draw(st.permutations(list(Whose)))[: draw(st.integers(0, 3))])
    only = draw(
        st.sampled_from(
            [
                {},
                {Whose.TEAM: frozenset({"search"})},
                {Whose.MODEL: frozenset({"gpt-4o", "gpt-4o-1"}), Whose.SUBJECT: frozenset({"u1", "u9"})},
                {Whose.ENDPOINT: frozenset({"embeddings"}), Whose.SERVICE_TIER: frozenset({""})},
            ]
        )
    )
    width = draw(st.sampled_from([DAY, HOUR, 60]))
    return UsageQuestion(since=MIDNIGHT + since, until=MIDNIGHT + until, width=width, by=by, only=only)


async def test_every_answer_is_the_sum_of_its_lines(database: Database) -> None:
    lines = wild_lines(database, random.Random(7))

    @settings(max_examples=150)
    @given(question=questions())
    def holds(question: UsageQuestion) -> None:
        found = {(each.bucket, each.group): each.sums for each in ask(database, question)}
        assert found == by_hand(lines, question)

    holds()
