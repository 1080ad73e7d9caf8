"""The promises of `upstream/`: who answers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from gateway.core.attempt import Attempt
from gateway.core.incoming import HeaderList
from gateway.core.policy import Model


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it leaves. `body` is asked for once an attempt, so that a retry can send it again."""

    method: str
    path: str
    """The operation's path after `/v1`, such as `/chat/completions`."""
    query: str
    headers: HeaderList
    """Only what the allow-list lets through; credentials are added by the upstream."""
    body: Callable[[], bytes | AsyncIterator[bytes]] = field(repr=False)


class Answer(Protocol):
    """What an upstream answers. The body is unread until somebody asks for it.

    Leaving its `with` block gives the connection back, or closes it when the body was not read to its end.
    """

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamFailed when it breaks off, or is longer than `limit`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, in the upstream's own portions. Raises UpstreamFailed when it breaks off."""


class Upstreams(Protocol):
    """Sends a request to the upstream that serves a model, trying again where that is safe."""

    async def send(
        self, model: Model, outgoing: Outgoing, admit: Callable[[Attempt], Awaitable[None]]
    ) -> Answer:
        """The first answer that may be relayed, to be used with `with`.

        `admit` is awaited before each attempt's first byte. Raises UpstreamFailed.
        """
