"""Takes lots from journals to the shared truth, in their order, at least once; there they count once.

One lot is under way at a time. While the truth is away the next try comes after a pause that doubles, and the
journal grows. The lease of this process is renewed with its lines, and by itself when there are none.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.metering.ledger.journal import Abandoned, Journal, Lot, Reader, abandoned
from gateway.metering.ledger.lease import Lease
from gateway.metering.ledger.truth import Refused, Truth

LINGER: Final = 0.2
"""Seconds for which lines wait for company on their way."""
SOONEST: Final = 0.1
LATEST: Final = 5.0
"""Seconds between tries while the truth is away: the first pause, and the longest."""
_DAMAGED: Final = ".damaged"


class Watch(Protocol):
    """Who is told how the journal fares."""

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        """The journal cannot be written, or is full; or takes lines again (None)."""

    def database(self, trouble: StoreUnavailable | None) -> None:
        """Lines cannot be shipped; or are again (None)."""

    def journal(self, *, size: int, age: float) -> None:
        """So many bytes are not shipped; seconds since all were."""

    def journal_damaged(self, file: Path, lines: int, why: str) -> None:
        """So many lines of a journal cannot be shipped. They are kept in this file."""

    def journal_left(self, size: int) -> None:
        """This process ends, and leaves so many bytes to the next one."""


class Shipper:
    """Ships the journal of this process, and what the dead have left in its directory."""

    def __init__(self, *, journal: Journal, truth: Truth, lease: Lease, clock: Clock, watch: Watch) -> None:
        self._journal = journal
        self._reader = Reader(journal.directory, journal.worker)
        self._truth = truth
        self._lease = lease
        self._clock = clock
        self._watch = watch
        self._due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._trouble = False
        self._caught_up = clock.monotonic()

    def soon(self) -> None:
        """There is something new in the journal."""
        self._due.set()

    async def run(self) -> None:
        """Ship until this is cancelled."""
        pause = SOONEST
        while True:
            await self._wait()
            try:
                await self.flush()
            except StoreUnavailable:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that replicas spread
                pause = min(2 * pause, LATEST)
                self._due.set()
            else:
                pause = SOONEST

    async def flush(self) -> None:
        """Until all that is in the journal now is in the truth. Raises StoreUnavailable."""
        end = self._journal.end
        async with self._turn:
            with self._told():
                lease = self._lease.renewal()
                while (lot := await asyncio.to_thread(self._reader.lot, end)).size or lease is not None:
                    await self._deliver(self._journal.worker, lot, lease)
                    self._reader.done(lot)
                    self._journal.shipped(lot)
                    if lease is not None:
                        self._lease.renewed()
                        lease = None

    async def adopt(self) -> None:
        """Ship what the dead have left, and end their leases. Raises StoreUnavailable."""
        async with self._turn:
            for left in await asyncio.to_thread(lambda: list(abandoned(self._journal.directory))):
                with self._told():
                    await self._take_over(left)

    async def _take_over(self, left: Abandoned) -> None:
        try:
            while (lot := await asyncio.to_thread(left.reader.lot)).size:
                await self._deliver(left.worker, lot, None)
                left.reader.done(lot)
            await self._truth.end_lease(left.worker)
        except BaseException:
            left.release()
            raise
        left.remove()

    async def _wait(self) -> None:
        """Until something is due, with some company, or the lease is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lease.pause):
                await self._due.wait()
        await asyncio.sleep(LINGER)
        self._due.clear()

    async def _deliver(self, worker: str, lot: Lot, until: int | None) -> None:
        lease = None if until is None else (worker, until)
        now = int(self._clock.now() * 1000)
        try:
            await self._truth.take(lot.admissions, lot.settlements, now=now, lease=lease)
        except Refused:
            await self._one_by_one(worker, lot, now)
        if lot.damaged:
            await self._set_aside(worker, lot.damaged, "it is damaged")

    async def _one_by_one(self, worker: str, lot: Lot, now: int) -> None:
        """What is refused goes aside, so that nothing else is held up by it."""
        none: list[bytes] = []
        parts = [([line], none) for line in lot.admissions] + [(none, [line]) for line in lot.settlements]
        for admissions, settlements in parts:
            try:
                await self._truth.take(admissions, settlements, now=now)
            except Refused as error:
                await self._set_aside(worker, [*admissions, *settlements], str(error))

    async def _set_aside(self, worker: str, lines: list[bytes], why: str) -> None:
        file = self._journal.directory / f"{worker}{_DAMAGED}"

        def write() -> None:
            with file.open("ab") as kept:
                kept.writelines(line + b"\n" for line in lines)

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise StoreUnavailable(f"damaged lines cannot be kept: {error.strerror}") from error
        self._watch.journal_damaged(file, len(lines), why)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The watch hears when it begins to fail, and when that is over."""
        try:
            yield
        except StoreUnavailable as error:
            self._lease.doubt()
            self._tell(error)
            raise
        except OSError as error:
            trouble = StoreUnavailable(f"the journal cannot be read: {error.strerror}")
            self._tell(trouble)
            raise trouble from error
        self._tell(None)

    def _tell(self, trouble: StoreUnavailable | None) -> None:
        if self._trouble != (trouble is not None):
            self._trouble = trouble is not None
            self._watch.database(trouble)
        now = self._clock.monotonic()
        if self._journal.unshipped <= 0:
            self._caught_up = now
        self._watch.journal(size=self._journal.unshipped, age=now - self._caught_up)
