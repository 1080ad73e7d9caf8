"""A proxy in front of a Redis that breaks on demand, and only then. It runs in a thread of its own.

    with fault_proxy(server.path) as proxy:            # or ("127.0.0.1", 6379); tls=… to be reached by TLS
        client = connect(proxy.url)

        proxy.refuse()                                 # as if nobody listened; who is connected is cut off
        proxy.black_hole()                             # takes connections and bytes, and never answers
        proxy.delay(2.0)                               # every reply comes so much later
        proxy.flap(up=0.2, down=0.3)                   # refuses and passes by turns
        proxy.lose_replies()                           # commands are run, their replies never come
        proxy.inject("-READONLY You can't write.", 3)  # the next three commands get this, and are not run
        proxy.cut_next_reply()                         # the next reply ends in its middle, and then all
        proxy.heal()                                   # as if it were not there

One fault at a time: each begins by ending the one before. `inject` and `cut_next_reply` end by themselves.
What a method says is so when it returns. Handshakes (AUTH, SELECT and the like) are never injected into.
"""

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

Target = str | tuple[str, int]
"""A Unix socket, or host and port."""

_HANDSHAKE: Final = {b"AUTH", b"SELECT", b"HELLO", b"CLIENT"}
_CHUNK: Final = 65536


@dataclass
class _Fault:
    """What is broken at the moment."""

    swallows_commands: bool = False
    swallows_replies: bool = False
    delay: float = 0.0
    injected: bytes = b""
    injections: int = 0
    cuts: bool = False


class FaultProxy:
    """See the top of this file. All its methods may be called from any thread but its own."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        """Where commands go; may be changed, for new connections."""
        self.fault = _Fault()
        self.commands = 0
        """Commands that came, handshakes left out."""
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flapping: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """With TLS by name: certificates of tests are made out for it."""
        return f"rediss://localhost:{self.port}" if self._tls else f"redis://127.0.0.1:{self.port}"

    # faults

    def heal(self) -> None:
        self._begin(_Fault(), listens=True)

    def refuse(self) -> None:
        self._begin(_Fault(), listens=False)

    def black_hole(self) -> None:
        self._begin(_Fault(swallows_commands=True), listens=True)

    def lose_replies(self) -> None:
        self._begin(_Fault(swallows_replies=True), listens=True)

    def delay(self, seconds: float) -> None:
        self._begin(_Fault(delay=seconds), listens=True)

    def inject(self, line: str, times: int = 1) -> None:
        """`line`: a reply without its line end: `-LOADING Redis is loading the dataset in memory`."""
        self._begin(_Fault(injected=line.encode() + b"\r\n", injections=times), listens=True)

    def cut_next_reply(self) -> None:
        self._begin(_Fault(cuts=True), listens=True)

    def flap(self, *, up: float, down: float) -> None:
        """Seconds of each; until `heal` or another fault."""

        async def flap() -> None:
            while True:
                await self._change(_Fault(), listens=False)
                await asyncio.sleep(down)
                await self._change(_Fault(), listens=True)
                await asyncio.sleep(up)

        async def begin() -> None:
            await self._settle_down()
            self._flapping = self._task(flap())

        self._do(begin)

    def cut_all(self) -> None:
        """End every connection, and leave the fault as it is."""
        self._do(self._cut)

    # its life

    def start(self) -> None:
        self._thread.start()
        self._do(self._listen)

    def stop(self) -> None:
        async def end() -> None:
            await self._settle_down()
            await self._close()
            await self._cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._do(end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, act: Callable[[], Awaitable[None]]) -> None:
        """Act on the proxy's loop, and wait for it."""

        async def acted() -> None:
            await act()

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result(10)

    def _task(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._keep(task)
        return task

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        """To be ended with the proxy."""
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _begin(self, fault: _Fault, *, listens: bool) -> None:
        async def begin() -> None:
            await self._settle_down()
            await self._change(fault, listens=listens)

        self._do(begin)

    async def _settle_down(self) -> None:
        if self._flapping is not None:
            self._flapping.cancel()
            await asyncio.gather(self._flapping, return_exceptions=True)
            self._flapping = None

    async def _change(self, fault: _Fault, *, listens: bool) -> None:
        """Connections in which bytes were lost, or nobody listens any more, are cut."""
        lossy = self.fault.swallows_commands or self.fault.swallows_replies
        self.fault = fault
        if listens and self._server is None:
            await self._listen()
        if not listens:
            await self._close()
        if lossy or not listens:
            await self._cut()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for passage in list(self._open):
            passage.cut()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.current_task())
        try:
            there = await _opened(self.target)
        except OSError:
            writer.transport.abort()
            return
        passage = _Passage(self, (reader, writer), there)
        self._open.add(passage)
        try:
            await passage.run()
        finally:
            self._open.discard(passage)


