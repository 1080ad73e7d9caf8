"""Signals by Redis' publish and subscribe: one server, the master behind sentinels, or a cluster, in which
every node passes on what any of them is told.

Its law: one connection listens and belongs to nobody else. Whether signals really arrive is not guessed: each
process signals itself every few seconds, and one that does not hear itself connects anew. What is malformed
is ignored. Nothing waits without a bound, and nothing is raised: `on_away` is told instead.

    gateway:signals         what is told to all, and asked of all
    gateway:signals:<id>    what is answered to one, and its signals to itself
"""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Annotated, Any, Final, Protocol

import msgspec
import structlog
from redis.asyncio import Redis

from gateway.signals.interfaces import MOST_BYTES, Hear, Reply
from gateway.signals.topics import Topics

CHANNEL: Final = "gateway:signals"
TIMEOUT: Final = 0.2
"""Seconds for a message to be published: somebody waits."""
BEAT: Final = 2.0
"""Seconds between two signals to oneself."""
AT_ONCE: Final = 0.1
AGAIN: Final = 1.0
"""Seconds until a lost connection is made again, the first time and from then on."""

_BEATS_MISSED: Final = 1.5
"""Beats without a word after which a connection counts as lost."""
_MOST_FRAME: Final = MOST_BYTES + 1024
_MOST_ANSWERS: Final = 1024
"""Answers to one question: a replica each."""
_MOST_WAITING: Final = 256
"""Messages that wait to be published. What finds no room is not sent."""

_Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]


class Nodes(Protocol):
    """The nodes of a cluster: what of it is needed here."""

    async def find(self, key: str) -> Redis:
        """Who serves this key. Raises RedisError and OSError."""

    async def refresh(self) -> None:
        """Ask anew who serves what. Raises RedisError and OSError."""


class _Message(msgspec.Struct, array_like=True, frozen=True):
    sender: _Id
    topic: str
    body: bytes
    question: str = ""
    """Of a question and of its answers: by which they belong together. Empty: it is told, not asked."""


class _Asking:
    """Somebody who waits for answers."""

    def __init__(self, enough: int | None) -> None:
        self._enough = _MOST_ANSWERS if enough is None else min(enough, _MOST_ANSWERS)
        self._from: set[str] = set()
        self.answers: list[bytes] = []
        self.has_enough = asyncio.Event()

    def add(self, answer: bytes, sender: str) -> None:
        """Each may answer once."""
        if sender in self._from or self.has_enough.is_set():
            return
        self._from.add(sender)
        self.answers.append(answer)
        if len(self.answers) >= self._enough:
            self.has_enough.set()


