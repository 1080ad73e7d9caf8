"""What shaping needs of others."""

from collections.abc import Iterable
from typing import Protocol


class Tokenizer(Protocol):
    """Counts tokens; takes milliseconds for long texts."""

    def total(self, texts: Iterable[str], encoding: str) -> int:
        """The tokens of all texts; an estimate where they are very long or the encoding is unknown."""
