"""Signals of a process that knows of no other."""

import asyncio

import structlog

from gateway.signals.interfaces import Hear, Reply
from gateway.signals.topics import Topics


class AloneSignals:
    """A Signals. What is told is heard here, what is asked is answered here, and that is all."""

    def __init__(self, *, log: structlog.stdlib.BoundLogger) -> None:
        self._topics = Topics(log)

    def on(self, topic: str, hear: Hear) -> None:
        self._topics.on(topic, hear)

    def answer(self, topic: str, reply: Reply) -> None:
        self._topics.answer(topic, reply)

    async def tell(self, topic: str, message: bytes = b"") -> None:
        if self._topics.fits(topic, message):
            self._topics.heard(topic, message)

    async def ask(
        self, topic: str, question: bytes, *, seconds: float = 0.5, enough: int | None = None
    ) -> list[bytes]:
        answer = self._topics.replied(topic, question) if self._topics.fits(topic, question) else None
        return [] if answer is None else [answer]

    async def run(self) -> None:
        await asyncio.Event().wait()
