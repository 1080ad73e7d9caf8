"""Questions that arrive together travel together: while one lot is answered, the next one gathers.

When everything that was remembered is forgotten, every key in use is looked up at once. One by one, the last
of a thousand would wait too long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from gateway.core.errors import StoreUnavailable

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST: Final = 500
"""Questions of one lot."""


class Together(Generic[Question, Answer]):
    """Asks for many what was asked for one by one."""

    def __init__(self, ask: Callable[[Sequence[Question]], Awaitable[Mapping[Question, Answer]]]) -> None:
        """`ask`: what is not in its answer there is not."""
        self._ask = ask
        self._gathering: _Lot[Question, Answer] | None = None
        self._turn = asyncio.Lock()

    async def find(self, what: Question) -> Answer | None:
        """The answer, which is asked for after this call. Raises StoreUnavailable."""
        while True:
            lot = self._gathering
            if lot is None or len(lot.asked) >= MOST:
                lot = self._gathering = _Lot()
                lot.asked[what] = None
                return (await self._lead(lot)).get(what)
            lot.asked[what] = None
            await asyncio.wait([lot.answered])
            if not lot.answered.cancelled():
                return lot.answered.result().get(what)

    async def _lead(self, lot: "_Lot[Question, Answer]") -> Mapping[Question, Answer]:
        try:
            async with self._turn:
                self._close(lot)
                lot.answered.set_result(await self._ask(list(lot.asked)))
        except StoreUnavailable as error:
            lot.answered.set_exception(error)
        finally:
            self._close(lot)
            lot.answered.cancel()  # of no effect, unless this one has left: then the others gather anew
        return lot.answered.result()

    def _close(self, lot: "_Lot[Question, Answer]") -> None:
        if self._gathering is lot:
            self._gathering = None


class _Lot(Generic[Question, Answer]):
    """Questions, and what their answer will be."""

    def __init__(self) -> None:
        self.asked: dict[Question, None] = {}
        self.answered: asyncio.Future[Mapping[Question, Answer]] = asyncio.get_running_loop().create_future()
