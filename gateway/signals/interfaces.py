"""What replicas tell each other, and ask each other. Best effort, and nothing more: who must know looks
for itself as well."""

from collections.abc import Callable
from typing import Final, Protocol

MOST_BYTES: Final = 65_536
"""Of a message, a question and an answer each. What is longer is not sent, and logged: a fault of ours."""

Hear = Callable[[bytes], None]
Reply = Callable[[bytes], bytes | None]


class Signals(Protocol):
    """Topics are plain words, each used for telling or for asking. No secret, prompt or answer travels."""

    def on(self, topic: str, hear: Hear) -> None:
        """Have what is told about this topic heard, this process's own telling too. What `hear` raises is
        logged and has no further effect."""

    def answer(self, topic: str, reply: Reply) -> None:
        """Have questions about this topic answered; None: nothing to say. The last who says so answers."""

    async def tell(self, topic: str, message: bytes = b"") -> None:
        """Have it heard, here at once and everywhere else soon. Never raises: some may not hear it."""

    async def ask(
        self, topic: str, question: bytes, *, seconds: float = 0.5, enough: int | None = None
    ) -> list[bytes]:
        """What this process and the others answer, its own answer first: all that comes within so many
        seconds, or as soon as there are `enough`. Never raises: some may not have been heard."""

    async def run(self) -> None:
        """Keep hearing and answering. Never returns, and does not end when the others are away."""
