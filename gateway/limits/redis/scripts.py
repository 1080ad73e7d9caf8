"""Runs Lua scripts on Redis. Calls that wait at the same time for one node travel together, in one pipeline.

Callers never touch a connection: they wait for a reply that a few loops bring. So a caller that gives up or
is cancelled leaves no half answer behind for the next one; and what it asked for, if still unsent, is not
sent. Nothing is tried twice, but what Redis says it has not run: a script that it does not know any more is
sent in full, and a call that another node of the cluster has to serve goes on to that one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from hiredis import pack_command
from redis.asyncio import Connection, Redis
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.cluster import Cluster
from gateway.limits.redis.connect import Client
from gateway.limits.redis.deadlines import Deadlines

_MOST_TOGETHER: Final = 128
"""Calls in one pipeline: about 3 ms of Redis' time."""

_NODES_AT_ONCE: Final = 16
"""Nodes of a cluster that are waited for at once, so that a silent one keeps nobody from the others."""

_PAUSE: Final = 0.005
"""Seconds until a call is sent again to nodes that are just handing over its slot."""

_MAP_PAUSE: Final = 0.05
"""Seconds from one question for the cluster's map to the next, at least."""

_ASKING: Final[bytes] = pack_command(("ASKING",))


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name under which Redis remembers it."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def of(cls, *names: str) -> "Script":
        """The files of these names beside this one, one after the other."""
        here = Path(__file__)
        return cls("\n".join(here.with_name(name).read_text(encoding="utf-8") for name in names))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str]


@dataclass(slots=True, eq=False)
class _Caller:
    """Who waits for the replies to some calls."""

    replies: list[Any]
    missing: int
    waits: asyncio.Future[list[Any]]
    """Done as soon as nobody waits any more, for whatever reason."""

    def answer(self, index: int, reply: Any) -> None:
        self.replies[index] = reply
        self.missing -= 1
        if self.missing == 0 and not self.waits.done():
            self.waits.set_result(self.replies)

    def fail(self, error: Exception) -> None:
        if not self.waits.done():
            unavailable = StoreUnavailable(f"Redis: {type(error).__name__}")
            unavailable.__cause__ = error
            self._raise(unavailable)

    def give_up(self) -> None:
        """It has waited for long enough."""
        if not self.waits.done():
            self._raise(StoreUnavailable("Redis did not answer in time"))

    def _raise(self, unavailable: StoreUnavailable) -> None:
        self.waits.set_exception(unavailable)
        self.waits.exception()  # the caller may leave before it looks; that is no fault to be logged


@dataclass(slots=True, eq=False)
class _Errand:
    """One call, on its way."""

    call: ScriptCall
    caller: _Caller
    index: int
    """Of the reply among those that the caller waits for."""
    asking: bool = False
    """Whether it goes to a node that does not own the slot yet."""
    redirects: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """What waits for one node."""

    waiting: deque[_Errand] = field(default_factory=deque)
    busy: bool = False
    """Whether somebody carries, or is about to."""

    def next(self) -> list[_Errand]:
        """As many as travel together. Those whose callers have given up are left out."""
        errands: list[_Errand] = []
        while self.waiting and len(errands) < _MOST_TOGETHER:
            errand = self.waiting.popleft()
            if not errand.caller.waits.done():
                errands.append(errand)
        return errands


