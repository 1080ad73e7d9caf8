"""What will be sent, as values: the parts of an answer, and the manner of sending, which faults may spoil."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias

from gateway.simulator.bill import Bill

Json: TypeAlias = dict[str, Any]

EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece that is sent in one go: a body, an event of a stream, a stretch of sound."""

    data: Json | str | bytes
    """Bytes go out as they are, an object as JSON; a string is a bare `data:` line such as `[DONE]`."""
    event: str | None = None
    tokens: int = 0
    """How many tokens it says: the pace waits for them."""

    @property
    def usage(self) -> Json | None:
        """The usage that this part reports to the client, if any."""
        if not isinstance(self.data, dict):
            return None
        return self.data.get("usage") or (self.data.get("response") or {}).get("usage")


class Dialect(Enum):
    """How an endpoint tells of an error inside a stream."""

    DATA = auto()
    RESPONSES = auto()
    IMAGES = auto()


class Stop(Enum):
    """How an answer breaks off."""

    HANG = auto()
    """Not even a status line; until the client leaves."""
    STALL = auto()
    """Silence after some parts, until the client leaves."""
    CUT = auto()
    """The connection is aborted after some parts."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is sent. As it stands it is faultless."""

    line_end: str = "\n"
    bytes_a_write: int | None = None
    """None: each part in one write."""
    drips: bool = False
    """Wait a token's time between writes."""
    compressed: bool = False
    lacking_bytes: int = 0
    """By so much `content-length` promises more than is sent."""
    stop: Stop | None = None
    after: int = 0
    """Parts sent before it stops. The last part is never sent then: what is broken shall not look whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, before faults or after."""

    parts: tuple[Part, ...]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    dialect: Dialect = Dialect.DATA
    manner: Manner = Manner()
    bill: Bill | None = None
    """What all of it costs. None: nothing is billed, as for errors."""

    @property
    def tokens(self) -> int:
        """How many tokens all parts say."""
        return sum(part.tokens for part in self.parts)

    @property
    def streams_events(self) -> bool:
        return self.content_type == EVENT_STREAM


def whole(data: Json, tokens: int = 0, *, bill: Bill | None = None) -> Answer:
    """A JSON answer in one piece; it took as long as it takes to say so many tokens."""
    return Answer(parts=(Part(data, tokens=tokens),), bill=bill)


def stream(parts: Iterable[Part], dialect: Dialect = Dialect.DATA, *, bill: Bill | None = None) -> Answer:
    """Server-sent events."""
    return Answer(parts=tuple(parts), content_type=EVENT_STREAM, chunked=True, dialect=dialect, bill=bill)
