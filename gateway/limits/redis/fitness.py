"""What a Redis must be like to keep limits and to pass signals on. Looks at it once, from outside; changes
nothing.

What the gateway's user may not ask is not known, and that is no fault.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from math import inf
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import (
    AskError,
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.cluster import Cluster
from gateway.limits.redis.connect import TIMEOUT, Client
from gateway.limits.redis.findings import Fault, Finding
from gateway.limits.redis.scripts import Script
from gateway.signals.redis import CHANNEL

PATIENCE: Final = 2.0
"""Seconds for everything that one server is asked."""

_LEAST_VERSION: Final = (6, 2)
_MOST_SKEW: Final = 5.0
_SLOW: Final = TIMEOUT / 2
_TRIAL: Final = Script.of("trial.lua")
_TRIALS: Final = 3
_NOBODYS_CHANNEL: Final = f"{CHANNEL}:probe"

_REPLIES: Final = {
    "NoPermissionError": Fault.RIGHTS,
    "NOPERM": Fault.RIGHTS,
    "can't run this command": Fault.RIGHTS,
    "can't access at least one of the keys": Fault.RIGHTS,
    "ReadOnlyError": Fault.REPLICA,
    "READONLY": Fault.REPLICA,
    "MasterDownError": Fault.REPLICA,
    "OutOfMemoryError": Fault.FULL,
    "OOM": Fault.FULL,
    "NOREPLICAS": Fault.WRITES,
    "MISCONF": Fault.WRITES,
    "ClusterDownError": Fault.SLOTS_DOWN,
}
"""What a reply's kind or text holds, and what that means."""


async def unfit(client: Client, *, clock: Clock, patience: float = PATIENCE) -> list[Finding]:
    """Everything that is wrong with it. `patience`: seconds for what one server is asked.

    Raises StoreUnavailable when it cannot be reached.
    """
    try:
        if isinstance(client, Cluster):
            return await _of_cluster(client, clock, patience)
        async with asyncio.timeout(patience):
            return await _of_server(client, "gateway:probe", clock, clustered=False)
    except TimeoutError as error:
        raise StoreUnavailable(f"Redis did not answer within {patience:g} seconds") from error
    except (RedisError, OSError) as error:
        fault = _told_instead(error, _name(client))
        if fault is None:
            raise StoreUnavailable(f"Redis cannot be reached: {error}") from error
        return [fault]


class Fitness:
    """Tells of each thing that is wrong, once; and again when it had been right in between."""

    def __init__(self, *, client: Client, clock: Clock, tell: Callable[[Finding], None]) -> None:
        self._client = client
        self._clock = clock
        self._tell = tell
        self._told: set[tuple[Fault, str]] = set()

    async def look(self) -> None:
        """To be called at the start, and now and then. A Redis that is away is looked at the next time."""
        try:
            found = await unfit(self._client, clock=self._clock)
        except StoreUnavailable:
            return
        for finding in found:
            if (finding.fault, finding.where) not in self._told:
                self._tell(finding)
        self._told = {(finding.fault, finding.where) for finding in found}


async def _of_cluster(cluster: Cluster, clock: Clock, patience: float) -> list[Finding]:
    async with asyncio.timeout(patience):
        await cluster.refresh()
    found = []
    if cluster.unserved:
        found.append(Finding.of(Fault.SLOTS, _name(cluster), count=cluster.unserved))
    for node, key in cluster.masters.items():
        async with asyncio.timeout(patience):
            found += await _of_server(node, key, clock, clustered=True)
    return found


async def _of_server(node: Redis, key: str, clock: Clock, *, clustered: bool) -> list[Finding]:
    """`key`: one that this server serves."""
    where = _name(node)
    found = list(findings_in(await _info(node), where, clustered=clustered))
    if any(finding.fault in (Fault.KIND, Fault.REPLICA) for finding in found):
        return found
    try:
        await _may_call_by_name(node)
        found += [finding async for finding in _tried(node, key, where, clock)]
        found += [finding async for finding in _signalled(node, where)]
    except ResponseError as error:
        found.append(_of_reply(error, where))
    return found


