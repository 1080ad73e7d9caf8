"""Step 10, per byte: the upstream's own bytes go to the client as they come, and a side reader looks at
them.

What is per exchange stands in `pipeline.py`; this file is what a stream does thousands of times.
Deadlines are not timers of each stream: one tick a second looks at all of them (`StreamWatch`), so that a
chunk costs no timer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from gateway.core.clock import Clock
from gateway.core.errors import ClientLeft, ErrorCode, GatewayError, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.core.incoming import HeaderList, Reply
from gateway.upstream.interfaces import Answer
from gateway.wire.usage_reader import AnswerReader

KEEP_ALIVE: Final = b": keep-alive\n\n"

Translate = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """How long an answer may take. Seconds."""

    gap: float = 60.0
    """Without a byte from the upstream, once it has begun to answer."""
    whole: float = 1800.0
    """From the first byte to the last."""
    keep_alive: float = 15.0
    """Of silence after which an event stream gets a comment, so that balancers do not cut it."""


@dataclass(slots=True, eq=False)
class _Watched:
    """One answer on its way. Plain fields, since they are written for every chunk."""

    others: dict[str, "_Watched"]
    exchange_id: str
    task: asyncio.Task[object]
    reply: Reply
    reader: AnswerReader
    events: bool
    began: float
    moved: float
    """When the upstream last sent something."""
    spoke: float
    """When the client was last sent something."""
    writing: bool = False
    """Whether it is the client that is waited for."""
    verdict: GatewayError | None = None

    def __enter__(self) -> Self:
        self.others[self.exchange_id] = self
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.others.pop(self.exchange_id, None)
        if self.verdict is not None and isinstance(error, asyncio.CancelledError):
            self.task.uncancel()
            raise self.verdict from None

    def end(self, verdict: GatewayError) -> None:
        """The first verdict counts."""
        if self.verdict is None:
            self.verdict = verdict
            self.task.cancel()


class StreamWatch:
    """Ends answers whose upstream stalls, or that others want ended, and keeps silent event streams alive."""

    def __init__(self, *, clock: Clock, bounds: StreamBounds) -> None:
        self._clock = clock
        self._bounds = bounds
        self._watched: dict[str, _Watched] = {}
        """By exchange id."""

    @property
    def open(self) -> int:
        """Answers under way."""
        return len(self._watched)

    def over(self, exchange_id: str, reply: Reply, reader: AnswerReader, *, events: bool) -> _Watched:
        """Watch the current task's answer while the block lasts.

        What the watch has against it is raised at the block's end: UpstreamFailed, or what `end` was given.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an answer is relayed by a task")
        now = self._clock.monotonic()
        return _Watched(
            self._watched, exchange_id, task, reply, reader, events, began=now, moved=now, spoke=now
        )

    def end(self, exchange_id: str, verdict: GatewayError) -> None:
        """End this exchange's answer where it is, in its own dialect. Does nothing when it is over."""
        watched = self._watched.get(exchange_id)
        if watched is not None:
            watched.end(verdict)

    async def tick(self) -> None:
        """Look at every answer once. To be called about every second."""
        now = self._clock.monotonic()
        for watched in list(self._watched.values()):
            verdict = self._verdict(watched, now)
            if verdict is not None:
                watched.end(verdict)
            elif self._needs_comment(watched, now):
                watched.spoke = now
                with suppress(ClientLeft):  # its own task finds that out
                    await watched.reply.write(KEEP_ALIVE)

    def _verdict(self, watched: _Watched, now: float) -> UpstreamFailed | None:
        if watched.writing:
            return None  # how long that may take is the reply's to judge
        if now - watched.moved > self._bounds.gap:
            return UpstreamFailed(
                ErrorCode.UPSTREAM_TIMEOUT, "The upstream stopped in the middle of its answer."
            )
        if now - watched.began > self._bounds.whole:
            return UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "The answer took longer than an answer may.")
        return None

    def _needs_comment(self, watched: _Watched, now: float) -> bool:
        return (
            watched.events
            and not watched.writing
            and now - watched.spoke > self._bounds.keep_alive
            and watched.reader.at_boundary
            and watched.reply.taken
        )


