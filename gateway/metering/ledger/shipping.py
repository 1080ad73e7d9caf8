"""Takes lots from journals to the shared truth, in their order, at least once; there they count once.

One lot is under way at a time. While the truth is away the next try comes after a pause that doubles, and the
journal grows. The lease of this process is renewed between lots, whatever becomes of them, and by itself when
there are none.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.metering.ledger.journal import Abandoned, Journal, Lot, Reader, workers_in
from gateway.metering.ledger.lease import Lease
from gateway.metering.ledger.truth import Refused, Truth

LINGER: Final = 0.2
"""Seconds for which lines wait for company on their way."""
SOONEST: Final = 0.1
LATEST: Final = 5.0
"""Seconds between tries while the truth is away: the first pause, and the longest."""
_DAMAGED: Final = ".damaged"

_Aside = tuple[bytes, str]
"""A line that cannot be shipped, and why."""


class Watch(Protocol):
    """Who is told how the journal fares."""

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        """The journal cannot be written, or is full; or takes lines again (None)."""

    def database(self, trouble: StoreUnavailable | None) -> None:
        """Lines cannot be shipped; or are again (None)."""

    def journal(self, *, size: int, age: float) -> None:
        """So many bytes are not shipped; seconds since all were."""

    def journal_damaged(self, file: Path, lines: int, why: str) -> None:
        """So many lines of a journal cannot be shipped. They are kept in this file, which if there are none
        cannot be read itself."""

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
        self._unreadable: set[str] = set()

    def soon(self) -> None:
        """There is something new in the journal."""
        self._due.set()

    async def run(self, flush: Callable[[], Awaitable[None]]) -> None:
        """Do that whenever something is due, until this is cancelled."""
        pause = SOONEST
        while True:
            await self._wait()
            try:
                await flush()
            except StoreUnavailable:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that replicas spread
                pause = min(2 * pause, LATEST)
                self._due.set()
            else:
                pause = SOONEST

    async def flush(self) -> None:
        """Until all that is in the journal now is in the truth. Raises StoreUnavailable."""
        end, now = self._journal.end, self._clock.monotonic()
        async with self._turn:
            with self._told():
                await self._renew()
                while (lot := await asyncio.to_thread(self._reader.lot, end)).size:
                    await self._deliver(self._journal.worker, lot)
                    self._reader.done(lot)
                    self._journal.shipped(lot)
                    await self._renew()
                self._caught_up = now

    async def adopt(self) -> None:
        """Ship what the dead have left, and end their leases. What cannot be read is told of once, and holds
        up nothing else. Raises StoreUnavailable.
        """
        directory = self._journal.directory
        with self._passed_over(directory):
            for worker in workers_in(directory):
                with (
                    self._passed_over(directory / worker),
                    suppress(BlockingIOError),
                    Abandoned(directory, worker) as left,
                ):
                    await self._take_over(left)

    async def _take_over(self, left: Abandoned) -> None:
        """This process's own lines, and its lease, take turns with those of the dead."""
        size = True
        while size:
            async with self._turn:
                lot = await asyncio.to_thread(left.reader.lot)
                size = lot.size > 0
                if size:
                    await self._deliver(left.worker, lot)
                    left.reader.done(lot)
        await self._truth.renew(left.worker, 0)
        left.remove()

    async def _wait(self) -> None:
        """Until something is due, with some company, or the lease is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lease.pause):
                await self._due.wait()
        await asyncio.sleep(LINGER)
        self._due.clear()

    async def _renew(self) -> None:
        until = self._lease.renewal()
        if until is not None:
            await self._truth.renew(self._journal.worker, until)
            self._lease.renewed()

    async def _deliver(self, worker: str, lot: Lot) -> None:
        now = int(self._clock.now() * 1000)
        aside = [(line, "it is damaged") for line in lot.damaged]
        try:
            await self._truth.take(lot.admissions, lot.settlements, now=now)
        except Refused:
            aside += await self._one_by_one(lot, now)
        if aside:
            await self._set_aside(worker, aside)

    async def _one_by_one(self, lot: Lot, now: int) -> list[_Aside]:
        """What is refused, when all the others are there: nothing is held up by it."""
        refused: list[_Aside] = []
        none: list[bytes] = []
        parts = [([line], none) for line in lot.admissions] + [(none, [line]) for line in lot.settlements]
        for admissions, settlements in parts:
            try:
                await self._truth.take(admissions, settlements, now=now)
            except Refused as error:
                refused += [(line, str(error)) for line in (*admissions, *settlements)]
        return refused

    async def _set_aside(self, worker: str, aside: list[_Aside]) -> None:
        file = self._journal.directory / f"{worker}{_DAMAGED}"

        def write() -> None:
            file.touch(mode=0o600)
            with file.open("ab") as kept:
                kept.writelines(line + b"\n" for line, _ in aside)

        await asyncio.to_thread(write)
        for why, lines in Counter(why for _, why in aside).items():
            self._watch.journal_damaged(file, lines, why)

    @contextmanager
    def _passed_over(self, file: Path) -> Iterator[None]:
        """What the disk refuses here is told of once."""
        try:
            yield
        except OSError as error:
            if file.name not in self._unreadable:
                self._unreadable.add(file.name)
                self._watch.journal_damaged(Path(error.filename or file), 0, f"it fails: {error.strerror}")

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
            trouble = StoreUnavailable(f"the journal's files cannot be used: {error.strerror}")
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
