"""What was done and belongs to no transaction: noted at once, and put on record soon, with the moment at
which it was done. While the database is away it waits.
"""

import asyncio
from typing import Final

import structlog
from sqlalchemy import Connection

from gateway.audit.trail import append
from gateway.core.actor import Act
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database

MOST: Final = 1_000
"""Acts that wait. What comes beyond is in the log alone."""


class Notebook:
    """Of one process. What waits when it is killed is lost."""

    def __init__(self, *, database: Database, clock: Clock, log: structlog.stdlib.BoundLogger) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._waiting: list[tuple[Act, int]] = []
        self._turn = asyncio.Lock()

    def note(self, act: Act) -> None:
        """Does not wait, and does not fail."""
        if len(self._waiting) < MOST:
            self._waiting.append((act, int(self._clock.now() * 1000)))
        else:
            self._log.error("act_not_on_record", action=act.action, actor=act.actor, target=act.target)

    async def flush(self) -> None:
        """Put on record what waits, in its order. To be called every second, and at the end."""
        async with self._turn:
            noted, self._waiting = self._waiting, []
            if not noted:
                return

            def work(connection: Connection) -> None:
                for act, at in noted:
                    append(connection, act, at)

            try:
                await self._database.write(work)
            except StoreUnavailable:
                self._waiting = [*noted, *self._waiting]
