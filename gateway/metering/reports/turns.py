"""Who may read a long report now. Its law: reports never crowd out what keeps the house running, and no asker
crowds out the others.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """At most so many at once, and one for each asker. Others wait, but not for long."""

    def __init__(self, *, most: int, patience: float) -> None:
        """`patience`: seconds."""
        self._patience = patience
        self._places = asyncio.Semaphore(most)
        self._own: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """As long as somebody holds or awaits it."""

    @asynccontextmanager
    async def of(self, asker: str) -> AsyncIterator[None]:
        """Hold a place. Raises TimeoutError when none was free in time."""
        own = self._own.setdefault(asker, asyncio.Lock())
        async with AsyncExitStack() as held:
            async with asyncio.timeout(self._patience):
                await held.enter_async_context(own)
                await held.enter_async_context(self._places)
            yield
