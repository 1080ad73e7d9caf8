"""A Redis Cluster: which node serves which slot, and a client for each node.

Nothing is sent from here but the question for the map. Whoever sends tells what came back, and has the map
asked for anew. redis-py's own RedisCluster would not keep our laws: it tries calls again by itself, finds out
too late that an idle connection is dead, and puts an address in the place of a name that TLS would check.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError

from gateway.wire.redis_url import HostPort

_NO_HOST: Final = (None, b"", b"?")
"""A node that does not know its own name: it is where the one is that was asked."""


class Cluster:
    """The nodes of one cluster."""

    def __init__(
        self, *, seeds: Sequence[HostPort], client_of: Callable[[HostPort], Redis], timeout: float
    ) -> None:
        """`seeds`: nodes to ask first. `timeout`: seconds that one node may take to tell the map."""
        self._seeds = seeds
        self._client_of = client_of
        self._timeout = timeout
        self._nodes: dict[HostPort, Redis] = {}
        self._gone: list[Redis] = []
        self._slots: list[Redis | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._informants = deque(seeds)
        """Whom to ask for the map, in this order."""

    def node_of(self, key: str) -> Redis | None:
        """Who serves this key, as far as is known."""
        return self._slots[key_slot(key.encode())]

    async def find(self, key: str) -> Redis:
        """Who serves this key. Raises RedisError and OSError."""
        node = self.node_of(key)
        if node is None:
            await self.refresh()
            node = self.node_of(key)
        if node is None:
            raise ClusterDownError("no node of the cluster serves this slot")
        return node

    @property
    def masters(self) -> dict[Redis, str]:
        """Every node that serves a slot, and a key that lies there: `gateway:probe…`."""
        keys: dict[Redis, str] = {}
        served = {node for node in self._slots if node is not None}
        for number in range(REDIS_CLUSTER_HASH_SLOTS):
            key = f"gateway:probe:{number}"
            node = self.node_of(key)
            if node is not None:
                keys.setdefault(node, key)
            if len(keys) == len(served):
                break
        return keys

    @property
    def unserved(self) -> int:
        """Slots that no node serves."""
        return self._slots.count(None)

    @property
    def name(self) -> str:
        """What it is called where it was named."""
        return ",".join(f"{seed.host}:{seed.port}" for seed in self._seeds)

    def redirected(self, reply: AskError, by: Redis) -> Redis:
        """The node that a MOVED or ASK names. A slot that has moved is sent there from now on."""
        node = self._node(HostPort(reply.host or host_of(by), reply.port))
        if isinstance(reply, MovedError):
            self._slots[reply.slot_id] = node
        return node

    async def refresh(self) -> None:
        """Ask for the map. Raises RedisError and OSError when nobody tells it."""
        failure: Exception = ClusterDownError("no node of the cluster knows who serves what")
        for _ in range(len(self._informants)):
            informant = self._informants[0]
            try:
                async with asyncio.timeout(self._timeout):
                    ranges = await self._node(informant).cluster("SLOTS")
            except (RedisError, OSError) as error:
                failure = error
            else:
                if ranges:
                    await self._take(ranges, informant)
                    return
            self._informants.rotate(-1)
        raise failure

    async def aclose(self) -> None:
        """End the connections."""
        for node in [*self._nodes.values(), *self._gone]:
            await node.aclose()

    async def _take(self, ranges: Sequence[Any], informant: HostPort) -> None:
        """`ranges`: first slot, last slot, master, replicas; a node is host, port, id, …"""
        slots: list[Redis | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = dict.fromkeys([informant])
        for first, last, *nodes in ranges:
            addresses = [_address(node, informant) for node in nodes]
            slots[first : last + 1] = [self._node(addresses[0])] * (last + 1 - first)
            known |= dict.fromkeys(addresses)
        known |= dict.fromkeys(self._seeds)
        self._slots = slots
        self._informants = deque(known)
        await self._part_with({address for address in self._nodes if address not in known})

    async def _part_with(self, addresses: set[HostPort]) -> None:
        """Connections to nodes that have left end at the next map: calls may still be on their way."""
        for node in self._gone:
            await node.aclose()
        self._gone = [self._nodes.pop(address) for address in addresses]

    def _node(self, address: HostPort) -> Redis:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._client_of(address)
        return node


def host_of(node: Redis) -> str:
    """Where a node is."""
    host: str = node.connection_pool.connection_kwargs["host"]
    return host


def _address(node: Sequence[Any], informant: HostPort) -> HostPort:
    host, port = node[0], node[1]
    return HostPort(informant.host if host in _NO_HOST else host.decode(), port)
