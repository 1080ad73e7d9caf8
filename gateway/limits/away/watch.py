"""The way to a store that can be away: every call counts for or against it."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.limits.away.breaker import Circuit

_SLOW: Final = "slow replies"
_Reply = TypeVar("_Reply")


class Watch:
    """Over the calls of one replica."""

    def __init__(
        self,
        *,
        circuit: Circuit,
        clock: Clock,
        is_late: Callable[[], bool],
        on_bad: Callable[[], None],
        on_open: Callable[[str], None],
    ) -> None:
        """`is_late`: whether this process is slow itself. `on_bad`: told of each call that failed or was
        slow. `on_open`: told why the circuit has opened."""
        self._circuit = circuit
        self._clock = clock
        self._is_late = is_late
        self._on_bad = on_bad
        self._on_open = on_open

    async def over(self, call: Awaitable[_Reply]) -> _Reply:
        """The call's result. A reply that was long in coming counts against the store, and so does a failure:
        StoreUnavailable, which is raised on."""
        began = self._clock.monotonic()
        reply = await self._heard(call)
        if self._was_slow(began):
            self._note_bad(_SLOW)
        else:
            self._circuit.went_well()
        return reply

    async def over_bulk(self, call: Awaitable[_Reply]) -> _Reply:
        """As `over`, for a call that may take its time."""
        reply = await self._heard(call)
        self._circuit.went_well()
        return reply

    async def over_probe(self, probe: Awaitable[None]) -> bool:
        """Whether the store answered, and soon."""
        began = self._clock.monotonic()
        try:
            await self._heard(probe)
        except StoreUnavailable:
            return False
        was_slow = self._was_slow(began)
        if was_slow:
            self._note_bad(_SLOW)
        return not was_slow

    def _was_slow(self, began: float) -> bool:
        return self._circuit.is_slow(self._clock.monotonic() - began) and not self._is_late()

    async def _heard(self, call: Awaitable[_Reply]) -> _Reply:
        try:
            return await call
        except StoreUnavailable as error:
            self._note_bad(str(error))
            raise

    def _note_bad(self, why: str) -> None:
        if self._circuit.went_badly():
            self._on_open(why)
        self._on_bad()