@contextmanager
def fault_proxy(target: Target, *, tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """A proxy that listens, gone at the end. `tls`: what it shows to clients; the target gets plain text."""
    proxy = FaultProxy(target, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _opened(target: Target) -> _Streams:
    if isinstance(target, str):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(*target)


@dataclass(eq=False)
class _Passage:
    """One connection from end to end."""

    proxy: FaultProxy
    here: _Streams
    there: _Streams
    awaited: deque[bytes] = field(default_factory=deque)
    """For each command whose reply has not gone out: nothing, or what was injected in its place."""
    out: asyncio.Queue[tuple[float, bytes]] = field(default_factory=asyncio.Queue)
    """Replies, and when they are due."""

    async def run(self) -> None:
        pumps = [asyncio.ensure_future(work) for work in (self._commands(), self._replies(), self._deliver())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.cut()

    def cut(self) -> None:
        for _, writer in (self.here, self.there):
            writer.transport.abort()

    async def _commands(self) -> None:
        buffer = bytearray()
        while data := await self.here[0].read(_CHUNK):
            if self.proxy.fault.swallows_commands:
                continue
            buffer += data
            while (end := end_of_value(buffer)) is not None:
                self._command(bytes(buffer[:end]))
                del buffer[:end]

    def _command(self, command: bytes) -> None:
        fault = self.proxy.fault
        handshake = _name(command) in _HANDSHAKE
        self.proxy.commands += not handshake
        if fault.injections and not handshake:
            fault.injections -= 1
            self.awaited.append(fault.injected)
            self._let_out_injected()
        else:
            self.awaited.append(b"")
            self.there[1].write(command)

    async def _replies(self) -> None:
        buffer = bytearray()
        while data := await self.there[0].read(_CHUNK):
            buffer += data
            while (end := end_of_value(buffer)) is not None:
                self._reply(bytes(buffer[:end]))
                del buffer[:end]

    def _reply(self, reply: bytes) -> None:
        if self.awaited:  # what is published to a subscriber was not asked for
            self.awaited.popleft()
        if not self.proxy.fault.swallows_replies:
            self._let_out(reply)
        self._let_out_injected()

    def _let_out_injected(self) -> None:
        while self.awaited and self.awaited[0]:
            self._let_out(self.awaited.popleft())

    def _let_out(self, reply: bytes) -> None:
        self.out.put_nowait((asyncio.get_running_loop().time() + self.proxy.fault.delay, reply))

    async def _deliver(self) -> None:
        with suppress(ConnectionError):
            while True:
                due, reply = await self.out.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                if self.proxy.fault.cuts:
                    self.proxy.fault.cuts = False
                    self.here[1].write(reply[: len(reply) // 2])
                    await self.here[1].drain()
                    return
                self.here[1].write(reply)
                await self.here[1].drain()


def end_of_value(data: bytearray | bytes, start: int = 0) -> int | None:
    """Where the RESP2 value that begins at `start` ends; None while it is not whole."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, after = data[start : start + 1], line_end + 2
    if kind == b"$":
        length = int(data[start + 1 : line_end])
        end = after if length < 0 else after + length + 2
        return end if end <= len(data) else None
    if kind == b"*":
        end: int | None = after
        for _ in range(int(data[start + 1 : line_end])):
            end = end_of_value(data, end) if end is not None else None
        return end
    return after


def _name(command: bytes) -> bytes:
    """`EVALSHA` of `*3\\r\\n$7\\r\\nEVALSHA\\r\\n…`."""
    return command.split(b"\r\n", 3)[2].upper()
