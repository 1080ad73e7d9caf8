"""A ledger as a process has it: a journal of its own, a lease, and the shared truth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.metering.ledger.journal import Journal
from gateway.metering.ledger.journaled import JournaledLedger
from gateway.metering.ledger.lease import Lease

PATIENT = 30.0


async def turn_over() -> None:
    """What was handed over in this turn of the event loop is written, or was refused."""
    await asyncio.sleep(0)


@dataclass
class Told:
    """What a ledger tells of itself."""

    news: list[str] = field(default_factory=list)
    unshipped: int = 0
    age: float = 0.0

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        self.news.append("ledger back" if trouble is None else f"ledger: {trouble}")

    def database(self, trouble: StoreUnavailable | None) -> None:
        self.news.append("shipping again" if trouble is None else "shipping stands still")

    def journal(self, *, size: int, age: float) -> None:
        self.unshipped, self.age = size, age

    def journal_damaged(self, file: Path, lines: int, why: str) -> None:
        self.news.append(f"{lines} damaged in {file.name}: {why}")

    def journal_left(self, size: int) -> None:
        self.news.append("left")


@asynccontextmanager
async def a_ledger(
    database: Database,
    folder: Path,
    *,
    clock: Clock | None = None,
    told: Told | None = None,
    lease: float = 15.0,
    **options: Any,
) -> AsyncIterator[JournaledLedger]:
    """Closed at the end. Its journal is in `journal` of the folder. `options`: the journal's."""
    ledger = begun(database, folder, clock=clock, told=told, lease=lease, **options)
    try:
        yield ledger
    finally:
        await ledger.close()


def begun(
    database: Database,
    folder: Path,
    *,
    clock: Clock | None = None,
    told: Told | None = None,
    lease: float = 15.0,
    **options: Any,
) -> JournaledLedger:
    """Nobody closes it."""
    clock, told = clock or SystemClock(), told or Told()
    own = Lease(clock=clock, seconds=lease)
    return JournaledLedger(
        journal=Journal(folder / "journal", own.worker, **options),
        truth=Database(database.engine, threads=1, timeout=PATIENT),
        lease=own,
        clock=clock,
        watch=told,
    )
