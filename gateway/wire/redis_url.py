"""The URL that says which Redis, of every kind. Its law: what is wrong is told without any part of the URL,
which may be a piece of a password that was not percent-encoded.

    redis://user:password@host:6379/0           one server; `rediss://` with TLS
    unix:///run/redis/redis.sock?db=0           one server on this machine
    redis+sentinel://h1:26379,h2:26379/master   the master that sentinels know by this name, `/master/0`
    redis+cluster://h1:6379,h2:6379             a cluster, by some of its nodes
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import unquote


class RedisKind(StrEnum):
    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class HostPort(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and who asks."""

    kind: RedisKind
    hosts: tuple[HostPort, ...] = ()
    """The server; the sentinels; or some nodes of the cluster. None for a Unix socket."""
    socket: str = ""
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    master: str = ""
    """What the sentinels call it."""
    db: int = 0


_SCHEMES: Final = {
    "redis": (RedisKind.SERVER, False),
    "rediss": (RedisKind.SERVER, True),
    "unix": (RedisKind.SERVER, False),
    "redis+sentinel": (RedisKind.SENTINEL, False),
    "rediss+sentinel": (RedisKind.SENTINEL, True),
    "redis+cluster": (RedisKind.CLUSTER, False),
    "rediss+cluster": (RedisKind.CLUSTER, True),
}
_PORTS: Final = {RedisKind.SERVER: 6379, RedisKind.SENTINEL: 26379, RedisKind.CLUSTER: 6379}


def parse_redis_url(url: str) -> RedisAddress:
    """The address. Raises ValueError, with a sentence that follows a name: `must …`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"must be a URL that begins with {', '.join(f'{name}://' for name in _SCHEMES)}")
    if not url.isprintable() or " " in url:
        raise ValueError("must be of printable characters without spaces; others are percent-encoded")
    if "#" in rest:
        raise ValueError("must have no #; in a password it is written %23")
    authority, _, path = rest.partition("/")
    if "@" in path:
        raise ValueError("must have no / and no @ in a password: they are written %2F and %40")
    return _unix_socket(authority, path) if scheme == "unix" else _network(scheme, authority, path)


def _unix_socket(authority: str, path: str) -> RedisAddress:
    credentials, _, host = authority.rpartition("@")
    path, _, parameters = path.partition("?")
    if host or not path:
        raise ValueError("must name a socket by its whole path: unix:///run/redis.sock")
    name, _, db = parameters.partition("=")
    if parameters and name != "db":
        raise ValueError("must have no other parameter than ?db=")
    user, password = _credentials(credentials)
    socket = "/" + unquote(path)
    return RedisAddress(RedisKind.SERVER, socket=socket, user=user, password=password, db=_database(db))


def _network(scheme: str, authority: str, path: str) -> RedisAddress:
    kind, tls = _SCHEMES[scheme]
    if "?" in authority or "?" in path:
        raise ValueError("must have no ? and no parameters; in a password it is written %3F")
    credentials, _, hosts = authority.rpartition("@")
    user, password = _credentials(credentials)
    master, db = _path(kind, path)
    return RedisAddress(
        kind, hosts=_hosts(kind, hosts), tls=tls, user=user, password=password, master=master, db=db
    )


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, _, password = text.partition(":")
    return unquote(user) or None, unquote(password) or None


def _hosts(kind: RedisKind, text: str) -> tuple[HostPort, ...]:
    hosts = tuple(_host(one, _PORTS[kind]) for one in text.split(","))
    if kind is RedisKind.SERVER and len(hosts) > 1:
        raise ValueError("must name one host; several are for redis+sentinel:// and redis+cluster://")
    return hosts


def _host(text: str, default: int) -> HostPort:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or set(host) & set("[]@"):
        raise ValueError("must name each host as host:port, IPv6 addresses in brackets")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError("must have ports from 1 to 65535; in a password / is written %2F and @ %40")
    return HostPort(host, int(port))


def _path(kind: RedisKind, path: str) -> tuple[str, int]:
    """The master's name, and the database."""
    if kind is RedisKind.SENTINEL:
        master, _, number = path.partition("/")
        if not master:
            raise ValueError("must name the master after the sentinels: redis+sentinel://host:26379/mymaster")
        return unquote(master), _database(number)
    db = _database(path.strip("/"))
    if kind is RedisKind.CLUSTER and db:
        raise ValueError("must name no database: a cluster has none but 0")
    return "", db


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("must name the database by its number: /0")
    return int(text)
