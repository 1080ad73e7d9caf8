"""The promises around a journey, kept in memory: a request, an upstream, an answer, a client, a ledger."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import msgspec
from multidict import CIMultiDict

from gateway.core.attempt import Attempt
from gateway.core.errors import ClientLeft, ErrorCode, Refused, StoreUnavailable, UpstreamFailed
from gateway.core.incoming import Certificate, HeaderList
from gateway.core.policy import Model
from gateway.core.spending import Spending
from gateway.core.usage_question import UsageQuestion, UsageSum
from gateway.limits.interfaces import Demand, Limiter
from gateway.metering.interfaces import Admission, Settlement
from gateway.metering.ledger.memory import MemoryLedger
from gateway.upstream.interfaces import Answer, Outgoing
from gateway.wire.headers import media_type

JSON = "application/json"
EVENTS = "text/event-stream"
Portion = bytes | BaseException | asyncio.Event | Callable[[], None]
"""What an answer consists of: bytes; an error that breaks it; an event to wait for; something to be done."""


class MemoryAnswer:
    """An `Answer` whose portions were written down beforehand."""

    def __init__(
        self,
        *portions: Portion,
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._portions = portions
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": content_type, **(headers or {})}
        self.given_back = False

    @property
    def content_type(self) -> str:
        return media_type(self.headers.get("content-type", ""))

    async def read(self, limit: int) -> bytes:
        body = b"".join([data async for data in self.chunks()])
        if len(body) > limit:
            raise UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "The upstream's answer is longer than it may be.")
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        for portion in self._portions:
            if isinstance(portion, BaseException):
                raise portion
            if isinstance(portion, asyncio.Event):
                await portion.wait()
            elif isinstance(portion, bytes):
                yield portion
            else:
                portion()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.given_back = True


Try = MemoryAnswer | BaseException | asyncio.Event
"""What comes of one attempt: an answer, an error, or a wait for ever."""


class MemoryUpstreams:
    """`Upstreams` that do what was written down. A failed try is followed by the next while there is one."""

    def __init__(self, *tries: Try) -> None:
        self._tries = tries
        self.outgoing: list[Outgoing] = []
        self.models: list[Model] = []

    async def send(
        self, model: Model, outgoing: Outgoing, admit: Callable[[Attempt], Awaitable[None]]
    ) -> Answer:
        self.models.append(model)
        for number, each in enumerate(self._tries, 1):
            attempt = Attempt(id=f"att_{number}", upstream=model.upstream, number=number)
            await admit(attempt)
            self.outgoing.append(outgoing)
            attempt.sent = not (
                isinstance(each, UpstreamFailed) and each.code is ErrorCode.UPSTREAM_UNREACHABLE
            )
            if isinstance(each, asyncio.Event):
                await each.wait()
            elif isinstance(each, MemoryAnswer):
                attempt.status = each.status
                if number == len(self._tries):
                    return each
            elif number == len(self._tries) or not isinstance(each, UpstreamFailed):
                raise each
        raise RuntimeError("nothing was written down")

    @property
    def bodies(self) -> list[Any]:
        """The JSON that was sent."""
        sent = [outgoing.body() for outgoing in self.outgoing]
        return [msgspec.json.decode(body) for body in sent if isinstance(body, bytes)]


class MemoryUsage:
    """`OrganizationUsage` whose answer is known beforehand."""

    def __init__(self) -> None:
        self.questions: list[UsageQuestion] = []
        self.sums: Sequence[UsageSum] = ()
        self.error: Exception | None = None
        self.waits_for: asyncio.Event | None = None

    async def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        self.questions.append(question)
        if self.waits_for is not None:
            await self.waits_for.wait()
        if self.error is not None:
            raise self.error
        return self.sums


def _is_unreachable(outcome: Try) -> bool:
    return isinstance(outcome, UpstreamFailed) and outcome.code is ErrorCode.UPSTREAM_UNREACHABLE


class MemoryReply:
    """A `Reply` to a client that takes what it is given, until it leaves or is slow."""

    def __init__(self) -> None:
        self.started = False
        self.taken = True
        self.status = 0
        self.headers: dict[str, str] = {}
        self.written: list[bytes] = []
        self.ended = False
        self.gone = False
        """Set it, and the client has left."""
        self.slow: asyncio.Event | None = None
        """Set it, and the client takes nothing until the event comes."""

    @property
    def body(self) -> bytes:
        return b"".join(self.written)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        await self.start(status, headers)
        await self.write(body)
        await self.end()

    async def start(self, status: int, headers: HeaderList) -> None:
        if self.started:
            raise RuntimeError("a request is answered once")
        self.started = True
        self.status = status
        self.headers = dict(headers)
        await self._taking()

    async def write(self, data: bytes) -> None:
        if not self.started or self.ended:
            raise RuntimeError("written outside an answer")
        self.written.append(data)
        await self._taking()

    async def end(self) -> None:
        await self._taking()
        self.ended = True

    def cut(self) -> None:
        self.gone = True

    async def _taking(self) -> None:
        if self.gone:
            raise ClientLeft("gone")
        if self.slow is not None:
            await self.slow.wait()


class MemoryIncoming:
    """An `Incoming` that is all there, or breaks off."""

    version = "1.1"

    def __init__(
        self,
        *portions: bytes | BaseException,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
        certificate: Certificate | None = None,
    ) -> None:
        self._portions = portions
        self.method = method
        self.path = path
        self.query = query
        self.headers: CIMultiDict[str] = CIMultiDict(headers or {})
        self.peer = peer
        self.certificate = certificate
        self.was_read = False

    async def body(self, limit: int) -> AsyncIterator[bytes]:
        self.was_read = True
        received = 0
        for portion in self._portions:
            if isinstance(portion, BaseException):
                raise portion
            received += len(portion)
            if received > limit:
                raise Refused(ErrorCode.REQUEST_TOO_LARGE, "It is too large.")
            yield portion

    async def read(self, limit: int) -> bytes:
        return b"".join([data async for data in self.body(limit)])


class FreshLoader:
    """A `Loader` for which nothing was spent before."""

    def __init__(self, limiter: Limiter, *, spent: int = 0) -> None:
        self._limiter = limiter
        self._spent = spent

    async def load(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            await self._limiter.load(demand, Spending(self._spent))


class Books(MemoryLedger):
    """The memory ledger, which remembers all that it was told. It writes so many admissions, and no more."""

    def __init__(self, *, good_for: int = 1000) -> None:
        super().__init__()
        self._good_for = good_for
        self.admitted: list[Admission] = []
        self.settled: list[Settlement] = []

    async def admit(self, admission: Admission) -> None:
        if len(self.admitted) == self._good_for:
            raise StoreUnavailable("the disk is full")
        self.admitted.append(admission)
        await super().admit(admission)

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)
        super().settle(settlement)
