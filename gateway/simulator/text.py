"""Words and tokens: the one rule by which everything here is counted, and the words of every answer.

A token is up to eight letters or four signs, with the blank before it, or a run of white space.
The tokens of a text, joined, are that text.
"""

import hashlib
import re

_TOKEN = re.compile(r" ?\w{1,8}| ?[^\w\s]{1,4}|\s+")

# Each is one token. Some need several bytes a letter, so that careless splitting of UTF-8 shows.
_VOCABULARY = """
    river stone quiet garden morning café letter window bridge engine winter market Straße signal paper
    harbour light orange candle mirror forest naïve pocket silver thunder travel valley whisper yellow ocean
    東京 meadow ladder kettle island hollow gentle feather ember dawn copper breeze anchor summit ribbon été
"""
_WORDS = _VOCABULARY.split()
_SENTENCE = 9


def tokens(text: str) -> list[str]:
    """The pieces of a text that count as one each."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    return len(tokens(text))


def dice(seed: str, number: int) -> bytes:
    """So many bytes that look random and are always the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(number)


def sentences(seed: str, length: int) -> tuple[str, ...]:
    """Pretended prose of exactly `length` tokens."""
    pieces: list[str] = []
    for position, die in enumerate(dice(seed, length)):
        place = position % _SENTENCE
        if place and (place == _SENTENCE - 1 or position == length - 1):
            pieces.append(".")
            continue
        word = _WORDS[die % len(_WORDS)]
        pieces.append((" " if position else "") + (word if place else word.capitalize()))
    return tuple(pieces)


def texts(content: object) -> list[str]:
    """The text in a message's content, which may be a string, a list of strings or a list of typed parts."""
    parts = content if isinstance(content, list) else [content]
    found = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in found if isinstance(text, str)]


def pictures(content: object) -> int:
    """How many parts of a message's content are no text: images, sound, files."""
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, dict) and not isinstance(part.get("text"), str) for part in parts)
