"""Sees to it that this process knows what was changed, or taken back, anywhere.

The epoch is asked for twice a second, and at once when a signal says so: signals may be lost, polls are not.
When it has moved, what was taken back is read, and everything that is remembered of credentials is forgotten,
in this order. When it has not, what is remembered was right when the question was asked, and not later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.auth.interfaces import Forgetful, KeyStore, Revocation, RevocationStore
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable

REST: Final = 0.05
"""Seconds from one look that a signal asked for to the next: who makes a thousand keys signals a thousand
times."""


def _nobody() -> None:
    """Who is told of changes when nobody wants to be."""


class CredentialWatch:
    """Of one process. Whoever has it calls `refresh` twice a second, and keeps `run` going."""

    def __init__(
        self,
        *,
        keys: KeyStore,
        store: RevocationStore,
        known: KnownRevocations,
        forgetful: Sequence[Forgetful],
        clock: Clock,
        on_lag: Callable[[float], None],
        on_away: Callable[[StoreUnavailable | None], None],
        on_change: Callable[[], None] = _nobody,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_lag`: seconds from a revocation to the moment at which it holds here. `on_away`: what came of
        each look, None when it was answered. `on_change`: called after everything was forgotten."""
        self._keys = keys
        self._store = store
        self._known = known
        self._forgetful = forgetful
        self._clock = clock
        self._on_lag = on_lag
        self._on_away = on_away
        self._on_change = on_change
        self._pause = pause
        self._epoch: int | None = None
        self._turn = asyncio.Lock()
        self._asked = 0
        self._answered = 0
        """How many had asked for a look when the last one that came to its end began."""
        self._heard = asyncio.Event()

    async def refresh(self) -> None:
        """Look, and do what follows. Who comes while another looks shares the next look, which begins later
        than the call, with all who wait.

        A store that is away is told to `on_away`. Raises StoreUnavailable only until one look has come to its
        end: as long as it is not known what was taken back, nobody is to be let in.
        """
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._answered >= mine:
                return
            asked = self._asked
            try:
                await self._look()
            except StoreUnavailable as error:
                self._on_away(error)
                if self._epoch is None:
                    raise
            else:
                self._on_away(None)
            self._answered = asked

    def hear(self, _message: bytes = b"") -> None:
        """Somebody says that something was changed."""
        self._heard.set()

    async def run(self) -> None:
        """Look whenever that was heard. Never returns."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            await self.refresh()
            await self._pause(REST)

    async def _look(self) -> None:
        at = self._clock.monotonic()
        epoch = await self._keys.epoch()
        if epoch != self._epoch:
            self._take(await self._store.list(), begins=self._epoch is None)
            self._epoch = epoch
        for each in self._forgetful:
            each.confirm(at)

    def _take(self, revocations: Sequence[Revocation], *, begins: bool) -> None:
        new = self._known.replace(revocations)
        for each in self._forgetful:
            each.forget()
        if not begins:
            self._on_change()
            now = self._clock.now()
            for revocation in new:
                self._on_lag(max(0.0, now - revocation.at / 1000))
