"""Waiting for what no event tells of. Bounded, and the only place where tests sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, cast

_T = TypeVar("_T")


async def eventually(look: Callable[[], _T | Awaitable[_T]], *, seconds: float = 30.0) -> _T:
    """The first thing seen that is true. Raises TimeoutError when there is none for so long."""
    async with asyncio.timeout(seconds):
        while True:
            seen = look()
            found = cast(_T, await seen if isawaitable(seen) else seen)
            if found:
                return found
            await asyncio.sleep(0.01)
