"""The audit trail on both engines: one order, no gaps, and nothing is changed unnoticed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from gateway.audit.reading import SqlAuditTrail, Verdict
from gateway.audit.trail import append
from gateway.core.actor import Act
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from tests.support.database import open_url

_GUARDS = {
    "sqlite": ("DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_deleted"),
    "postgresql": ("ALTER TABLE audit DISABLE TRIGGER ALL",),
}


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    async with open_url(request.getfixturevalue(f"{request.param}_url")) as opened:
        yield opened


@pytest.fixture
def trail(database: Database) -> SqlAuditTrail:
    return SqlAuditTrail(database)


async def record(database: Database, number: int, team: str = "search") -> None:
    act = Act("token:ops", "key.created", f"key:k{number}", team, {"after": {"name": "wéb", "n": number}})
    await database.write(lambda connection: append(connection, act, 1000 + number))


async def unguarded(database: Database, statement: str) -> None:
    """Change it as somebody would who owns the database."""

    def work(connection: Connection) -> None:
        for guard in _GUARDS[connection.dialect.name]:
            connection.execute(text(guard))
        connection.execute(text(statement))

    await database.write(work)


async def test_an_empty_trail_is_whole(trail: SqlAuditTrail) -> None:
    assert await trail.verify() == Verdict(0, "0:" + "00" * 32)


async def test_lines_are_numbered_in_their_order_and_found_newest_first(
    database: Database, trail: SqlAuditTrail
) -> None:
    for number in (1, 2, 3):
        await record(database, number)
    lines = await trail.list(most=10)
    assert [(line.number, line.at, line.target) for line in lines] == [
        (3, 1003, "key:k3"),
        (2, 1002, "key:k2"),
        (1, 1001, "key:k1"),
    ]
    assert lines[0].details == {"after": {"name": "wéb", "n": 3}}


async def test_a_page_goes_on_where_the_last_one_ended(database: Database, trail: SqlAuditTrail) -> None:
    for number in range(1, 6):
        await record(database, number)
    first = await trail.list(most=2)
    assert [line.number for line in await trail.list(before=first[-1].number, most=2)] == [3, 2]


async def test_a_team_sees_its_own_lines(database: Database, trail: SqlAuditTrail) -> None:
    await record(database, 1)
    await record(database, 2, team="legal")
    assert [line.number for line in await trail.list(team="legal", most=10)] == [2]


async def test_lines_that_are_written_at_once_have_one_order_without_gaps(
    database: Database, trail: SqlAuditTrail
) -> None:
    await asyncio.gather(*(record(database, number) for number in range(40)))
    verdict = await trail.verify()
    assert (verdict.intact, verdict.lines) == (True, 40)


async def test_what_fails_leaves_no_line(database: Database, trail: SqlAuditTrail) -> None:
    def work(connection: Connection) -> None:
        append(connection, Act("a", "b", "c"), 1)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert (await trail.verify()).lines == 0


async def test_sqlite_puts_no_line_in_the_place_of_another(sqlite_url: str) -> None:
    replacement = text(
        "REPLACE INTO audit SELECT number, at, 'me', action, target, team, details, hash FROM audit"
    )
    async with open_url(sqlite_url) as database:
        await record(database, 1)
        with pytest.raises((StoreUnavailable, DBAPIError), match="the audit trail stays as it is"):
            await database.write(lambda connection: connection.execute(replacement))
        assert (await SqlAuditTrail(database).verify()).intact


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'me'", "DELETE FROM audit"])
async def test_the_database_itself_refuses_to_change_a_line(
    database: Database, trail: SqlAuditTrail, statement: str
) -> None:
    await record(database, 1)
    with pytest.raises((StoreUnavailable, DBAPIError), match="the audit trail stays as it is"):
        await database.write(lambda connection: connection.execute(text(statement)))
    assert (await trail.verify()).intact


@pytest.mark.parametrize(
    ("statement", "at", "sentence"),
    [
        ("UPDATE audit SET actor = 'me' WHERE number = 3", 3, "line 3 is not what it was"),
        ("UPDATE audit SET details = '{}' WHERE number = 1", 1, "line 1 is not what it was"),
        ("UPDATE audit SET at = at + 1 WHERE number = 5", 5, "line 5 is not what it was"),
        ("DELETE FROM audit WHERE number = 2", 2, "line 2 is missing"),
        ("DELETE FROM audit WHERE number > 3", 4, "lines after 3 are missing"),
        ("UPDATE audit_head SET number = 9", 6, "lines after 5 are missing"),
    ],
)
async def test_what_was_changed_is_found(
    database: Database, trail: SqlAuditTrail, statement: str, at: int, sentence: str
) -> None:
    for number in range(1, 6):
        await record(database, number)
    await unguarded(database, statement)
    verdict = await trail.verify()
    assert (verdict.broken_at, verdict.lines) == (at, at - 1)
    assert verdict.sentence == f"The audit trail is not whole: {sentence}."


async def test_a_trail_that_was_written_anew_does_not_have_the_head_that_was_kept(
    database: Database, trail: SqlAuditTrail
) -> None:
    for number in (1, 2):
        await record(database, number)
    head = (await trail.verify()).head
    await unguarded(database, "DELETE FROM audit")
    nothing = "decode(repeat('00', 32), 'hex')" if database.engine.name == "postgresql" else "zeroblob(32)"
    await database.write(
        lambda connection: connection.execute(text(f"UPDATE audit_head SET number = 0, hash = {nothing}"))
    )
    for number in (7, 8, 9):
        await record(database, number)
    assert (await trail.verify()).intact
    assert (await trail.verify(head)).broken_at == 2


async def test_a_kept_head_is_found_again(database: Database, trail: SqlAuditTrail) -> None:
    await record(database, 1)
    head = (await trail.verify()).head
    await record(database, 2)
    assert (await trail.verify(head)).intact


@pytest.mark.parametrize("head", ["", "1", "1:", "x:" + "00" * 32, "1:" + "00" * 31, "-1:" + "00" * 32])
async def test_what_is_no_head_is_said_to_be_none(trail: SqlAuditTrail, head: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        await trail.verify(head)
