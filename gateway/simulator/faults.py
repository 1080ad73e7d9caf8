"""Faults on demand, as a table: each makes a spoiled answer of a good one, and says what its number means.

Ask for one in a request, `"metadata": {"simulate": "cut:3"}` (in a form: the field `simulate`), or in a test,
`simulator.faults.next(Fault("cut", 3))`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

from gateway.simulator.answer import Answer, Dialect, Json, Manner, Part, Stop
from gateway.simulator.errors import error, incorrect_key, invalid

_MORE_THAN_A_MEBIBYTE = (1 << 20) + 1
_MESSAGE = "The server had an error while processing your request. Sorry about that!"
_PAGE = b"<html><head><title>503</title></head><body><h1>503 Service Unavailable</h1></body></html>"
_EDGE_PAGE = Answer(status=503, parts=(Part(_PAGE),), content_type="text/html; charset=utf-8")
_REDIRECT = Answer(status=307, parts=(Part(b""),), headers={"location": "http://elsewhere.invalid/v1"})
_SERVER_ERROR = error(500, _MESSAGE, kind="server_error")


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the table."""

    spoil: Callable[[Answer, float], Answer]
    usual: float
    """The number when none is given."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name in FAULTS. Raises ValueError for any other name."""

    name: str
    number: float | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no such fault; there are: {', '.join(FAULTS)}")
        if self.number is not None and not isfinite(self.number):
            raise ValueError("a fault's number is finite")

    def spoil(self, answer: Answer) -> Answer:
        effect = FAULTS[self.name]
        return effect.spoil(answer, effect.usual if self.number is None else self.number)


class FaultQueue:
    """Faults that tests have ordered, oldest first."""

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()

    def next(self, fault: Fault, times: int = 1) -> None:
        """The next requests that would be answered get this fault instead."""
        self._queue.extend([fault] * times)

    def take(self) -> Fault | None:
        return self._queue.popleft() if self._queue else None


def named(text: str) -> Fault:
    """A fault as a request spells it, `cut` or `cut:3`. Raises Refusal (400)."""
    name, _, number = text.partition(":")
    try:
        return Fault(name, float(number) if number else None)
    except ValueError as reason:
        raise invalid(f"Invalid 'metadata.simulate': {reason}", "metadata.simulate") from reason


def _manner(**changes: Any) -> Callable[[Answer, float], Answer]:
    return lambda answer, _: replace(answer, manner=Manner(**changes))


def _stops(stop: Stop) -> Callable[[Answer, float], Answer]:
    return lambda answer, number: replace(answer, manner=Manner(stop=stop, after=int(number)))


def _falls_short(answer: Answer, number: float) -> Answer:
    return replace(answer, manner=Manner(lacking_bytes=int(number)))


def _rate_limited(_: Answer, seconds: float) -> Answer:
    message = (
        "Rate limit reached for gpt-4o in organization org-simulated on tokens per min (TPM): "
        f"Limit 30000, Used 28770, Requested 2900. Please try again in {seconds:g}s."
    )
    waits = {"retry-after": str(max(1, ceil(seconds))), "retry-after-ms": str(round(seconds * 1000))}
    return error(429, message, kind="tokens", code="rate_limit_exceeded", headers=waits)


def _instead(other: Answer) -> Callable[[Answer, float], Answer]:
    return lambda _, __: other


def _without_end(answer: Answer, _: float) -> Answer:
    return replace(answer, parts=answer.parts[:-1]) if answer.streams_events else answer


def _without_usage(answer: Answer, _: float) -> Answer:
    kept = (part for part in answer.parts if not _carries_only_usage(part))
    return replace(answer, parts=tuple(_forgetting_usage(part) for part in kept))


def _carries_only_usage(part: Part) -> bool:
    return isinstance(part.data, dict) and part.data.get("choices") == [] and part.usage is not None


def _forgetting_usage(part: Part) -> Part:
    if not isinstance(part.data, dict):
        return part
    data = {name: value for name, value in part.data.items() if name != "usage"}
    if "response" in data:
        data["response"] = data["response"] | {"usage": None}
    return replace(part, data=data)


def _with_error(answer: Answer, number: float) -> Answer:
    if not answer.streams_events:
        return answer
    before = answer.parts[: int(number)]
    return replace(answer, parts=(*before, _ERRORS[answer.dialect](len(before))))


def _with_huge_line(answer: Answer, number: float) -> Answer:
    def grown(part: Part) -> Part:
        padding: Json = {"obfuscation": "x" * _MORE_THAN_A_MEBIBYTE}
        return replace(part, data=part.data | padding) if isinstance(part.data, dict) else part

    if not answer.streams_events:
        return answer
    at = int(number) % len(answer.parts)
    return replace(answer, parts=(*answer.parts[:at], grown(answer.parts[at]), *answer.parts[at + 1 :]))


def _error_as_data(_: int) -> Part:
    return Part({"error": {"message": _MESSAGE, "type": "server_error", "param": None, "code": None}})


def _error_of_responses(number: int) -> Part:
    flat: Json = {"type": "error", "code": "server_error", "message": _MESSAGE, "param": None}
    return Part(flat | {"sequence_number": number}, event="error")


def _error_of_images(_: int) -> Part:
    told: Json = {"message": _MESSAGE, "type": "server_error", "param": None, "code": "server_error"}
    return Part({"type": "error", "error": told}, event="error")


_ERRORS: Mapping[Dialect, Callable[[int], Part]] = {
    Dialect.DATA: _error_as_data,
    Dialect.RESPONSES: _error_of_responses,
    Dialect.IMAGES: _error_of_images,
}

FAULTS: Mapping[str, Effect] = {
    "429": Effect(_rate_limited, 1, "refused for rate; the number: seconds to wait"),
    "500": Effect(_instead(_SERVER_ERROR), 0, "a server error"),
    "503_html": Effect(_instead(_EDGE_PAGE), 0, "an edge's HTML page"),
    "401": Effect(_instead(incorrect_key("sk-simulated-upstream-key")), 0, "the upstream key is refused"),
    "redirect": Effect(_instead(_REDIRECT), 0, "sent elsewhere with 307"),
    "hang": Effect(_stops(Stop.HANG), 0, "no answer until the client leaves"),
    "stall": Effect(_stops(Stop.STALL), 2, "silence for ever; after so many events"),
    "cut": Effect(_stops(Stop.CUT), 2, "the connection is aborted; after so many events"),
    "cut_body": Effect(_falls_short, 64, "so many bytes fewer than `content-length` promised"),
    "error_in_stream": Effect(_with_error, 2, "an error in the endpoint's dialect; after so many events"),
    "missing_usage": Effect(_without_usage, 0, "no usage anywhere"),
    "no_done": Effect(_without_end, 0, "a stream without its last event"),
    "huge_line": Effect(_with_huge_line, 1, "a line of more than 1 MiB; in which event, 0 or -1 and so on"),
    "slow_drip": Effect(_manner(bytes_a_write=1, drips=True), 0, "byte by byte, each waits for the pace"),
    "split": Effect(_manner(bytes_a_write=1), 0, "byte by byte"),
    "crlf": Effect(_manner(line_end="\r\n"), 0, "events with CRLF line ends"),
    "gzip": Effect(_manner(compressed=True), 0, "compressed, though nobody asked"),
}
