"""Group commit: what comes together, and what comes while the last lot is being written, is one write.

All state is the event loop's; the writer's thread only writes. One write is under way at a time, so under
load lots grow by themselves and their cost per line falls; a lone line starts at the end of its own turn of
the loop.

When a write fails, or takes longer than `patience`, admissions are refused at once and settlements are
kept. The next try is half a second later, and the first success ends the trouble. Requests never probe.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.core.errors import StoreUnavailable
from gateway.database.writer import Change, Writer
from gateway.metering.interfaces import Admission, Settlement

LINGER: Final = 0.02
"""Seconds for which a settlement waits for company: the next admission takes it along to the disk."""
RETRY: Final = 0.5
"""Seconds between tries while the database fails."""

OnTrouble = Callable[[StoreUnavailable | None], None]
Waiting = tuple[Admission, "asyncio.Future[None]"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes into one transaction."""

    admissions: list[Waiting] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)


class GroupCommit:
    """Collects lines and has them written."""

    def __init__(
        self,
        *,
        writer: Writer,
        compose: Callable[[Batch], Sequence[Change]],
        on_written: Callable[[Batch], None],
        on_trouble: OnTrouble,
        most_waiting: int,
        most_kept: int,
        patience: float,
    ) -> None:
        """`compose` makes changes of a batch, and may add its own; none: nothing is written. `on_written`
        answers the batch's admissions; one whose future is done by then had been refused, or left.
        """
        self._writer = writer
        self._compose = compose
        self._on_written = on_written
        self._on_trouble = on_trouble
        self._most_waiting = most_waiting
        self._most_kept = most_kept
        self._patience = patience
        self._next = Batch()
        self._writing: asyncio.Future[None] | None = None
        self._scheduled = False
        self._lingering = False
        self.closed = False
        self.trouble: StoreUnavailable | None = None
        self.lost = 0
        """Settlements that were dropped because too many had to be kept, or came after the end."""

    def add(self, admission: Admission) -> "asyncio.Future[None]":
        """Done when the line is written. Raises StoreUnavailable, or fails with it."""
        if self.closed:
            raise StoreUnavailable("the ledger is closed")
        if self.trouble is not None:
            raise _again(self.trouble)
        if len(self._next.admissions) >= self._most_waiting:
            raise StoreUnavailable("too many admissions are waiting to be written")
        written = asyncio.get_running_loop().create_future()
        self._next.admissions.append((admission, written))
        self.soon()
        return written

    def keep(self, settlement: Settlement) -> None:
        """Write the line with the next lot; try until it is written."""
        if self.closed or len(self._next.settlements) >= self._most_kept:
            self.lost += 1
            return
        self._next.settlements.append(settlement)
        if not self._lingering:
            self._lingering = True
            asyncio.get_running_loop().call_later(LINGER, self._stop_lingering)

    def soon(self) -> None:
        """Write when this turn of the event loop is over, with all that comes in it."""
        if not self._scheduled and self._writing is None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write)

    async def drain(self) -> None:
        """Until nothing is left to be written."""
        while self._writing or self._next.admissions or self._next.settlements:
            self._write()
            if self._writing is not None:
                await asyncio.wait([self._writing])
            if self.trouble is not None:
                await asyncio.sleep(RETRY)

    def close(self) -> None:
        """Write nothing from now on."""
        self.closed = True

    def _stop_lingering(self) -> None:
        self._lingering = False
        if self.trouble is None:
            self.soon()

    def _write(self) -> None:
        """Hand over what has come together, unless the last lot is under way: its end leads here again."""
        self._scheduled = False
        if self._writing is not None or self.closed:
            return
        changes = self._compose(self._next)
        if not changes:
            return
        batch, self._next = self._next, Batch()
        alarm = asyncio.get_running_loop().call_later(self._patience, self._lose_patience, batch)
        self._writing = self._writer.write(changes)
        self._writing.add_done_callback(partial(self._done, batch, alarm))

    def _done(self, batch: Batch, alarm: asyncio.TimerHandle, writing: "asyncio.Future[None]") -> None:
        alarm.cancel()
        self._writing = None
        error = writing.exception()
        if error is None:
            self._on_written(batch)
            self._change_trouble(None)
            if self._next.admissions or (self._next.settlements and not self._lingering):
                self.soon()
        else:
            self._next.settlements[:0] = batch.settlements
            self._refuse(batch, StoreUnavailable(str(error)))
            asyncio.get_running_loop().call_later(RETRY, self.soon)

    def _lose_patience(self, batch: Batch) -> None:
        self._refuse(batch, StoreUnavailable("the database did not answer in time"))

    def _refuse(self, batch: Batch, error: StoreUnavailable) -> None:
        """Let nobody wait for what cannot be promised."""
        for _, written in (*batch.admissions, *self._next.admissions):
            if not written.done():
                written.set_exception(_again(error))
        self._next.admissions.clear()
        self._change_trouble(error)

    def _change_trouble(self, trouble: StoreUnavailable | None) -> None:
        if (trouble is None) != (self.trouble is None):
            self._on_trouble(trouble)
        self.trouble = trouble


def _again(error: StoreUnavailable) -> StoreUnavailable:
    """For another who is told the same: an exception of his own, so that tracebacks do not pile up."""
    return StoreUnavailable(str(error))
