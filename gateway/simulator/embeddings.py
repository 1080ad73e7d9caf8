"""Embeddings: unit vectors that depend on the text alone; as floats or as base64 of little-endian float32."""

import math
import struct
from base64 import b64encode

from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.ask import Ask
from gateway.simulator.bill import Bill
from gateway.simulator.errors import invalid
from gateway.simulator.text import count, dice

_DIMENSIONS = 1536
_DIMENSIONS_OF_LARGE = 3072
_MOST_TEXTS = 2048


def answer(ask: Ask) -> Answer:
    texts = ask.strings("input")
    if len(texts) > _MOST_TEXTS:
        raise invalid(f"'$.input' is invalid. At most {_MOST_TEXTS} inputs are allowed.", "input")
    usual = _DIMENSIONS_OF_LARGE if "large" in ask.model else _DIMENSIONS
    length = ask.integer("dimensions", usual, usual)
    data = [_embedding(ask, index, text, length) for index, text in enumerate(texts)]
    total = sum(map(count, texts))
    usage = {"prompt_tokens": total, "total_tokens": total}
    body: Json = {"object": "list", "data": data, "model": ask.model, "usage": usage}
    return whole(body, bill=Bill(input_tokens=total))


def _embedding(ask: Ask, index: int, text: str, length: int) -> Json:
    vector: list[float] | str = _vector(text, length)
    if ask.text("encoding_format") == "base64":
        vector = b64encode(struct.pack(f"<{length}f", *vector)).decode()
    return {"object": "embedding", "index": index, "embedding": vector}


def _vector(text: str, length: int) -> list[float]:
    # No byte is in the middle, so no vector has length 0.
    raw = [die - 127.5 for die in dice(text, length)]
    norm = math.hypot(*raw)
    return [value / norm for value in raw]
