"""What the ledger says, on either engine."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Select, text

from gateway.core.attempt import Cause
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.metering.interfaces import Adjustment
from gateway.metering.reconciliation.amounts import Amounts, Lines, Place, Recorded
from gateway.metering.reconciliation.sums import LedgerSums, _lines, _sums
from tests.support.database import migrated, open_url
from tests.support.ledger_lines import DAY as DAY_MS
from tests.support.ledger_lines import NOON, USAGE, a_settlement, an_admission
from tests.support.written_lines import an_adjustment, write
from tests.unit.metering.reconciliation.books import DAY

MODEL = "gpt-4o-2024-08-06"
ONE = Amounts(requests=1, input_tokens=90, cached_tokens=30, output_tokens=11, cost=340)
COUNTED = Usage(UsageSource.ESTIMATED, input_tokens=100, output_tokens=5)
NOTHING = Usage(UsageSource.ESTIMATED)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as opened:
        yield opened


@pytest.fixture
def ledger(database: Database) -> LedgerSums:
    return LedgerSums(
        database,
        labels={"openai": "openai+backup", "backup": "openai+backup", "other": "other"},
        upstream_models={"gpt-4o": "gpt-4o-at-openai"},
    )


def attempt(database: Database, name: str, /, **changes: Any) -> None:
    admitted = {
        each: changes.pop(each) for each in ("upstream", "model", "estimated_cost") if each in changes
    }
    write(database, an_admission(name, **admitted), a_settlement(name, **changes))


def place(model: str = MODEL, *, day: int = DAY, upstream: str = "openai+backup") -> Place:
    return Place(day, upstream, model)


async def test_attempts_are_summed_by_day_upstream_and_answered_model(
    database: Database, ledger: LedgerSums
) -> None:
    attempt(database, "att_1")
    attempt(database, "att_2")
    attempt(database, "att_3", settled_at=NOON + DAY_MS)
    attempt(database, "att_4", answered_model="o3-2025-04-16", cost=None)
    assert await ledger.books(DAY, DAY + 2) == {
        place(): Recorded(ONE.plus(ONE)),
        place(day=DAY + 1): Recorded(ONE),
        place("o3-2025-04-16"): Recorded(ONE._replace(cost=0), unpriced=1),
    }


async def test_upstreams_of_one_project_are_one(database: Database, ledger: LedgerSums) -> None:
    attempt(database, "att_1")
    attempt(database, "att_2", upstream="backup")
    attempt(database, "att_3", upstream="other")
    assert await ledger.books(DAY, DAY + 1) == {
        place(): Recorded(ONE.plus(ONE)),
        place(upstream="other"): Recorded(ONE),
    }


async def test_upstreams_that_are_not_asked_for_are_left_out(database: Database, ledger: LedgerSums) -> None:
    attempt(database, "att_1", upstream="azure")
    assert await ledger.books(DAY, DAY + 1) == {}
    assert await ledger.lines(DAY) == {}


async def test_an_answer_that_named_no_model_is_what_the_upstream_calls_it(
    database: Database, ledger: LedgerSums
) -> None:
    attempt(database, "att_1", answered_model=None)
    attempt(database, "att_2", answered_model=None, model="tts-1")
    assert set(await ledger.books(DAY, DAY + 1)) == {place("gpt-4o-at-openai"), place("tts-1")}


@pytest.mark.parametrize(("since", "until"), [(DAY - 1, DAY), (DAY + 1, DAY + 2)])
async def test_other_days_are_not_in_it(
    database: Database, ledger: LedgerSums, since: int, until: int
) -> None:
    attempt(database, "att_1")
    assert await ledger.books(since, until) == {}


@pytest.mark.parametrize("moment", [DAY * DAY_MS, (DAY + 1) * DAY_MS - 1])
async def test_a_day_is_from_midnight_to_midnight(
    database: Database, ledger: LedgerSums, moment: int
) -> None:
    attempt(database, "att_1", settled_at=moment)
    assert set(await ledger.books(DAY, DAY + 1)) == {place()}
    assert set(await ledger.lines(DAY)) == {place()}
    assert await ledger.lines(DAY - 1) == await ledger.lines(DAY + 1) == {}


async def test_corrections_are_in_the_sums(database: Database, ledger: LedgerSums) -> None:
    attempt(database, "att_1")
    write(database, an_adjustment("att_1", cost=60))
    assert await ledger.books(DAY, DAY + 1) == {place(): Recorded(ONE._replace(cost=400))}


@pytest.mark.parametrize(
    ("settled", "failed"),
    [
        ({"status": 500, "usage": Usage(UsageSource.PROVIDER), "cause": Cause.UPSTREAM_FAILED, "cost": 0}, 1),
        ({"status": 429, "usage": NOTHING, "cause": Cause.UPSTREAM_FAILED, "cost": 0}, 1),
        ({"status": None, "usage": NOTHING, "cause": Cause.CLIENT_LEFT, "cost": 0}, 1),
        ({"status": None, "usage": COUNTED, "cause": Cause.CRASH}, 0),
        ({"status": 200, "usage": NOTHING, "cost": 0}, 0),  # free, such as moderations
        ({}, 0),
    ],
)
async def test_attempts_that_the_provider_counts_not_are_told_apart(
    database: Database, ledger: LedgerSums, settled: dict[str, Any], failed: int
) -> None:
    attempt(database, "att_1", **settled)
    (lines,) = (await ledger.lines(DAY)).values()
    assert (lines.number, lines.failed) == (1, failed)


async def test_an_estimate_may_be_off_by_itself_or_by_what_was_admitted(
    database: Database, ledger: LedgerSums
) -> None:
    """Admitted for 80 and 20 tokens and 400 micro-dollars."""
    attempt(database, "att_1", usage=COUNTED, cost=300)
    attempt(database, "att_2", usage=COUNTED._replace(source=UsageSource.PARTIAL), cost=None)
    attempt(database, "att_3", usage=COUNTED, cost=900, estimated_cost=None)
    attempt(database, "att_4")
    bound = Amounts(requests=3, input_tokens=300, cached_tokens=300, output_tokens=60, cost=400 + 400 + 900)
    assert await ledger.lines(DAY) == {place(): Lines(4, bound=bound)}


async def test_what_was_under_way_at_midnight_is_told(database: Database, ledger: LedgerSums) -> None:
    """Admitted at noon."""
    attempt(database, "att_1")
    attempt(database, "att_2", settled_at=NOON + DAY_MS)
    attempt(database, "att_3", settled_at=NOON + DAY_MS, status=500, usage=NOTHING, cost=0)
    assert (await ledger.lines(DAY))[place()].from_before == Amounts()
    assert (await ledger.lines(DAY + 1))[place(day=DAY + 1)].from_before == ONE


async def test_an_estimate_that_was_corrected_is_none(database: Database, ledger: LedgerSums) -> None:
    attempt(database, "att_1", usage=COUNTED)
    attempt(database, "att_2", usage=COUNTED)
    write(database, truth("att_1"), an_adjustment("att_2", cost=5))
    (lines,) = (await ledger.lines(DAY)).values()
    assert (lines.number, lines.bound.requests) == (2, 1)
    assert (await ledger.books(DAY, DAY + 1))[place()].estimated == 1


async def test_days_are_found_by_their_keys(tmp_path: Path) -> None:
    """So that a month of ten million lines is read in milliseconds, and a day's lines without the others."""
    async with open_url(migrated(f"sqlite:///{tmp_path}/gateway.db")) as file:
        told = [
            await plan(file, query)
            for query in (_sums({"openai": ""}, DAY, DAY + 31), _lines({"openai": ""}, DAY))
        ]
    assert "SEARCH daily USING PRIMARY KEY (day>? AND day<?)" in told[0]
    assert "SEARCH settlements USING INDEX settlements_by_time (settled_at>? AND settled_at<?)" in told[1]
    assert "SEARCH admissions USING PRIMARY KEY" in told[1]
    assert "SEARCH adjustments USING INDEX adjustments_by_attempt" in told[1]


async def plan(file: Database, query: Select[Any]) -> str:
    compiled = query.compile(file.engine, compile_kwargs={"literal_binds": True})

    def work(connection: Connection) -> str:
        rows = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
        return " ".join(row.detail for row in rows)

    return await file.read(work)


def truth(attempt_id: str) -> Adjustment:
    """What really happened, in the place of an estimate."""
    difference = Usage(*(USAGE.source, *(a - b for a, b in zip(USAGE[1:], COUNTED[1:], strict=True))))
    return an_adjustment(attempt_id, usage=difference, estimated=-1)