class RedisSignals:
    """A Signals between all processes on one Redis. `tell` and `ask` alone need no `run`."""

    def __init__(
        self,
        *,
        client: Redis | Nodes,
        log: structlog.stdlib.BoundLogger,
        on_away: Callable[[str | None], None],
        beat: float = BEAT,
        timeout: float = TIMEOUT,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_away`: nothing is heard from now on, and why; or it is again (None). Once each way."""
        self._client = client
        self._topics = Topics(log)
        self._on_away = on_away
        self._beat = beat
        self._timeout = timeout
        self._pause = pause
        self._id = token_hex(16)
        self._own = f"{CHANNEL}:{self._id}"
        self._sign = _Message(self._id, "", b"")
        self._turn = 0
        """Of a cluster another node is asked after each failure."""
        self._losses = 0
        """Connections that were lost since a signal came back."""
        self._away = False
        self._asking: dict[str, _Asking] = {}
        self._outbox: asyncio.Queue[tuple[str, _Message]] = asyncio.Queue(_MOST_WAITING)

    def on(self, topic: str, hear: Hear) -> None:
        self._topics.on(topic, hear)

    def answer(self, topic: str, reply: Reply) -> None:
        self._topics.answer(topic, reply)

    async def tell(self, topic: str, message: bytes = b"") -> None:
        if self._topics.fits(topic, message):
            self._topics.heard(topic, message)
            await self._publish(CHANNEL, _Message(self._id, topic, message))

    async def ask(
        self, topic: str, question: bytes, *, seconds: float = 0.5, enough: int | None = None
    ) -> list[bytes]:
        if not self._topics.fits(topic, question):
            return []
        asking, name = _Asking(enough), token_hex(16)
        own = self._topics.replied(topic, question)
        if own is not None:
            asking.add(own, self._id)
        self._asking[name] = asking
        try:
            async with asyncio.timeout(seconds):
                if not asking.has_enough.is_set() and await self._publish(
                    CHANNEL, _Message(self._id, topic, question, name)
                ):
                    await asking.has_enough.wait()
        except TimeoutError:
            pass  # whoever has not answered by now is not heard
        finally:
            del self._asking[name]
        return asking.answers

    async def run(self) -> None:
        await asyncio.gather(self._listen(), self._send_what_waits(), self._keep_beating())

    # Hearing.

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear_one_connection()
            except Exception as error:  # noqa: BLE001 - whatever it was, operators are told
                self._lost(error)
            await self._pause(AT_ONCE if self._losses == 1 else AGAIN)

    async def _hear_one_connection(self) -> None:
        """Until it is lost. Raises what it was lost by."""
        async with asyncio.timeout(self._beat):
            pool: Any = (await self._node(anew=self._losses > 0)).connection_pool
            connection = await pool.get_connection()
        try:
            await connection.send_command("SUBSCRIBE", CHANNEL, self._own)
            while True:
                async with asyncio.timeout(self._beat * _BEATS_MISSED):
                    kind, channel, data = await connection.read_response()
                if kind == b"message":
                    self._take(channel.decode(), data)
                elif channel.decode() == self._own:
                    self._send(self._own, self._sign)  # it is subscribed: all is well once this is heard
                await asyncio.sleep(0)  # what has come already is read without a wait: others have a turn
        finally:
            await connection.disconnect(nowait=True)  # nobody else is to get it with a subscription
            await pool.release(connection)

    def _take(self, channel: str, data: bytes) -> None:
        message = _decoded(data)
        if channel == self._own:
            self._take_own(message)
        elif message is not None and message.sender != self._id:
            self._take_common(message)

    def _take_own(self, message: _Message | None) -> None:
        if message is None:
            return
        if message.sender == self._id:
            self._open()
        elif message.question in self._asking:
            self._asking[message.question].add(message.body, message.sender)

    def _take_common(self, message: _Message) -> None:
        if not message.question:
            self._topics.heard(message.topic, message.body)
            return
        answer = self._topics.replied(message.topic, message.body)
        if answer is not None:
            reply = _Message(self._id, message.topic, answer, message.question)
            self._send(f"{CHANNEL}:{message.sender}", reply)

    def _lost(self, error: Exception) -> None:
        """A connection that is lost once, and had again at once, is no news."""
        self._turn += 1
        self._losses += 1
        if self._losses > 1 and not self._away:
            self._away = True
            self._on_away(_why(error))

    def _open(self) -> None:
        """The way there and back is."""
        self._losses = 0
        if self._away:
            self._away = False
            self._on_away(None)

    # Speaking.

    def _send(self, channel: str, message: _Message) -> None:
        """Soon, if there is room."""
        if not self._outbox.full():
            self._outbox.put_nowait((channel, message))

    async def _send_what_waits(self) -> None:
        while True:
            await self._publish(*await self._outbox.get())

    async def _keep_beating(self) -> None:
        while True:
            await self._publish(self._own, self._sign)
            await self._pause(self._beat)

    async def _publish(self, channel: str, message: _Message) -> bool:
        """Whether it was taken."""
        try:
            async with asyncio.timeout(self._timeout):
                await (await self._node()).publish(channel, msgspec.msgpack.encode(message))
        except Exception:  # noqa: BLE001 - whatever it was, it is told by what does not come back
            self._turn += 1
            return False
        return True

    async def _node(self, *, anew: bool = False) -> Redis:
        """Any that can be reached, as far as is known."""
        if isinstance(self._client, Redis):
            return self._client
        if anew:
            await self._client.refresh()
        return await self._client.find(f"{CHANNEL}:{self._turn}")


def _decoded(data: bytes) -> _Message | None:
    if len(data) > _MOST_FRAME:
        return None
    try:
        return msgspec.msgpack.decode(data, type=_Message)
    except msgspec.MsgspecError:
        return None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "Redis did not answer in time"
    return f"Redis: {type(error).__name__}"