async def _info(node: Redis) -> Mapping[str, Any]:
    try:
        return await node.info()
    except NoPermissionError:
        return {}


def findings_in(info: Mapping[str, Any], where: str, *, clustered: bool = False) -> Iterator[Finding]:
    """What INFO tells of. `clustered`: whether it is asked as a node of a cluster."""
    mode = info.get("redis_mode")
    if mode == "sentinel":
        yield Finding.of(Fault.KIND, where, is_a="a sentinel", url="redis+sentinel://…/name-of-the-master")
        return
    if mode == "cluster" and not clustered:
        yield Finding.of(Fault.KIND, where, is_a="a node of a cluster", url="redis+cluster://…")
        return
    version = str(info.get("redis_version", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and tuple(map(int, numbers.groups())) < _LEAST_VERSION:
        yield Finding.of(Fault.VERSION, where, version=version)
    if info.get("role") == "slave":
        yield Finding.of(Fault.REPLICA, where)
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding.of(Fault.EVICTION, where, policy=policy)


async def _may_call_by_name(node: Redis) -> None:
    try:
        await node.evalsha("0" * 40, 0)
    except NoScriptError:
        return


async def _tried(node: Redis, key: str, where: str, clock: Clock) -> AsyncIterator[Finding]:
    """What a script sees. Tried a few times: the first can be slow for reasons of its own."""
    quickest, skew = inf, 0.0
    for _ in range(_TRIALS):
        began = clock.monotonic()
        seconds, micro = await node.eval(_TRIAL.text, 1, key)
        took = clock.monotonic() - began
        if took < quickest:
            quickest = took
            skew = int(seconds) + int(micro) / 1_000_000 - (clock.now() - took / 2)
    if abs(skew) > _MOST_SKEW:
        yield Finding.of(Fault.CLOCK, where, skew=abs(skew), way="ahead of" if skew > 0 else "behind")
    if quickest > _SLOW:
        yield Finding.of(Fault.SLOW, where, took=quickest * 1000, most=TIMEOUT * 1000)


async def _signalled(node: Redis, where: str) -> AsyncIterator[Finding]:
    """Whether signals may be sent, to one replica, and heard, by all."""
    pool: Any = node.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_command("PUBLISH", _NOBODYS_CHANNEL, b"")
        await connection.read_response()
        await connection.send_command("SUBSCRIBE", CHANNEL)
        await connection.read_response()
    except NoPermissionError as error:
        yield Finding.of(Fault.SIGNALS, where, reply=_first_sentence(error))
    finally:
        await connection.disconnect(nowait=True)  # nobody else is to get it with a subscription
        await pool.release(connection)


def _of_reply(error: ResponseError, where: str) -> Finding:
    """What Redis said in place of running a script. Redis 6 has the reason in the text alone."""
    if isinstance(error, AskError):
        return Finding.of(Fault.KIND, where, is_a="a node of a cluster", url="redis+cluster://…")
    text = f"{type(error).__name__} {error}"
    fault = next((fault for word, fault in _REPLIES.items() if word in text), Fault.SCRIPTS)
    return Finding.of(fault, where, reply=_first_sentence(error))


def _told_instead(error: BaseException, where: str) -> Finding | None:
    """What is wrong, where there is no connection because of it."""
    causes = list(_causes(error))
    if any(isinstance(cause, AuthenticationError) for cause in causes):
        return Finding.of(Fault.LOGIN, where)
    if any(isinstance(cause, InvalidResponse) for cause in causes):
        return Finding.of(Fault.NO_REDIS, where)
    if any(isinstance(cause, NoPermissionError) for cause in causes):
        return Finding.of(Fault.RIGHTS, where, reply=_first_sentence(error))
    if "cluster support disabled" in str(error):
        return Finding.of(Fault.KIND, where, is_a="no cluster", url="redis://…")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_sentence(error: BaseException) -> str:
    """Without the script's name and line."""
    return re.sub(r"( script: .*|.*@user_script: ?\d+: -?)", "", str(error))


def _name(client: Client) -> str:
    if isinstance(client, Cluster):
        return client.name
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"the master {pool.service_name}"
    options = pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
