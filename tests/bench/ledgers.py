"""The ledgers that are compared, each on a store of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.database.migrations import upgrade
from gateway.metering.interfaces import Admission, Ledger, Settlement
from tests.bench.cores import pinned
from tests.support.database import open_url
from tests.support.ledgers import a_ledger
from tests.support.postgres import fresh_database, running_postgres


class Way(StrEnum):
    NOTHING = "none"
    FILE = "SQLite"
    SERVER = "journal, PostgreSQL"


class NoLedger:
    """Writes nothing down. An admission takes one turn of the loop."""

    async def admit(self, admission: Admission) -> None:
        await asyncio.sleep(0)

    def settle(self, settlement: Settlement) -> None:
        pass

    async def recover(self) -> Sequence[Admission]:
        return ()

    async def close(self) -> None:
        pass


@asynccontextmanager
async def kept(way: Way, folder: Path, url: str) -> AsyncIterator[Ledger]:
    """A ledger on an empty store, closed at the end. `url`: of the PostgreSQL server's own database."""
    match way:
        case Way.NOTHING:
            yield NoLedger()
        case Way.FILE:
            async with _shipping_to(f"sqlite:///{folder}/gateway.db", folder) as ledger:
                yield ledger
        case Way.SERVER:
            async with _shipping_to(url, folder) as ledger:
                yield ledger


@asynccontextmanager
async def _shipping_to(url: str, folder: Path) -> AsyncIterator[Ledger]:
    async with open_url(url) as database:
        upgrade(database)
        async with a_ledger(database, folder) as ledger, running(ledger.run):
            yield ledger


@asynccontextmanager
async def running(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextmanager
def own_postgres(core: int) -> Iterator[str]:
    with pinned(core), running_postgres() as server, fresh_database(server) as url:
        yield url
