"""Which Redis a URL names, and what is told of one that names none."""

import pytest

from gateway.wire.redis_url import HostPort, RedisAddress, RedisKind, parse_redis_url

SERVER, SENTINEL, CLUSTER = RedisKind.SERVER, RedisKind.SENTINEL, RedisKind.CLUSTER
LOCAL = (HostPort("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", RedisAddress(SERVER, LOCAL)),
        ("redis://localhost/", RedisAddress(SERVER, LOCAL)),
        ("redis://localhost:7000/2", RedisAddress(SERVER, (HostPort("localhost", 7000),), db=2)),
        ("rediss://[::1]:7000", RedisAddress(SERVER, (HostPort("::1", 7000),), tls=True)),
        ("redis://[fe80::1]", RedisAddress(SERVER, (HostPort("fe80::1", 6379),))),
        ("redis://:secret@localhost", RedisAddress(SERVER, LOCAL, password="secret")),
        ("redis://me:p%40s%2Fs@localhost", RedisAddress(SERVER, LOCAL, user="me", password="p@s/s")),
        ("redis://me:a:b@localhost", RedisAddress(SERVER, LOCAL, user="me", password="a:b")),
        ("redis://me:a@b@localhost", RedisAddress(SERVER, LOCAL, user="me", password="a@b")),
        ("unix:///run/redis.sock", RedisAddress(SERVER, socket="/run/redis.sock")),
        (
            "unix://me:secret@/run/redis.sock?db=3",
            RedisAddress(SERVER, socket="/run/redis.sock", user="me", password="secret", db=3),
        ),
        (
            "redis+sentinel://me:secret@h1,h2:7000/main/4",
            RedisAddress(
                SENTINEL,
                (HostPort("h1", 26379), HostPort("h2", 7000)),
                user="me",
                password="secret",
                master="main",
                db=4,
            ),
        ),
        (
            "rediss+sentinel://h1/main",
            RedisAddress(SENTINEL, (HostPort("h1", 26379),), tls=True, master="main"),
        ),
        (
            "redis+cluster://h1,h2:7000,[::1]:7001",
            RedisAddress(CLUSTER, (HostPort("h1", 6379), HostPort("h2", 7000), HostPort("::1", 7001))),
        ),
        ("rediss+cluster://h1/0", RedisAddress(CLUSTER, (HostPort("h1", 6379),), tls=True)),
    ],
)
def test_a_url_names_a_redis(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


NO_URL = (
    "must be a URL that begins with redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, "
    "redis+cluster://, rediss+cluster://"
)
HOSTS = "must name each host as host:port, IPv6 addresses in brackets"
PORTS = "must have ports from 1 to 65535; in a password / is written %2F and @ %40"
SLASH = "must have no / and no @ in a password: they are written %2F and %40"
QUERY = "must have no ? and no parameters; in a password it is written %3F"
MASTER = "must name the master after the sentinels: redis+sentinel://host:26379/mymaster"
SOCKET = "must name a socket by its whole path: unix:///run/redis.sock"
PRINTABLE = "must be of printable characters without spaces; others are percent-encoded"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", NO_URL),
        ("hush:6379", NO_URL),
        ("http://hush", NO_URL),
        ("REDIS://hush", NO_URL),
        ("redis:hush", NO_URL),
        ("redis://", HOSTS),
        ("redis://:6379", HOSTS),
        ("redis://::1:6379", HOSTS),
        ("redis://[::1", HOSTS),
        ("redis+cluster://h1,", HOSTS),
        ("redis://h:hush", PORTS),
        ("redis://h:0", PORTS),
        ("redis://h:65536", PORTS),
        ("redis://:hu/sh", "must name the database by its number: /0"),
        ("redis://:hu/sh@h", SLASH),
        ("redis://:hu#sh@h", "must have no #; in a password it is written %23"),
        ("redis://:hu?sh@h", QUERY),
        ("rediss://h?ssl_cert_reqs=none", QUERY),
        ("redis://h1,h2", "must name one host; several are for redis+sentinel:// and redis+cluster://"),
        ("redis://h/hush", "must name the database by its number: /0"),
        ("redis+cluster://h/1", "must name no database: a cluster has none but 0"),
        ("redis+sentinel://h", MASTER),
        ("redis+sentinel://h//1", MASTER),
        ("redis+sentinel://h/main/hush", "must name the database by its number: /0"),
        ("unix://hush", SOCKET),
        ("unix://run/redis.sock", SOCKET),
        ("unix:///run/redis.sock?hush=1", "must have no other parameter than ?db="),
        ("redis://hu sh", PRINTABLE),
        ("redis://hush\n", PRINTABLE),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_a_part_of_it(url: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole sentence is compared
        parse_redis_url(url)
    assert str(refused.value) == sentence


def test_a_password_shows_in_no_repr() -> None:
    assert "hush" not in repr(parse_redis_url("redis://me:hush@localhost"))