class Scripts:
    """The only way to Redis of the limits. `run` must be kept going, or every call times out."""

    def __init__(self, *, client: Client, timeout: float) -> None:
        """`timeout`: seconds that a caller waits, and that Redis is given for what travels together."""
        self._client = client
        self._timeout = timeout
        self._deadlines = Deadlines(seconds=timeout)
        self._lanes: WeakKeyDictionary[Redis, _Lane] = WeakKeyDictionary()
        self._homeless: deque[_Errand] = deque()
        """Whose node is not known yet."""
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._mapping = False
        """Whether somebody asks for the cluster's map, or is about to."""
        self._map_again_at = 0.0

    async def call(self, *calls: ScriptCall) -> list[Any]:
        """The replies, in order. Raises StoreUnavailable when they come too late, or when one is an error."""
        if not calls:
            return []
        caller = _Caller([None] * len(calls), len(calls), asyncio.get_running_loop().create_future())
        self._deadlines.add(caller.give_up)
        for index, call in enumerate(calls):
            self._send_home(_Errand(call, caller, index))
        return await caller.waits

    async def run(self) -> None:
        """Carry calls to Redis and replies back. Never returns."""
        carriers = _NODES_AT_ONCE if isinstance(self._client, Cluster) else 1
        await asyncio.gather(*(self._carry() for _ in range(carriers)))

    async def _carry(self) -> None:
        while True:
            job = await self._jobs.get()
            await job()

    def _send_home(self, errand: _Errand) -> None:
        """To the node that serves its keys."""
        client = self._client
        node = client.node_of(errand.call.keys[0]) if isinstance(client, Cluster) else client
        if node is None:
            self._homeless.append(errand)
            self._want_map()
        else:
            self._put(errand, node)

    def _put(self, errand: _Errand, node: Redis) -> None:
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = _Lane()
        lane.waiting.append(errand)
        if not lane.busy:
            lane.busy = True
            self._jobs.put_nowait(partial(self._serve, node, lane))

    async def _serve(self, node: Redis, lane: _Lane) -> None:
        """Carry what waits for one node, until nothing does."""
        try:
            while errands := lane.next():
                await self._do(node, errands)
        finally:
            lane.busy = False

    async def _do(self, node: Redis, errands: Sequence[_Errand]) -> None:
        try:
            async with asyncio.timeout(None) as scope:
                self._deadlines.add(partial(_expire, scope))
                replies = await _travel(node, errands)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait are told
            self._want_map()
            for errand in errands:
                errand.caller.fail(error)
            return
        for errand, reply in zip(errands, replies, strict=True):
            if not isinstance(reply, Exception):
                errand.caller.answer(errand.index, reply)
            elif isinstance(reply, AskError | TryAgainError) and isinstance(self._client, Cluster):
                self._redirect(errand, reply, node, self._client)
            else:
                if isinstance(reply, ClusterDownError):
                    self._want_map()
                errand.caller.fail(reply)

    def _redirect(
        self, errand: _Errand, reply: AskError | TryAgainError, node: Redis, cluster: Cluster
    ) -> None:
        """Send it where the reply says, as long as its caller waits. It was not run."""
        if isinstance(reply, MovedError):
            self._want_map()
        errand.asking = isinstance(reply, AskError) and not isinstance(reply, MovedError)
        if isinstance(reply, AskError):
            again = partial(self._put, errand, cluster.redirected(reply, node))
        else:
            again = partial(self._send_home, errand)
        errand.redirects += 1
        if isinstance(reply, TryAgainError) or errand.redirects > 2:
            asyncio.get_running_loop().call_later(_PAUSE, again)
        else:
            again()

    def _want_map(self) -> None:
        """Have the cluster's map asked for, soon and once."""
        if self._mapping or not isinstance(self._client, Cluster):
            return
        self._mapping = True
        loop = asyncio.get_running_loop()
        ask = partial(self._jobs.put_nowait, partial(self._map, self._client))
        loop.call_later(max(0.0, self._map_again_at - loop.time()), ask)

    async def _map(self, cluster: Cluster) -> None:
        failure: Exception = ClusterDownError("no node serves this slot")
        try:
            async with asyncio.timeout(self._timeout):
                await cluster.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait are told
            failure = error
        finally:
            self._mapping = False
            self._map_again_at = asyncio.get_running_loop().time() + _MAP_PAUSE
        homeless, self._homeless = self._homeless, deque()
        for errand in homeless:
            node = cluster.node_of(errand.call.keys[0])
            if node is None:
                errand.caller.fail(failure)
            else:
                self._put(errand, node)


def _expire(scope: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it is over already
        scope.reschedule(0.0)


async def _travel(node: Redis, errands: Sequence[_Errand]) -> list[Any]:
    """The replies of one node, errors of single calls among them.

    Written and read on the connection itself: a pipeline of redis-py costs twice as much.
    """
    pool: Any = node.connection_pool
    connection = await pool.get_connection()
    try:
        replies = await _round_trip(connection, errands, _by_name)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await _round_trip(connection, [errands[index] for index in unknown], _in_full)
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        if any(map(_is_of_a_replica, replies)):
            await connection.disconnect(nowait=True)  # by now its name may lead to another server
        return replies
    finally:
        await pool.release(connection)


async def _round_trip(
    connection: Connection, errands: Sequence[_Errand], spelled: Callable[[ScriptCall], bytes]
) -> list[Any]:
    await connection.send_packed_command(
        [_ASKING + spelled(errand.call) if errand.asking else spelled(errand.call) for errand in errands]
    )
    replies = []
    for errand in errands:
        if errand.asking:
            await _read(connection)
        replies.append(await _read(connection))
    return replies


async def _read(connection: Connection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _by_name(call: ScriptCall) -> bytes:
    return _packed("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _in_full(call: ScriptCall) -> bytes:
    return _packed("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)


def _packed(*words: Any) -> bytes:
    packed: bytes = pack_command(words)
    return packed


def _is_of_a_replica(reply: Any) -> bool:
    """Redis 6 quotes what stopped a script in an error of no kind."""
    if not isinstance(reply, ResponseError):
        return False
    return isinstance(reply, ReadOnlyError | MasterDownError) or "READONLY" in str(reply)
