"""The ledger: lines are safe when they are in this process's journal, and travel from there to the truth.

So an admission waits for nothing, and the database may be away. The journal's bound is how long: beyond it
nothing is admitted, while what is under way is still settled.

Every process that admits has a lease in the truth. What it left unsettled when its lease ended, or when its
journal's lock was found free, others settle (`recovery.py`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.metering.interfaces import Admission, Settlement
from gateway.metering.ledger.journal import Journal, Kind
from gateway.metering.ledger.lease import Lease
from gateway.metering.ledger.recovery import settle_abandoned
from gateway.metering.ledger.rows import admission_json, settlement_json
from gateway.metering.ledger.shipping import Shipper, Watch
from gateway.metering.ledger.truth import Truth

CLOSING: Final = 5.0
"""Seconds for which `close` tries to ship."""
MOST_KEPT: Final = 100_000
"""Settlements that are kept in memory while the journal cannot be written; more are dropped and counted in
`lost`, and their attempts are settled as estimated after this process has ended."""
AT_ONCE: Final = 1000
"""Of those, how many are written before others get their turn: some milliseconds."""


class JournaledLedger:
    """A Ledger, used from one event loop. `run` ships, and is to be kept going."""

    def __init__(
        self,
        *,
        journal: Journal,
        truth: Database,
        lease: Lease,
        clock: Clock,
        watch: Watch,
    ) -> None:
        self._journal = journal
        self._truth = Truth(truth)
        self._database = truth
        self._lease = lease
        self._clock = clock
        self._watch = watch
        self._shipper = Shipper(journal=journal, truth=self._truth, lease=lease, clock=clock, watch=watch)
        self._kept: deque[bytes] = deque()
        self._trouble = False
        self._closed = False
        self.lost = 0

    async def admit(self, admission: Admission) -> None:
        if self._closed:
            raise StoreUnavailable("the ledger is closed")
        self._append(Kind.ADMISSION, admission_json(admission, self._journal.worker))

    def settle(self, settlement: Settlement) -> None:
        if self._closed or len(self._kept) >= MOST_KEPT:
            self.lost += 1
            return
        self._kept.append(settlement_json(settlement))
        self._write_kept()
        if self._kept:
            self._shipper.soon()

    async def run(self) -> None:
        """Write what is kept and ship, until this is cancelled."""
        await self._shipper.run(self.flush)

    async def flush(self) -> None:
        self._write_kept()
        await self._shipper.flush()  # which makes room
        while self._kept:
            if not self._write_kept():
                raise StoreUnavailable("the journal cannot be written")
            await self._shipper.flush()

    async def recover(self) -> Sequence[Admission]:
        await self._shipper.adopt()
        if not self._lease.steady:
            return ()
        return await settle_abandoned(self._database, now=int(self._clock.now() * 1000))

    async def close(self) -> None:
        """What cannot be shipped in time is left to the next process."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(CLOSING):
                await self.flush()
                await self._truth.renew(self._journal.worker, 0)
        except (StoreUnavailable, TimeoutError) as error:
            if self._journal.unshipped:
                self._watch.journal_left(self._journal.unshipped)
            if self._kept:
                raise StoreUnavailable(
                    "the ledger could not write everything before it was closed"
                ) from error
        finally:
            self._journal.close()

    def _write_kept(self) -> bool:
        """What is kept, in its order, as far as the journal takes it. False when it took none of it."""
        count = 0
        try:
            while self._kept and count < AT_ONCE:
                self._append(Kind.SETTLEMENT, self._kept[0])
                self._kept.popleft()
                count += 1
        except StoreUnavailable:
            return count > 0
        return True

    def _append(self, kind: Kind, line: bytes) -> None:
        try:
            self._journal.append(kind, line)
        except StoreUnavailable as error:
            self._change_trouble(error)
            raise
        self._change_trouble(None)
        self._shipper.soon()

    def _change_trouble(self, trouble: StoreUnavailable | None) -> None:
        if (trouble is not None) != self._trouble:
            self._trouble = trouble is not None
            self._watch.ledger(trouble)
