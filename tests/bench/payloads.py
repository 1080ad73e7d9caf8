"""What the load client asks and what the fake upstream answers, to the byte, so that each can be checked."""

import json
import re
from typing import Final, NamedTuple

UPSTREAM_KEY: Final = "sk-upstream-of-the-bench"
"""The key that every contestant puts in place of the client's; the fake upstream refuses any other."""

_MODEL: Final = "gpt-4o-mini"
_PROSE: Final = "The quick brown fox jumps over the lazy dog while nobody is looking at either of them. "
_ANSWER: Final = {
    "id": "chatcmpl-bench0000000000000000000000",
    "object": "chat.completion",
    "created": 1760000000,
    "model": _MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": _PROSE * 7, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 180, "completion_tokens": 120, "total_tokens": 300},
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}
ANSWER: Final = json.dumps(_ANSWER).encode()
"""A chat completion of about 1 KB."""


class Pace(NamedTuple):
    """How a stream runs: `chunks` events, `gap_ms` apart."""

    chunks: int
    gap_ms: int


def request(pace: Pace | None = None) -> bytes:
    """The body of a chat request of about 1 KB: for one JSON answer, or for a stream that runs at `pace`."""
    order = f"pace {pace.chunks} x {pace.gap_ms} ms. " if pace else ""
    content = {
        "model": _MODEL,
        "messages": [
            {"role": "system", "content": f"{order}You are terse."},
            {"role": "user", "content": _PROSE * 9},
        ],
        "temperature": 0.7,
        "max_tokens": 200,
    }
    return json.dumps(content | ({"stream": True} if pace else {})).encode()


def pace_of(body: bytes) -> Pace | None:
    """The pace that `request` wrote into a body; None when no stream is asked for."""
    found = re.search(rb"pace (\d+) x (\d+) ms", body)
    return Pace(int(found[1]), int(found[2])) if found else None


_EVENT_HEAD: Final = (
    b'data: {"id":"chatcmpl-bench0000000000000000000000","object":"chat.completion.chunk",'
    b'"created":1760000000,"model":"gpt-4o-mini","service_tier":"default","system_fingerprint":"fp_bench",'
)


def event(number: int, *, usage: bool = False) -> bytes:
    """The stream's event of that number, about 250 bytes, all equally long. `usage`: it was asked for."""
    return (
        _EVENT_HEAD
        + b'"choices":[{"index":0,"delta":{"content":" w%04d"},"finish_reason":null}]%s}\n\n'
        % (number, b',"usage":null' if usage else b"")
    )


EVENT_BYTES: Final = len(event(0))

USAGE_EVENT: Final = (
    _EVENT_HEAD + b'"choices":[],'
    b'"usage":{"prompt_tokens":180,"completion_tokens":120,"total_tokens":300}}\n\n'
)
DONE: Final = b"data: [DONE]\n\n"


def stream(pace: Pace) -> bytes:
    """All that a client gets for a stream when it did not ask for usage, to the byte."""
    return b"".join(event(number) for number in range(pace.chunks)) + DONE
