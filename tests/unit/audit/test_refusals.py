"""Refusals by class, minute by minute."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.reading import SqlAuditTrail
from gateway.audit.refusals import MOST_CLASSES, RefusalTally
from gateway.audit.trail import on_record
from gateway.core.errors import ErrorCode, GatewayError, Refused
from gateway.core.exchange import Exchange, Outcome
from gateway.database.engine import Database
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.support.journey import a_policy


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_file(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
def tally(database: Database) -> RefusalTally:
    return RefusalTally(record=on_record(database, ManualClock()), replica="replica_1")


def an_exchange(
    error: GatewayError | None = None, outcome: Outcome = Outcome.REFUSED, *, known: bool = True
) -> Exchange:
    exchange = Exchange(id="req_1", method="POST", received_at=0.0, started=0.0)
    exchange.policy = a_policy() if known else None
    exchange.conclude(outcome, error)
    return exchange


def too_many(rule: str = "limits.team-requests") -> Refused:
    return Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "Too many.", rule=rule)


async def told(database: Database) -> list[dict[str, Any]]:
    lines = await SqlAuditTrail(database).list(most=2_000)
    return [{"team": line.team, **line.details} for line in reversed(lines)]


async def test_refusals_of_a_class_are_one_line(tally: RefusalTally, database: Database) -> None:
    for _ in range(3):
        tally.count(an_exchange(too_many()))
    tally.count(an_exchange(Refused(ErrorCode.INVALID_API_KEY, "No.", rule="auth.api_key"), known=False))
    await tally.flush()
    one = {"replica": "replica_1"}
    limit = {"code": "rate_limit_exceeded", "rule": "limits.team-requests", "times": 3}
    wrong = {"code": "invalid_api_key", "rule": "auth.api_key", "times": 1}
    assert await told(database) == [{"team": "", **wrong, **one}, {"team": "search", **limit, **one}]


@pytest.mark.parametrize("outcome", [Outcome.SERVED, Outcome.CLIENT_LEFT, Outcome.UPSTREAM_FAILED])
async def test_what_was_not_refused_is_not_counted(
    tally: RefusalTally, database: Database, outcome: Outcome
) -> None:
    tally.count(an_exchange(outcome=outcome))
    await tally.flush()
    assert await told(database) == []


async def test_what_was_told_is_not_told_again(tally: RefusalTally, database: Database) -> None:
    tally.count(an_exchange(too_many()))
    await tally.flush()
    await tally.flush()
    assert len(await told(database)) == 1


async def test_more_classes_than_a_minute_may_have_are_one_together(
    tally: RefusalTally, database: Database
) -> None:
    for number in range(MOST_CLASSES + 5):
        tally.count(an_exchange(too_many(f"limits.rule-{number}")))
    await tally.flush()
    lines = await told(database)
    assert len(lines) == MOST_CLASSES + 1
    assert [line["times"] for line in lines if not line["code"]] == [5]


async def test_while_the_database_is_away_it_goes_on_counting(
    tally: RefusalTally, database: Database, tmp_path: Path
) -> None:
    file, away = tmp_path / "gateway.db", tmp_path / "away.db"
    tally.count(an_exchange(too_many()))
    database.engine.dispose()
    file.rename(away)
    file.mkdir()
    await tally.flush()
    file.rmdir()
    away.rename(file)
    tally.count(an_exchange(too_many()))
    await tally.flush()
    assert [line["times"] for line in await told(database)] == [2]