@dataclass(slots=True)
class Relay:
    """Passes answers on."""

    clock: Clock
    watch: StreamWatch
    whole: int = 256 * 1024
    """Bytes up to which a JSON answer is taken in as a whole before the client sees any of it."""
    translated: int = 4 * 1024 * 1024
    """Bytes that an answer may have which is translated."""
    open_streams: Callable[[int], None] = field(default=lambda change: None)
    """Told +1 and -1."""

    async def pass_on(
        self, exchange: Exchange, answer: Answer, reader: AnswerReader, reply: Reply, headers: HeaderList
    ) -> None:
        """Give the client this answer. Raises UpstreamFailed when it breaks off or stalls, ClientLeft, and
        whatever it was ended with.
        """
        events = answer.content_type == "text/event-stream"
        with self.watch.over(exchange.id, reply, reader, events=events) as watched:
            if events:
                self.open_streams(1)
                try:
                    await self._pass_portions(exchange, answer.chunks(), watched, answer.status, headers)
                finally:
                    self.open_streams(-1)
            elif answer.content_type == "application/json":
                await self._pass_json(exchange, answer, watched, headers)
            else:
                await self._pass_portions(exchange, answer.chunks(), watched, answer.status, headers)

    async def pass_translated(
        self,
        exchange: Exchange,
        answer: Answer,
        reader: AnswerReader,
        reply: Reply,
        headers: HeaderList,
        translate: Translate,
    ) -> None:
        """Give the client this answer in another shape. Metered as the upstream sent it."""
        with self.watch.over(exchange.id, reply, reader, events=False) as watched:
            body = await answer.read(self.translated)
            reader.feed(body)
            reader.end()
            shown = translate(body) if answer.status == 200 else body
            exchange.answered = self.clock.monotonic()
            await self._while_client_takes(watched, reply.send(answer.status, headers, shown))

    async def _pass_json(
        self, exchange: Exchange, answer: Answer, watched: _Watched, headers: HeaderList
    ) -> None:
        """Small answers in one piece: until then a broken upstream can still become a proper error."""
        portions = answer.chunks()
        head = bytearray()
        async for data in portions:
            watched.moved = self.clock.monotonic()
            head += data
            if len(head) > self.whole:
                await self._pass_portions(
                    exchange, _resumed(bytes(head), portions), watched, answer.status, headers
                )
                return
        body = watched.reader.feed(bytes(head)) + watched.reader.end()
        exchange.answered = self.clock.monotonic()
        await self._while_client_takes(watched, watched.reply.send(answer.status, headers, body))

    async def _pass_portions(
        self,
        exchange: Exchange,
        portions: AsyncIterator[bytes],
        watched: _Watched,
        status: int,
        headers: HeaderList,
    ) -> None:
        monotonic, reader, write = self.clock.monotonic, watched.reader, watched.reply.write
        if not watched.events:  # those begin at once, so that comments can keep them alive
            portions = await _begun(portions)
        await self._while_client_takes(watched, watched.reply.start(status, headers))
        async for data in portions:
            watched.moved = now = monotonic()
            if exchange.answered is None:
                exchange.answered = now
            passed = reader.feed(data)
            if passed:
                watched.writing = True
                await write(passed)
                watched.writing = False
                watched.moved = watched.spoke = monotonic()
        held = reader.end()
        if held:
            await self._while_client_takes(watched, write(held))
        await self._while_client_takes(watched, watched.reply.end())

    async def _while_client_takes(self, watched: _Watched, act: Awaitable[None]) -> None:
        """Whoever stalls now is the client."""
        watched.writing = True
        await act
        watched.writing = False
        watched.moved = watched.spoke = self.clock.monotonic()


async def _begun(portions: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, once the first has come: until then a broken upstream can still become a proper error."""
    return _resumed(await anext(portions, b""), portions)


async def _resumed(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for data in rest:
        yield data
