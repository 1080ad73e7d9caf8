"""The ledger: lines are safe when they are in this process's journal, and travel from there to the truth.

All that is handed over in one turn of the event loop is one write, when that turn is over. So an admission
waits for nothing else, and under load, when many come in a turn, each costs little. The database may be away;
the journal's bound is how long: beyond it nothing is admitted, while what is under way is still settled.

Every process that admits has a lease in the truth. What it left unsettled when its lease ended, or when its
journal's lock was found free, others settle (`recovery.py`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from gateway.core.attempt import Cause
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.metering.interfaces import Admission, PricedBy, Settlement
from gateway.metering.ledger.journal import Journal
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


_NOTHING: Final = Usage(UsageSource.ESTIMATED)


@dataclass(slots=True)
class _Turn:
    """What came in one turn of the event loop."""

    admissions: list[bytes] = field(default_factory=list)
    error: StoreUnavailable | None = None
    """Why none of them is in the journal."""


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
        self._turn: _Turn | None = None
        self._kept: deque[bytes] = deque()
        self._trouble = False
        self._closed = False
        self.lost = 0

    async def admit(self, admission: Admission) -> None:
        if self._closed:
            raise StoreUnavailable("the ledger is closed")
        turn = self._soon()
        turn.admissions.append(admission_json(admission, self._journal.worker))
        try:
            await asyncio.sleep(0)  # when that is over, so is the turn
        except asyncio.CancelledError:
            if turn.error is None:
                self._withdraw(admission)
            raise
        if turn.error is not None:
            raise StoreUnavailable(str(turn.error))

    def settle(self, settlement: Settlement) -> None:
        if self._closed or len(self._kept) >= MOST_KEPT:
            self.lost += 1
            return
        self._kept.append(settlement_json(settlement))
        self._soon()

    async def run(self) -> None:
        """Write what is kept and ship, until this is cancelled."""
        await self._shipper.run(self.flush)

    async def flush(self) -> None:
        self._write()
        await self._shipper.flush()  # which makes room
        while self._kept:
            if not self._write():
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

    def _soon(self) -> "_Turn":
        if self._turn is None:
            self._turn = _Turn()
            asyncio.get_running_loop().call_soon(self._write)
        return self._turn

    def _write(self) -> bool:
        """All that came in the turn, and what is kept. False when the journal took none of it."""
        turn, self._turn = self._turn or _Turn(), None
        try:
            self._append(turn.admissions)
        except StoreUnavailable as error:
            turn.error = error
        else:
            return True
        try:
            self._append([])  # it may still have room for settlements
        except StoreUnavailable:
            return False
        return True

    def _append(self, admissions: Sequence[bytes]) -> None:
        settlements = list(islice(self._kept, AT_ONCE))
        if not admissions and not settlements:
            return
        try:
            self._journal.append(admissions, settlements)
        except StoreUnavailable as error:
            self._change_trouble(error)
            raise
        finally:
            self._shipper.soon()  # also when it failed: what is kept is tried again there
        self._change_trouble(None)
        for _ in settlements:
            self._kept.popleft()

    def _withdraw(self, admission: Admission) -> None:
        """Settle an attempt that was admitted and will not be made: whoever asked has left."""
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

    def _change_trouble(self, trouble: StoreUnavailable | None) -> None:
        if (trouble is not None) != self._trouble:
            self._trouble = trouble is not None
            self._watch.ledger(trouble)
