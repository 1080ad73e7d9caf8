"""Where the master is, as Redis Sentinels know it. They are asked before each new connection.

So whoever loses a connection, or finds a replica at its end, is led to the new master by connecting again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import RedisError


class Sentinels:
    """Some sentinels; the one that answered last is asked first."""

    def __init__(self, *, clients: Sequence[Redis], timeout: float) -> None:
        """`timeout`: seconds that one sentinel may take."""
        self._clients = deque(clients)
        self._timeout = timeout

    async def discover_master(self, name: str) -> tuple[str, int]:
        """Host and port. Raises MasterNotFoundError, a ConnectionError."""
        failure: Exception | None = None
        for _ in range(len(self._clients)):
            try:
                async with asyncio.timeout(self._timeout):
                    found: Any = await self._clients[0].sentinel_get_master_addr_by_name(name)
            except (RedisError, OSError) as error:
                failure = error
            else:
                if found:
                    return found[0].decode(), found[1]
            self._clients.rotate(-1)
        if failure is None:
            raise MasterNotFoundError(f"no sentinel knows a master named {name}")
        raise MasterNotFoundError(f"no sentinel tells where the master is: {failure}") from failure

    async def aclose(self) -> None:
        """End the connections."""
        for client in self._clients:
            await client.aclose()


class MasterPool(SentinelConnectionPool):
    """Connections to whoever is the master."""

    def __init__(self, *, master: str, sentinels: Sentinels, **options: Any) -> None:
        """`sentinels` end with it."""
        super().__init__(master, sentinels, **options)  # type: ignore[no-untyped-call]
        self._sentinels = sentinels

    async def aclose(self) -> None:
        await super().aclose()
        await self._sentinels.aclose()
