"""What the simulator saw and told: bounded, for tests to reconcile a ledger against."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from secrets import token_hex

from multidict import CIMultiDictProxy

from gateway.simulator.answer import Json, Part
from gateway.simulator.bill import Purchase

MOST_REQUESTS = 10_000
MOST_BODY_BYTES = 64 << 20


class Completion(Enum):
    """How far an answer has come."""

    OPEN = "open"
    FINISHED = "finished"
    CLIENT_LEFT = "client left"
    CUT = "cut"
    """Broken off by a fault, or by the simulator's own stop."""


@dataclass(slots=True, kw_only=True)
class SeenRequest:
    """One request, filled in as it goes on."""

    method: str
    raw_path: str
    """With query, and percent-encoded as it came."""
    headers: CIMultiDictProxy[str] = field(repr=False)
    request_id: str = field(default_factory=lambda: f"req_{token_hex(16)}")
    """The `x-request-id` of the answer."""
    body: bytes = field(default=b"", repr=False)
    """As it came, framing removed; a form's too (see `form.read_form`)."""
    status: int | None = None
    """None until a status line was sent."""
    usage: Json | None = None
    """The usage that was reported to the client; the last report counts."""
    told_tokens: int = 0
    """Tokens sent so far, whether reported or not."""
    generated_tokens: int = 0
    """Tokens made so far: they are billed, whether they could be sent or not."""
    purchase: Purchase | None = field(default=None, repr=False)
    """What is billed for it; None: nothing is."""
    completion: Completion = Completion.OPEN
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the completion is known: a test waits for it instead of sleeping."""

    def told(self, part: Part) -> None:
        """Note a part that was sent."""
        self.told_tokens += part.tokens
        self.usage = part.usage or self.usage

    def end(self, completion: Completion) -> None:
        self.completion = completion
        self.ended.set()


class Log:
    """The last requests: at most MOST_REQUESTS of them, and of their bodies about MOST_BODY_BYTES."""

    def __init__(self) -> None:
        self._seen: deque[SeenRequest] = deque()
        self._body_bytes = 0
        self._total = 0
        self._arrival = asyncio.Event()

    def __iter__(self) -> Iterator[SeenRequest]:
        return iter(self._seen)

    def add(self, seen: SeenRequest) -> None:
        """Note a request whose body has been read."""
        self._seen.append(seen)
        self._total += 1
        self._arrival.set()
        self._body_bytes += len(seen.body)
        while len(self._seen) > MOST_REQUESTS or (self._body_bytes > MOST_BODY_BYTES and len(self._seen) > 1):
            self._body_bytes -= len(self._seen.popleft().body)

    async def arrival(self, number: int) -> SeenRequest:
        """Wait until so many requests have come, and give the latest."""
        while self._total < number:
            self._arrival.clear()
            await self._arrival.wait()
        return self._seen[-1]
