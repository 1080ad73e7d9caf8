"""How many tokens a text has: counted by the model's vocabulary where there is one, else estimated.

Counting holds the interpreter, so it is bounded: up to `exact` characters are counted, longer input is
sampled. Pictures and sounds that stand in JSON as base64 are no text: each counts as MEDIA_TOKENS and is not
looked at.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Final

try:
    from rs_bpe.bpe import openai as _rs_bpe
except ImportError:  # it has no wheels for this Python: every count is an estimate
    _rs_bpe = None

MEDIA_TOKENS: Final = 1_000
"""What one picture or sound is taken for: about a large picture in high detail."""

SAMPLES: Final = 64
"""Pieces, evenly spread, that are counted of input that is too long to be counted whole."""

_SHORTEST_MEDIA: Final = 4096
_MEDIA_HEAD: Final = re.compile(r"(?:data:[^,]{0,256},)?[A-Za-z0-9+/_=\r\n-]*+")
_MEDIA_TAIL: Final = re.compile(r"[A-Za-z0-9+/_=\r\n-]*+")
_MEDIA_SEEN: Final = 1024
"""Characters at each end by which media is recognised."""
_TEXT_COST: Final = 16
"""What counting a text costs however short it is, in characters."""

_Vocabulary = Callable[[str], int]


class Tokenizer:
    """Holds the vocabularies in use: o200k_base and cl100k_base.

    A vocabulary is loaded when it is first needed (15 to 45 ms, 30 to 65 MiB); `load` does it ahead of time.
    Each of the up to `exact` characters costs about 14 ns in prose and 65 ns at worst: 4 to 17 ms for 256 Ki.
    """

    def __init__(self, *, exact: int = 256 * 1024) -> None:
        self._exact = exact
        self._vocabularies: dict[str, _Vocabulary | None] = {}

    def load(self, encoding: str) -> bool:
        """Make ready to count in this encoding. False when it is unknown here: then `count` estimates."""
        if encoding not in self._vocabularies:
            self._vocabularies[encoding] = _load(encoding)
        return self._vocabularies[encoding] is not None

    def count(self, text: str, encoding: str) -> int:
        """The tokens of one text."""
        return self.total((text,), encoding)

    def total(self, texts: Iterable[str], encoding: str) -> int:
        """The tokens of all texts together; for an unknown encoding an estimate that is rather too high.

        Given a call's `texts`, the names of members stand for the few tokens that frame each message.
        """
        self.load(encoding)
        vocabulary = self._vocabularies[encoding]
        media, spoken = 0, []
        for text in texts:
            if _is_media(text):
                media += MEDIA_TOKENS
            else:
                spoken.append(text)
        if vocabulary is None:
            return media + sum([_estimate(text) for text in spoken])
        if sum(map(len, spoken)) + _TEXT_COST * len(spoken) <= self._exact:
            return media + sum(map(vocabulary, spoken))
        return media + _sampled(vocabulary, "".join(spoken), self._exact)

    def most(self, texts: Sequence[str], encoding: str) -> int:
        """A bound of the tokens of all texts, what looks like media included: counted one by one; their bytes
        when the encoding is unknown, or counting would take too long.
        """
        self.load(encoding)
        vocabulary = self._vocabularies[encoding]
        if vocabulary is None or sum(map(len, texts)) + _TEXT_COST * len(texts) > self._exact:
            return at_most(texts)
        return sum(map(vocabulary, texts))


def at_most(texts: Iterable[str]) -> int:
    """A bound for text in any vocabulary: each token stands for at least one byte of UTF-8. Cheap.

    It bounds text alone: a picture may cost more than its bytes, and one that is only linked to surely does.
    """
    return sum([_bytes(text) for text in texts])


def roughly(texts: Iterable[str]) -> int:
    """What is to be expected: four characters a token, one token at least for a text. Cheap."""
    return sum(
        [
            (len(text) + 3) // 4 if len(text) < _SHORTEST_MEDIA or not _is_media(text) else MEDIA_TOKENS
            for text in texts
        ]
    )


def _load(encoding: str) -> _Vocabulary | None:
    if _rs_bpe is None:
        return None
    if encoding == "o200k_base":
        vocabulary: _Vocabulary = _rs_bpe.o200k_base().count
    elif encoding == "cl100k_base":
        vocabulary = _rs_bpe.cl100k_base().count
    else:
        return None
    return vocabulary


def _sampled(vocabulary: _Vocabulary, text: str, characters: int) -> int:
    """Count `characters` of a longer text, evenly spread, and scale up."""
    width = max(1, characters // SAMPLES)
    starts = [index * len(text) // SAMPLES for index in range(SAMPLES)]
    counted = sum(vocabulary(text[start : start + width]) for start in starts)
    return ceil(counted * len(text) / (width * SAMPLES))


def _estimate(text: str) -> int:
    """Three bytes a token: prose has four or five, Chinese and code about three."""
    return (_bytes(text) + 2) // 3


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _is_media(text: str) -> bool:
    """Whether a long text begins and ends like base64, with or without `data:…,` before it."""
    if len(text) < _SHORTEST_MEDIA or not _MEDIA_HEAD.fullmatch(text, 0, _MEDIA_SEEN):
        return False
    return _MEDIA_TAIL.fullmatch(text, len(text) - _MEDIA_SEEN) is not None
