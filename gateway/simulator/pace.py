"""Realistic timing: a wait for the first token, then a steady flow."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the pretended model is."""

    first_token_seconds: float = 0.3
    tokens_per_second: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def instant(cls) -> "Pace":
        """Never waits at all: for tests."""
        return cls(first_token_seconds=0.0, tokens_per_second=math.inf)

    async def think(self) -> None:
        """Wait as long as the first token takes."""
        await self._wait(self.first_token_seconds)

    async def say(self, tokens: int) -> None:
        """Wait as long as so many tokens take."""
        await self._wait(tokens / self.tokens_per_second)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self.sleep(seconds)
