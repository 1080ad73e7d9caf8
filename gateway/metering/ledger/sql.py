"""The ledger in the house's database: two lines for each attempt, and the lease under which they are written.

Every process that admits has a row in `workers`, renewed every few seconds and, when that is overdue, in
the very transaction of the next admission, so that no attempt is admitted under a lease that has ended.
What a process left unsettled when its lease ended, others settle (`recovery.py`).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.core.attempt import Cause
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.statements import deletion, insertion, replacement
from gateway.database.tables import ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.database.writer import Change, Writer
from gateway.metering.interfaces import Admission, PricedBy, Settlement
from gateway.metering.ledger.group_commit import Batch, GroupCommit, OnTrouble
from gateway.metering.ledger.lease import Lease
from gateway.metering.ledger.presence import Presence
from gateway.metering.ledger.recovery import settle_abandoned
from gateway.metering.ledger.rows import admission_row, settlement_row

CLOSING: Final = 5.0
"""Seconds for which `close` tries."""

_NOTHING: Final = Usage(UsageSource.ESTIMATED)


class SqlLedger:
    """A Ledger in SQL, used from one event loop."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        presence: Presence | None = None,
        on_trouble: OnTrouble = lambda trouble: None,
        most_waiting: int = 10_000,
        most_kept: int = 100_000,
        patience: float = 1.0,
        lease: float = 15.0,
    ) -> None:
        """`presence`: how processes on one machine know of each other's end, without waiting for a lease.

        `on_trouble` is told what is the matter when writing begins to fail, and None when it is over.

        `most_waiting`: admissions that may wait to be written; more are refused. `most_kept`: settlements
        kept while the database fails; more are dropped and counted in `lost`, and their attempts are
        settled as estimated after this process has ended. In seconds: `patience` with one write, and
        `lease`, after which a process that gave no sign is dead to the others.
        """
        self._database = database
        self._clock = clock
        self._tell = on_trouble
        self._lease = Lease(clock=clock, seconds=lease)
        self._presence = presence
        if presence is not None:
            presence.hold(self._lease.worker)
        self._writer = Writer(database)
        self._lines = GroupCommit(
            writer=self._writer,
            compose=self._compose,
            on_written=self._confirm,
            on_trouble=self._note_trouble,
            most_waiting=most_waiting,
            most_kept=most_kept,
            patience=patience,
        )
        self._insert_admission = insertion(database.engine, ADMISSIONS)
        self._insert_settlement = insertion(database.engine, SETTLEMENTS)
        self._replace_worker = replacement(database.engine, WORKERS)
        self._delete_worker = deletion(database.engine, WORKERS)
        self._open: set[str] = set()
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """Attempts that this process has admitted and not settled."""
        return len(self._open)

    @property
    def lost(self) -> int:
        """Settlements that were dropped because too many had to be kept."""
        return self._lines.lost

    async def admit(self, admission: Admission) -> None:
        written = self._lines.add(admission)
        if self._ticker is None:
            self._tick()
        try:
            await written
        except asyncio.CancelledError:
            if not written.cancelled() and written.exception() is None:
                self._withdraw(admission)  # written in the very moment in which its waiter left
            raise

    def settle(self, settlement: Settlement) -> None:
        self._lines.keep(settlement)

    async def recover(self) -> Sequence[Admission]:
        if not self._lease.steady:
            return ()
        now = int(self._clock.now() * 1000)
        return await settle_abandoned(self._database, now=now, presence=self._presence)

    async def close(self) -> None:
        if self._lines.closed:
            return
        try:
            async with asyncio.timeout(CLOSING):
                await self._lines.drain()
                await self._resign()
        except TimeoutError as error:
            raise StoreUnavailable("the ledger could not write everything before it was closed") from error
        finally:
            self._lines.close()
            self._writer.close()
            if self._ticker is not None:
                self._ticker.cancel()
            if self._presence is not None:
                self._presence.clear(self._lease.worker)

    def _compose(self, batch: Batch) -> Sequence[Change]:
        changes: list[Change] = []
        lease_until = self._lease.renewal()
        if lease_until is not None:
            changes.append((self._replace_worker, [(self._lease.worker, lease_until)]))
        if batch.admissions:
            rows = [admission_row(admission, self._lease.worker) for admission, _ in batch.admissions]
            changes.append((self._insert_admission, rows))
        if batch.settlements:
            changes.append((self._insert_settlement, [settlement_row(line) for line in batch.settlements]))
        return changes

    def _confirm(self, batch: Batch) -> None:
        self._lease.renewed()
        for admission, written in batch.admissions:
            self._open.add(admission.attempt_id)
            if written.done():
                self._withdraw(admission)  # nobody waited for it any more
            else:
                written.set_result(None)
        self._open.difference_update(line.attempt_id for line in batch.settlements)

    def _withdraw(self, admission: Admission) -> None:
        """Settle an attempt that was admitted and will not be made."""
        self.settle(
            Settlement(
                attempt_id=admission.attempt_id,
                settled_at=int(self._clock.now() * 1000),
                cause=Cause.CLIENT_LEFT,
                status=None,
                usage=_NOTHING,
                cost=0,
                priced_by=PricedBy.FREE,
            )
        )

    async def _resign(self) -> None:
        """End the lease now. What is still open others may settle at once; else they need not look."""
        if self._ticker is None:
            return  # this process never admitted anything
        if self._open:
            await self._writer.write([(self._replace_worker, [(self._lease.worker, 0)])])
        else:
            await self._writer.write([(self._delete_worker, [(self._lease.worker,)])])

    def _note_trouble(self, trouble: StoreUnavailable | None) -> None:
        if trouble is not None:
            self._lease.doubt()
        self._tell(trouble)

    def _tick(self) -> None:
        """Renew the lease, whether or not anything else is to be written."""
        self._lines.soon()
        self._ticker = asyncio.get_running_loop().call_later(self._lease.pause, self._tick)
