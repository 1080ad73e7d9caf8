"""Runs Lua scripts on Redis. Calls that wait at the same time travel together, in one pipeline.

Callers never touch the connection: they wait for a reply that one loop brings. So a caller that gives up or
is cancelled leaves no half answer behind for the next one; and what it asked for, if still unsent, is not
sent. Nothing is tried twice, except a script that Redis does not know any more: that is sent in full.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from gateway.core.errors import StoreUnavailable

_MOST_TOGETHER: Final = 128
"""Calls in one pipeline: about 3 ms of Redis' time."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name under which Redis remembers it."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def of(cls, *names: str) -> "Script":
        """The files of these names beside this one, one after the other."""
        here = Path(__file__)
        return cls("\n".join(here.with_name(name).read_text(encoding="utf-8") for name in names))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str]


@dataclass(slots=True, eq=False)
class _Errand:
    """Calls of one caller, and where it waits for their replies."""

    calls: Sequence[ScriptCall]
    replies: asyncio.Future[list[Any]]


class Scripts:
    """The only way to Redis of the limits. `run` must be kept going, or every call times out."""

    def __init__(self, *, client: Redis, timeout: float) -> None:
        """`timeout`: seconds that a caller waits, and that Redis is given for what travels together."""
        self._client = client
        self._timeout = timeout
        self._waiting: deque[_Errand] = deque()
        self._work = asyncio.Event()

    async def call(self, *calls: ScriptCall) -> list[Any]:
        """The replies, in order. Raises StoreUnavailable when they come too late, or when one is an error."""
        errand = _Errand(calls, asyncio.get_running_loop().create_future())
        self._waiting.append(errand)
        self._work.set()
        try:
            async with asyncio.timeout(self._timeout):
                return await errand.replies
        except TimeoutError as error:
            raise StoreUnavailable("Redis did not answer in time") from error

    async def run(self) -> None:
        """Carry calls to Redis and replies back. Never returns."""
        while True:
            await self._work.wait()
            self._work.clear()
            while errands := self._next():
                await self._do(errands)

    def _next(self) -> list[_Errand]:
        """Who waits, as many as travel together. Who has given up is left out."""
        errands: list[_Errand] = []
        size = 0
        while self._waiting and size < _MOST_TOGETHER:
            errand = self._waiting.popleft()
            if not errand.replies.done():
                errands.append(errand)
                size += len(errand.calls)
        return errands

    async def _do(self, errands: Sequence[_Errand]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                replies = await self._send([call for errand in errands for call in errand.calls])
        except (RedisError, OSError) as error:
            for errand in errands:
                _fail(errand, error)
            return
        at = 0
        for errand in errands:
            _answer(errand, replies[at : at + len(errand.calls)])
            at += len(errand.calls)

    async def _send(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """The replies, errors of single calls among them."""
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        replies = await pipeline.execute(raise_on_error=False)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._send_in_full([calls[index] for index in unknown])
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies

    async def _send_in_full(self, calls: Sequence[ScriptCall]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.eval(call.script.text, len(call.keys), *call.keys, *call.args)
        return await pipeline.execute(raise_on_error=False)


def _answer(errand: _Errand, replies: list[Any]) -> None:
    error = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if error is not None:
        _fail(errand, error)
    elif not errand.replies.done():
        errand.replies.set_result(replies)


def _fail(errand: _Errand, error: Exception) -> None:
    if errand.replies.done():
        return
    unavailable = StoreUnavailable(f"Redis: {type(error).__name__}")
    unavailable.__cause__ = error
    errand.replies.set_exception(unavailable)
    errand.replies.exception()  # its caller may leave before it looks; that is no fault to be logged
