"""How the gateway reaches Redis: one server, the master behind sentinels, or a cluster.

Its law: nothing is tried twice, since a script whose reply was lost has perhaps been run. RESP2, in which
nothing comes unasked: a connection with something to read is known to be spoilt, and not used again. No
time-out of redis-py's own for commands: for that it uses a `wait_for` that can swallow a cancellation (Python
3.11), so whoever uses a client sets the deadline, as Scripts does. TLS checks the certificate and the name.
"""

import asyncio
import re
import ssl
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.cluster import Cluster
from gateway.limits.redis.sentinels import MasterPool, Sentinels
from gateway.wire.redis_url import HostPort, RedisAddress, RedisKind, parse_redis_url

TIMEOUT: Final = 0.1
"""Seconds."""

Client = Redis | Cluster
"""One server, the master behind sentinels, or a cluster. Each has `aclose`."""

_ASKED_IN_TURN: Final = 3
"""So many sentinels or nodes that say nothing still leave time to be led to the right one."""
_SCAN_COUNT: Final = 1000


def connect(
    url: str, *, timeout: float = TIMEOUT, ca_file: Path | None = None, sentinel_password: str | None = None
) -> Client:
    """A client for a URL as `wire/redis_url.py` has them; it connects when first used.

    `timeout`: seconds for a connection to be made. `ca_file`: the certificates, and the only ones, that are
    trusted with TLS; none: the system's. Raises ValueError, which shows no secret.
    """
    address = parse_redis_url(url)
    options = _options(address, timeout, ca_file)
    login: dict[str, Any] = {"username": address.user, "password": address.password, "db": address.db}
    if address.socket:
        return _client(UnixDomainSocketConnection, path=address.socket, **login, **options)

    def client(host: HostPort, **credentials: Any) -> Redis:
        kind = _TlsConnection if address.tls else Connection
        return _client(kind, host=host.host, port=host.port, **credentials, **options)

    turn = timeout / _ASKED_IN_TURN
    match address.kind:
        case RedisKind.SERVER:
            return client(address.hosts[0], **login)
        case RedisKind.CLUSTER:
            return Cluster(seeds=address.hosts, client_of=partial(client, **login), timeout=turn)
        case RedisKind.SENTINEL:
            asked = [client(host, password=sentinel_password) for host in address.hosts]
            sentinels = Sentinels(clients=asked, timeout=turn)
            kind = _TlsMasterConnection if address.tls else SentinelManagedConnection
            return Redis.from_pool(
                MasterPool(
                    master=address.master, sentinels=sentinels, connection_class=kind, **login, **options
                )
            )


async def keys_of(client: Client, tag: str, *, timeout: float = TIMEOUT) -> list[str]:
    """The names of all keys under this hash tag, `{tag}:…`, each once, in no order.

    It looks at every key of a server, a thousand at a time: for people, not for requests. `timeout`: seconds
    for each thousand. Raises StoreUnavailable.
    """
    prefix = f"{{{tag}}}:"
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
    found: set[str] = set()
    cursor = 0
    try:
        async with asyncio.timeout(timeout):
            node = await client.find(prefix) if isinstance(client, Cluster) else client
        while True:
            async with asyncio.timeout(timeout):
                cursor, names = await node.scan(cursor, match=pattern, count=_SCAN_COUNT)
            found.update(cast(bytes, name).decode() for name in names)
            if cursor == 0:
                return list(found)
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis: {type(error).__name__}") from error


class _TlsConnection(SSLConnection):
    """With a context of ours, made once, that trusts what it was told to and nothing else."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls


class _TlsMasterConnection(SentinelManagedConnection, _TlsConnection):
    pass


def _client(kind: type[Any], **options: Any) -> Redis:
    return Redis.from_pool(ConnectionPool(connection_class=kind, **options))


def _options(address: RedisAddress, timeout: float, ca_file: Path | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_connect_timeout": timeout,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,  # a name for `CLIENT LIST` costs a round trip, and a right in the ACL
    }
    return {**options, "tls": _tls(ca_file)} if address.tls else options


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"{ca_file} holds no certificates that can be read") from error
