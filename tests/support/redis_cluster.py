"""A real Redis Cluster of the tests' own: three masters, a replica for each, on free ports of 127.0.0.1.

async with running_cluster() as cluster:
    client = connect(cluster.url)
    owner = await cluster.owner(slot)
    await cluster.move_slot(slot, another)      # a resharding, as redis-cli does it
    owner.server.stop()                         # its replica takes over within some three seconds
    await cluster.promote(replica)              # a hand-over without a fault
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer, ask, free_port

_NODE_TIMEOUT_MS: Final = 1000
_MOVED_TOGETHER: Final = 100
_OPTIONS: Final = (
    *("--cluster-enabled", "yes"),
    *("--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
    *("--cluster-replica-validity-factor", "0"),  # a replica takes over however long it was cut off
    *("--repl-diskless-sync", "yes"),
    *("--repl-diskless-sync-delay", "0"),
)


@dataclass(eq=False)
class Node:
    """One server of a cluster."""

    server: RedisServer
    id: str = ""

    @property
    def port(self) -> int:
        return self.server.port

    async def ask(self, *words: object) -> Any:
        """The reply to one command, on a connection of its own, text decoded."""
        return await ask(self.server.url, *words)

    async def state(self) -> dict[str, str]:
        """What CLUSTER INFO says."""
        return dict(line.split(":", 1) for line in (await self.ask("CLUSTER", "INFO")).split())


@dataclass
class RedisCluster:
    """The first servers begin as masters, the others as their replicas, in the same order."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """By two of its masters; the others have to be found."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    async def owner(self, slot: int) -> Node:
        """Who serves it, as the first node that runs knows."""
        for node in self.nodes:
            if node.server.runs:
                break
        else:
            raise RuntimeError("no node runs")
        for first, last, master, *_ in await node.ask("CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise RuntimeError(f"nobody serves slot {slot}")

    async def masters(self) -> list[Node]:
        """Who serves a slot."""
        ports = {entry[2][1] for entry in await self.nodes[0].ask("CLUSTER SLOTS")}
        return [node for node in self.nodes if node.port in ports]

    async def tag_on(self, node: Node) -> str:
        """A hash tag whose slot this node serves."""
        for number in range(REDIS_CLUSTER_HASH_SLOTS):
            if await self.owner(key_slot(str(number).encode())) is node:
                return str(number)
        raise RuntimeError("it serves no slot")

    # resharding, whole and in its steps

    async def move_slot(self, slot: int, to: Node) -> None:
        """Hand a slot and its keys over while it is in use."""
        await self.open_slot(slot, to)
        await self.move_keys(slot, to)
        await self.close_slot(slot, to)

    async def open_slot(self, slot: int, to: Node) -> None:
        """From now on keys that are not there any more are asked for at `to`."""
        source = await self.owner(slot)
        await to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)

    async def move_keys(self, slot: int, to: Node, *, most: int | None = None) -> None:
        """All keys of the slot, or so many."""
        source = await self.owner(slot)
        while most is None or most > 0:
            keys = await source.ask("CLUSTER", "GETKEYSINSLOT", slot, min(most or _MOVED_TOGETHER, 100))
            if not keys:
                return
            await source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
            most = None if most is None else most - len(keys)

    async def close_slot(self, slot: int, to: Node) -> None:
        """From now on it is `to` who serves the slot."""
        source = await self.owner(slot)
        for node in (to, source, *(await self.masters())):
            await node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    async def promote(self, replica: Node) -> None:
        """Let a replica take its master's place, in agreement with it. Returns when every node knows.

        Not at once again with the same two: for some seconds they disagree about whose turn it was.
        """
        await eventually(lambda: _follows(replica))
        port = (await replica.ask("ROLE"))[2]
        master = next(node for node in self.nodes if node.port == port)
        await eventually(lambda: _knows_as_replica(master, replica))
        await replica.ask("CLUSTER", "FAILOVER")
        await eventually(lambda: self._all_see_as_master(replica))

    async def _all_see_as_master(self, node: Node) -> bool:
        views = [await other.ask("CLUSTER SLOTS") for other in self.nodes if other.server.runs]
        return all(any(entry[2][1] == node.port for entry in view) for view in views)

    # its beginning

    async def form(self, count: int) -> None:
        """Make one cluster, with so many masters, of servers that know nothing of each other.

        As `redis-cli --cluster create` does it.
        """
        masters, replicas = self.nodes[:count], self.nodes[count:]
        for epoch, node in enumerate(self.nodes, 1):
            node.id = await node.ask("CLUSTER", "MYID")
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        edges = [REDIS_CLUSTER_HASH_SLOTS * part // count for part in range(count + 1)]
        for node, (first, end) in zip(masters, pairwise(edges), strict=True):
            await node.ask("CLUSTER", "ADDSLOTS", *range(first, end))
        for node in self.nodes[1:]:
            await node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        await self._all(self.nodes, lambda state: state["cluster_known_nodes"] == str(len(self.nodes)))
        for replica, master in zip(replicas, masters, strict=False):
            await eventually(lambda replica=replica, master=master: _knows(replica, master))
            await replica.ask("CLUSTER", "REPLICATE", master.id)
        await self._all(self.nodes, lambda state: state["cluster_state"] == "ok")
        for node in self.nodes if replicas else ():
            await eventually(lambda node=node: _is_linked(node))

    async def _all(self, nodes: Sequence[Node], is_so: Callable[[dict[str, str]], bool]) -> None:
        async def hold() -> bool:
            states = await asyncio.gather(*(node.state() for node in nodes))
            return all(map(is_so, states))

        await eventually(hold)


async def _knows(node: Node, other: Node) -> bool:
    return other.id in await node.ask("CLUSTER", "NODES")


async def _knows_as_replica(master: Node, replica: Node) -> bool:
    return any(replica.id in line for line in await master.ask("CLUSTER", "REPLICAS", master.id))


async def _follows(node: Node) -> bool:
    role = await node.ask("ROLE")
    return role[0] == "slave" and role[3] == "connected"


async def _is_linked(node: Node) -> bool:
    """A master that has its replica, or a replica that has all its master has."""
    role = await node.ask("ROLE")
    return bool(role[2]) if role[0] == "master" else await _follows(node)


@asynccontextmanager
async def running_cluster(*options: str, masters: int = 3, replicas: int = 3) -> AsyncIterator[RedisCluster]:
    """A cluster that is whole, gone at the end. `options`: of each server, as RedisServer has them."""
    with tempfile.TemporaryDirectory(prefix="redis-cluster-") as folder, ExitStack() as stack:
        cluster = RedisCluster([])
        for number in range(masters + replicas):
            own = Path(folder) / str(number)
            own.mkdir()
            server = RedisServer(own, port=free_port(), options=(*_OPTIONS, *options))
            stack.callback(server.stop)
            server.start()
            cluster.nodes.append(Node(server))
        await cluster.form(masters)
        yield cluster
