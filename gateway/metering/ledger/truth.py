"""The shared ledger, as those know it who ship lines to it: each line is there once, however often it comes.

What is shipped together is one transaction. Two that meet may be told to try again by PostgreSQL, as at any
failure; nothing of the one that failed is there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import DataError, IntegrityError

from gateway.core.attempt import Cause
from gateway.core.errors import StoreUnavailable
from gateway.core.usage import TOTALS, UNITS, Usage, UsageSource
from gateway.database.deadline import deadline
from gateway.database.engine import Database
from gateway.database.statements import replacement
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.interfaces import Adjustment, Reason
from gateway.metering.ledger.insertion import insert_lines
from gateway.metering.ledger.rows import adjustment_json

SECONDS: Final = 10.0
"""How long a transaction may take, waiting for locks included."""


class Refused(Exception):
    """The database will not have a line for what it says: sending it again does not help."""


class Truth:
    """The tables of the ledger."""

    def __init__(self, database: Database) -> None:
        """`database`: with one thread, so that what gave up waiting is over before the next try."""
        self._database = database
        self._replace_worker = replacement(database.engine, WORKERS)

    async def take(self, admissions: Sequence[bytes], settlements: Sequence[bytes], *, now: int) -> None:
        """Add what is not there yet. `now`: milliseconds since 1970.

        A settlement that finds another in its place, made by somebody who took its process for dead, becomes
        an adjustment, once. Raises StoreUnavailable; Refused: then nothing of all this is there.
        """

        def work(connection: Connection) -> None:
            _make_sure_of_the_file(connection)
            with deadline(connection, SECONDS):
                if admissions:
                    insert_lines(connection, ADMISSIONS, admissions)
                if settlements and insert_lines(connection, SETTLEMENTS, settlements) < len(settlements):
                    _correct(connection, settlements, now)

        try:
            await self._database.write(work, timeout=SECONDS)
        except (IntegrityError, ValueError, LookupError, OverflowError) as error:
            raise Refused(_words(error)) from error
        except StoreUnavailable as error:
            if isinstance(error.__cause__, DataError):
                raise Refused(_words(error.__cause__)) from error
            raise

    async def renew(self, worker: str, until: int) -> None:
        """Its lease. What it leaves unsettled others may settle from then on: 0 is at once. Milliseconds
        since 1970. Raises StoreUnavailable."""

        def work(connection: Connection) -> None:
            _make_sure_of_the_file(connection)
            with deadline(connection, SECONDS):
                connection.exec_driver_sql(self._replace_worker, (worker, until))

        await self._database.write(work, timeout=SECONDS)


def _make_sure_of_the_file(connection: Connection) -> None:
    """SQLite goes on writing to a file that was removed, or has another in its place: nobody would ever read
    it. Raises StoreUnavailable."""
    if connection.dialect.name != "sqlite":
        return
    path = Path(str(connection.engine.url.database))
    try:
        now = path.stat()
    except OSError as error:
        raise StoreUnavailable(f"the database's file cannot be found: {error.strerror}") from error
    found = now.st_dev, now.st_ino
    if connection.info.setdefault("file", found) != found:
        connection.invalidate()
        raise StoreUnavailable("the database's file was put in the place of another")


def _correct(connection: Connection, lines: Sequence[bytes], now: int) -> None:
    """What was settled as crashed, and was not: the difference to what is told now, as an adjustment."""
    told = {line["attempt_id"]: line for line in map(msgspec.json.decode, lines)}
    query = select(SETTLEMENTS).where(
        SETTLEMENTS.c.attempt_id.in_([key for key, line in told.items() if line["cause"] != Cause.CRASH]),
        SETTLEMENTS.c.cause == Cause.CRASH.value,
    )
    late = [_adjustment(found, told[found.attempt_id], now) for found in connection.execute(query)]
    if late:
        insert_lines(connection, ADJUSTMENTS, [adjustment_json(line) for line in late])


def _adjustment(found: Row[Any], told: Mapping[str, Any], now: int) -> Adjustment:
    """Its id is made of the attempt's, so that it is one however often it is told."""
    return Adjustment(
        id=f"late_{found.attempt_id}",
        attempt_id=found.attempt_id,
        settled_at=found.settled_at,
        adjusted_at=now,
        reason=Reason.LATE,
        usage=Usage(told["source"], **{unit: told[unit] - getattr(found, unit) for unit in UNITS}),
        cost=(told["cost"] or 0) - (found.cost or 0),
        unpriced=(told["cost"] is None) - (found.cost is None),
        estimated=_is_estimated(told) - _is_estimated(found._mapping),
        priced_by=told["priced_by"],
        price_version=told["price_version"],
    )


def _is_estimated(line: Mapping[Any, Any]) -> bool:
    """Whether something was used, by our own count: as the sums of days have it."""
    return line["source"] != UsageSource.PROVIDER and any(line[unit] > 0 for unit in TOTALS)


def _words(error: Exception) -> str:
    """Without the values that databases quote in their details."""
    return str(getattr(error, "orig", error)).partition("\n")[0]
