"""Questions to a store, one at a time for each: who asks meanwhile shares the answer, or the failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gateway.core.errors import StoreUnavailable

Answer = TypeVar("Answer")


class Lookups:
    """Those that are under way."""

    def __init__(self, *, deadline: float) -> None:
        """`deadline`: seconds that the store may take."""
        self._deadline = deadline
        self._under_way: dict[str | bytes, asyncio.Future[Any]] = {}

    def forget(self) -> None:
        """Who asks from now on does not share what began before."""
        self._under_way.clear()

    async def shared(self, what: str | bytes, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer about this thing. Raises StoreUnavailable, also when the store takes too long."""
        while (lookup := self._under_way.get(what)) is not None:
            await asyncio.wait([lookup])
            if not lookup.cancelled():
                shared: Answer = lookup.result()
                return shared
        lookup = self._under_way[what] = asyncio.get_running_loop().create_future()
        try:
            lookup.set_result(await self._in_time(ask))
        except StoreUnavailable as error:
            lookup.set_exception(error)
        finally:
            if self._under_way.get(what) is lookup:
                del self._under_way[what]
            lookup.cancel()  # of no effect, unless our own client has left: then another asks in our place
        found: Answer = lookup.result()
        return found

    async def _in_time(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(self._deadline):
                return await ask()
        except TimeoutError as error:
            raise StoreUnavailable("the key store did not answer in time") from error
