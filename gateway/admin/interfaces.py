"""The promises of `admin/`: what the operators' API asks of the rest of the house, and how it remembers what
it has answered. Where nothing else is said, every method raises StoreUnavailable when its store is away.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from gateway.audit.reading import Line, Verdict
from gateway.core.actor import Actor
from gateway.core.principal import Principal
from gateway.explaining.explanation import Explanation


@dataclass(frozen=True, slots=True)
class Asked:
    """One operation that somebody asks for, and may ask for: read, checked, decoded."""

    actor: Actor
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    """What was given, and is not empty: texts, and whole numbers where the table says so."""
    body: Any = None
    """Of the shape that the table says."""
    raw_query: str = ""
    raw_body: bytes = field(default=b"", repr=False)


Handler = Callable[[Asked], Awaitable[Any]]
"""What it returns becomes JSON. Raises Problem, and what `Operators` puts into words."""


class Page(Protocol):
    """A few operations that belong together."""

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of the table."""


class Routes(Protocol):
    """What is no operation: the console."""

    def routes(self) -> Sequence[web.RouteDef]: ...


class Sessions(Protocol):
    """Who is signed in at the console."""

    def opened(self, cookie: str) -> Actor | None:
        """None for what was not sealed here, or has ended."""


class AuditTrail(Protocol):
    """What was done."""

    async def list(self, *, team: str | None = None, before: int | None = None, most: int) -> Sequence[Line]:
        """The newest first."""

    async def verify(self, head: str | None = None) -> Verdict:
        """Raises ValueError for what is no head."""


class Explainer(Protocol):
    """Remembers requests."""

    async def explain(self, request_id: str) -> Explanation | None: ...

    async def refusals(self, teams: frozenset[str] | None, most: int) -> Sequence[Explanation]:
        """The newest first. None: of all, and of callers that nobody knows."""


class Rehearsal(Protocol):
    """Makes dry runs."""

    async def rehearse(self, principal: Principal, method: str, path: str, body: bytes) -> Explanation:
        """Raises ValueError for a request of which there is none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a request was answered the first time."""

    status: int
    answer: str
    """JSON, without any secret."""


class UnderWay(Exception):
    """The same request is being answered at the moment."""


class KeyReused(Exception):
    """The idempotency key was that of another request."""


class Repeats(Protocol):
    """What was answered to requests with an idempotency key, for a day. Each actor has keys of its own."""

    async def begin(self, actor: str, key: str, request_hash: bytes) -> Kept | None:
        """None: nobody asked that yet; it is under way from here on. Raises UnderWay, KeyReused."""

    async def keep(self, actor: str, key: str, kept: Kept) -> None:
        """It is over."""

    async def forget(self, actor: str, key: str) -> None:
        """It failed: it may be asked again."""
