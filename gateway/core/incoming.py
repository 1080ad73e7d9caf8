"""The client's side of an exchange, as the journey sees it. `server/` makes it of aiohttp."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Headers(Protocol):
    """Header fields by case-insensitive name; one name may stand several times."""

    def get(self, name: str, default: str = "", /) -> str: ...

    def getall(self, name: str, default: list[str], /) -> Sequence[str]: ...

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's certificate, which the TLS handshake has verified."""

    subject: str
    """As RFC 4514 spells it: `CN=search-api,O=Acme`."""
    uris: tuple[str, ...] = ()
    """The URIs among its alternative names: a SPIFFE id is one."""
    issued_at: int = 0
    """Seconds since 1970 from which on it is good."""


class Arrival(Protocol):
    """What is known of a request before its body: enough to tell who asks."""

    headers: Headers

    @property
    def peer(self) -> str:
        """The address at the other end of the connection; empty when there is none any more."""

    @property
    def certificate(self) -> Certificate | None:
        """The client's, where the clients' port asks for one."""


class Incoming(Arrival, Protocol):
    """One request as it arrives. The body is unread until somebody asks for it."""

    method: str
    path: str
    """The raw path, percent-encoding and all, without the query."""
    query: str
    version: str
    """Of HTTP, as the request line says it: `1.1`."""

    def body(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes, within the bounds of size, time and rate.

        Raises ClientLeft; Refused: `request_too_large` beyond `limit` bytes, `request_timeout` for a stall.
        """

    async def read(self, limit: int) -> bytes:
        """The whole body, within the same bounds."""


HeaderList = list[tuple[str, str]]


class Reply(Protocol):
    """The answer on its way to the client. It is begun once and ended once, or cut."""

    @property
    def started(self) -> bool:
        """Whether any byte of an answer is out: after that nothing can be taken back."""

    @property
    def taken(self) -> bool:
        """Whether the client has taken all that was written."""

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        """A whole answer at once."""

    async def start(self, status: int, headers: HeaderList) -> None:
        """The head of an answer whose body follows by `write`."""

    async def write(self, data: bytes) -> None:
        """Pass bytes on. Waits while the client is slow; raises ClientLeft when it is gone or too slow."""

    async def end(self) -> None:
        """The proper end of what was started."""

    def cut(self) -> None:
        """End the connection so that the client can see that the answer is not whole."""
