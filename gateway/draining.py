"""Clients that leave before their answer is over: by policy it is read to its end without them, so that the
provider itself says what it cost.

Its law: only what was sent is read on, for a bounded time and a bounded number of bytes; nothing new is tried
for a client that is gone; and whatever ends it then, the exchange ended with its client's leaving.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from gateway.background import apart
from gateway.core.errors import ClientLeft, GatewayError
from gateway.core.exchange import Exchange
from gateway.core.incoming import HeaderList, Reply
from gateway.core.policy import WhenClientLeaves

Spend = Callable[[Reply], Coroutine[Any, Any, None]]
"""The part of a journey that costs: from the first byte upstream to the settlement."""

_ENDS: Final = (GatewayError, ClientLeft)
"""What may end an answer that nobody waits for. All else is a fault of ours, and is told."""


@dataclass(frozen=True, slots=True)
class Draining:
    """Sees exchanges through, with their clients or without."""

    seconds: float = 60.0
    """How long an answer is read on at most."""
    most: int = 32 * 1024 * 1024
    """Bytes of it that are read on at most."""

    async def see_through(self, exchange: Exchange, reply: Reply, spend: Spend) -> None:
        """Spend for this client, as its policy says. Raises what `spend` does; and once it has outlasted its
        client, ClientLeft, or the cancellation by which that was told.

        A task that outlasts the client's costs a little, so only those have one whose policy drains.
        """
        policy = exchange.policy
        if policy is None or policy.when_client_leaves is not WhenClientLeaves.DRAIN:
            await spend(reply)
            return
        audience = _Audience(exchange, reply, self.most)
        work = apart(spend(audience))
        audience.on_leave = lambda: self._go_on(exchange, work)
        cancelled = await _ended(work, audience.leave)
        if not exchange.client_left:
            work.result()
            return
        fault = None if work.cancelled() else work.exception()
        if fault is not None and not isinstance(fault, _ENDS):
            raise fault
        raise cancelled or ClientLeft("and its answer was read on without it")

    def _go_on(self, exchange: Exchange, work: asyncio.Task[None]) -> None:
        """The client is gone: what was sent for it has so much time; what was not is not sent."""
        if not (exchange.attempts and exchange.attempts[-1].sent):
            work.cancel()
            return
        patience = asyncio.get_running_loop().call_later(self.seconds, work.cancel)
        work.add_done_callback(lambda _: patience.cancel())


async def _ended(work: asyncio.Task[None], on_leave: Callable[[], None]) -> asyncio.CancelledError | None:
    """Wait for the end of the work. The first cancellation meanwhile says that the client has left; another
    one, that nobody is to go on. Gives the last.
    """
    cancelled = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            if cancelled is None:
                on_leave()
            else:
                work.cancel()
            cancelled = error
    return cancelled


class _Audience:
    """A `Reply` to a client that may leave: then what is said goes nowhere, and whoever says it goes on."""

    def __init__(self, exchange: Exchange, reply: Reply, most: int) -> None:
        self._exchange = exchange
        self._reply = reply
        self._left = most
        """Bytes that may still be said to nobody."""
        self.on_leave: Callable[[], None] = lambda: None

    @property
    def started(self) -> bool:
        return self._reply.started

    @property
    def taken(self) -> bool:
        return self._reply.taken and not self._exchange.client_left

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        await self._say(self._reply.send(status, headers, body), len(body))

    async def start(self, status: int, headers: HeaderList) -> None:
        await self._say(self._reply.start(status, headers), 0)

    async def write(self, data: bytes) -> None:
        await self._say(self._reply.write(data), len(data))

    async def end(self) -> None:
        await self._say(self._reply.end(), 0)

    def cut(self) -> None:
        self._reply.cut()

    def leave(self) -> None:
        """The client is gone."""
        if not self._exchange.client_left:
            self._exchange.client_left = True
            self._reply.cut()
            self.on_leave()

    async def _say(self, words: Coroutine[Any, Any, None], size: int) -> None:
        if self._exchange.client_left:
            words.close()
        else:
            try:
                await words
                return
            except ClientLeft:
                self.leave()
        self._left -= size
        if self._left < 0:
            raise ClientLeft("and its answer is too long to be read on without it")
