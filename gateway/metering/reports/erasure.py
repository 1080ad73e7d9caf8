"""Forgets who a user was: a random pseudonym takes the place of the subject wherever it stands, and every sum
stays. Nobody can lead it back: it is made of nothing, and kept beside no name.

The sums go first, in one transaction, then the lines in small lots, so that nobody who writes is held up.
What is written meanwhile is found in another round; each has a pseudonym of its own, so that no two rows ever
become one. When it is cut short, or a journal brings further lines later, it is run again. The audit trail is
told of pseudonyms alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, select, text, true, tuple_, update

from gateway.audit.long_work import LongWork
from gateway.core.clock import Clock
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, CHARGES, CLOSED, DAILY, UNDER_WAY
from gateway.metering.reports.closing import LOCK

PREFIX: Final = "erased-"
"""How a pseudonym begins."""

_SUMS: Final = (DAILY, CLOSED)
_LINES: Final = (ADMISSIONS, UNDER_WAY, CHARGES)
_PAGE: Final = 20_000
"""Lines that are looked through at a time."""
_LOT: Final = 500
"""Lines that are changed in one transaction."""
_PAUSE: Final = 0.05
_SECONDS: Final = 120.0
_MOST_ROUNDS: Final = 5

_Key = tuple[Any, ...]


class Erasure:
    """Over the house's database."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._clock = clock
        self._pause = pause

    async def erase(self, subject: str, *, by: str) -> Mapping[str, int]:
        """How many rows of each table were this user's. `by`: who has it done, for the audit trail. Raises
        StoreUnavailable; what is done by then stays.

        Lines that are in a journal, or of attempts under way, may come later: then there is more to erase.
        """
        changed = Counter({table.name: 0 for table in (*_SUMS, *_LINES)})
        for _ in range(_MOST_ROUNDS):
            found = await self._round(subject, PREFIX + token_hex(8), by)
            changed.update(found)
            if not any(found.values()):
                break
        return changed

    async def _round(self, subject: str, pseudonym: str, by: str) -> Mapping[str, int]:
        work = LongWork(
            database=self._database,
            clock=self._clock,
            actor=by,
            begins="ledger.erasing",
            ends="ledger.erased",
            target=f"user:{pseudonym}",
            details={},
        )
        await work.write(partial(_rename_sums, subject, pseudonym), timeout=_SECONDS)
        for table in _LINES:
            async for lot in self._lots(table, subject):
                await work.write(partial(_rename_lines, table, lot, subject, pseudonym))
                await self._pause(_PAUSE)
        await work.end()
        return work.changed

    async def _lots(self, table: Table, subject: str) -> AsyncIterator[Sequence[_Key]]:
        """Keys of the user's lines."""
        after: _Key | None = None
        while True:
            keys, after = await self._database.read(partial(_page, table, subject, after), timeout=_SECONDS)
            for begin in range(0, len(keys), _LOT):
                yield keys[begin : begin + _LOT]
            if after is None:
                return


def _page(
    table: Table, subject: str, after: _Key | None, connection: Connection
) -> tuple[Sequence[_Key], _Key | None]:
    """Keys of the user's lines within a page, and where it ends; None: with the table."""
    key = tuple(table.primary_key)
    beyond = true() if after is None else tuple_(*key) > tuple_(*after)
    end = select(*key).where(beyond).order_by(*key).offset(_PAGE - 1).limit(1)
    last = connection.execute(end).one_or_none()
    within = true() if last is None else tuple_(*key) <= tuple_(*last)
    theirs = select(*key).where(beyond, within, table.c.subject == subject).order_by(*key)
    return [tuple(row) for row in connection.execute(theirs)], None if last is None else tuple(last)


def _rename_sums(subject: str, pseudonym: str, connection: Connection) -> Mapping[str, int]:
    """While no month is being closed: a day's sums and its frozen ones go by the same name."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    return {
        table.name: connection.execute(
            update(table).where(table.c.subject == subject).values(subject=pseudonym)
        ).rowcount
        for table in _SUMS
    }


def _rename_lines(
    table: Table, lot: Sequence[_Key], subject: str, pseudonym: str, connection: Connection
) -> Mapping[str, int]:
    key = tuple(table.primary_key)
    this = (column == bindparam(f"key_{column.name}") for column in key)
    statement = update(table).where(*this, table.c.subject == subject).values(subject=pseudonym)
    names = [f"key_{column.name}" for column in key]
    connection.execute(statement, [dict(zip(names, each, strict=True)) for each in lot])
    return {table.name: len(lot)}
