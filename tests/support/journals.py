"""Ledgers with a journal, and what they tell."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.ledger.journal_ledger import JournalLedger
from tests.support.clock import ManualClock

PATIENT = 30.0


class Told:
    """Takes down what a ledger tells its operators."""

    def __init__(self) -> None:
        self.ledgers: list[str] = []
        self.databases: list[str] = []
        self.damages: list[tuple[Path, str]] = []
        self.left: list[int] = []
        self.state: dict[str, float] = {}

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        self.ledgers.append("back" if trouble is None else str(trouble))

    def database(self, trouble: StoreUnavailable | None) -> None:
        self.databases.append("back" if trouble is None else "away")

    def journal(self, *, lines: int, size: int, age: float) -> None:
        self.state = {"lines": lines, "size": size, "age": age}

    def journal_damaged(self, file: Path, finding: str) -> None:
        self.damages.append((file, finding))

    def journal_left(self, lines: int) -> None:
        self.left.append(lines)


def a_ledger(
    directory: Path, truth: Database, *, clock: Clock | None = None, told: Told | None = None, **values: Any
) -> JournalLedger:
    """Nothing ships it but a test's own hand, or `shipping`."""
    watch = told or Told()
    time = clock or ManualClock()
    return JournalLedger(
        directory=directory, truth=truth, clock=time, watch=watch, **{"patience": PATIENT, **values}
    )


@asynccontextmanager
async def shipping(ledger: JournalLedger) -> AsyncIterator[None]:
    """The ledger ships by itself meanwhile."""
    loop = asyncio.ensure_future(ledger.run())
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def die(ledger: JournalLedger) -> None:
    """Let go of everything as the system does when a process is killed: nothing is written, no file goes."""
    ledger._lines.close()
    ledger._writer.close()
    ledger._writer.wait(PATIENT)
    await ledger._journal.database.close()
    ledger._journal.database._threads.shutdown(wait=True)
    for descriptor in ledger._journal._presence._held.values():
        os.close(descriptor)


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def lines_of(truth: Database) -> dict[str, str | None]:
    """Attempts in PostgreSQL, and why they ended; a settlement without an admission is an orphan."""
    both = ADMISSIONS.outerjoin(SETTLEMENTS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id, full=True)
    query = select(ADMISSIONS.c.attempt_id, SETTLEMENTS.c.attempt_id, SETTLEMENTS.c.cause).select_from(both)
    rows = await truth.read(lambda connection: list(connection.execute(query)))
    return {admitted or f"orphan {settled}": cause for admitted, settled, cause in rows}


async def adjustments_of(truth: Database) -> list[dict[str, Any]]:
    query = select(ADJUSTMENTS).order_by(ADJUSTMENTS.c.id)
    return await truth.read(lambda connection: [row._asdict() for row in connection.execute(query)])


async def leases_of(truth: Database) -> dict[str, int]:
    rows = await truth.read(lambda connection: list(connection.execute(select(WORKERS))))
    return {row.id: row.lease_until for row in rows}
