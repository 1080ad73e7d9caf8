"""A client for every kind of Redis, and the laws that all of them keep. The kinds at work: tests/partners."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as NotConnected

from gateway.core.errors import StoreUnavailable
from gateway.limits.redis.cluster import Cluster
from gateway.limits.redis.connect import Client, connect, keys_of
from tests.support.certificates import certificate, servers_side
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_server import RedisServer, running_redis

URLS = [
    "redis://localhost:1",
    "rediss://localhost:1",
    "unix:///nowhere.sock",
    "redis+sentinel://localhost:1/main",
    "rediss+sentinel://localhost:1/main",
]


def options_of(client: Client) -> dict[str, object]:
    assert isinstance(client, Redis)
    return client.get_connection_kwargs()


@asynccontextmanager
async def connected(url: str, **how: object) -> AsyncIterator[Client]:
    client = connect(url, **{"timeout": 5.0, **how})
    try:
        yield client
    finally:
        await client.aclose()


@pytest.mark.parametrize("url", URLS)
def test_a_client_tries_nothing_twice(url: str) -> None:
    assert options_of(connect(url))["retry"].get_retries() == 0


@pytest.mark.parametrize("url", URLS)
def test_a_client_speaks_the_protocol_in_which_nothing_comes_unasked(url: str) -> None:
    assert options_of(connect(url))["protocol"] == 2


@pytest.mark.parametrize("url", URLS)
def test_a_client_leaves_the_deadline_of_a_command_to_its_user(url: str) -> None:
    options = options_of(connect(url, timeout=0.1))
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (None, 0.1)


def test_a_cluster_has_a_client_of_its_own() -> None:
    assert isinstance(connect("redis+cluster://localhost:1"), Cluster)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        connect(url)


@pytest.mark.parametrize(
    "url", ["redis://me:hush@h", "redis+sentinel://me:hush@h/main", "redis+cluster://me:hush@h"]
)
def test_no_password_shows_in_a_repr(url: str) -> None:
    client = connect(url, sentinel_password="hush")
    assert "hush" not in repr(client) + repr(getattr(client, "connection_pool", ""))


# ACL


@pytest.fixture
def with_users() -> Iterator[RedisServer]:
    users = "--user default off --user me on >p@ss/word ~* +@all"
    with running_redis(*users.split()) as server:
        yield server


async def test_a_user_is_let_in_by_his_password(with_users: RedisServer) -> None:
    async with connected(f"unix://me:p%40ss%2Fword@{with_users.path}?db=3") as client:
        assert await client.ping()


@pytest.mark.parametrize("login", ["", "me:wrong@", "you:p%40ss%2Fword@", ":p%40ss%2Fword@"])
async def test_others_are_not(with_users: RedisServer, login: str) -> None:
    async with connected(f"unix://{login}{with_users.path}") as client:
        with pytest.raises(RedisError) as refused:
            await client.ping()
    assert isinstance(refused.value.__cause__ or refused.value, AuthenticationError)


async def test_the_database_is_the_one_that_was_named(redis_server: RedisServer) -> None:
    async with connected(f"{redis_server.url}?db=5") as fifth, connected(redis_server.url) as first:
        await fifth.set("here", 1)
        assert await first.get("here") is None
        await fifth.flushdb()


# TLS


@pytest.fixture
def tls(redis_server: RedisServer, tmp_path: Path) -> Iterator[FaultProxy]:
    """A Redis with TLS, its certificate in `localhost.pem`."""
    with fault_proxy(redis_server.path, tls=servers_side(certificate(tmp_path))) as proxy:
        yield proxy


async def test_a_certificate_of_an_authority_of_ones_own_is_trusted(tls: FaultProxy, tmp_path: Path) -> None:
    async with connected(tls.url, ca_file=tmp_path / "localhost.pem") as client:
        assert await client.ping()


async def test_without_that_authority_it_is_not(tls: FaultProxy) -> None:
    async with connected(tls.url) as client:
        with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
            await client.ping()


async def test_another_authority_does_not_do(tls: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with connected(tls.url, ca_file=certificate(tmp_path / "other")) as client:
        with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
            await client.ping()


async def test_a_certificate_for_another_name_does_not_do(tls: FaultProxy, tmp_path: Path) -> None:
    url = tls.url.replace("localhost", "127.0.0.1")
    async with connected(url, ca_file=tmp_path / "localhost.pem") as client:
        with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
            await client.ping()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=r"ca\.pem holds no certificates that can be read"):
        connect("rediss://localhost:1", ca_file=file)


# Connections that were lost while nobody looked.


async def test_a_connection_that_the_server_has_closed_is_made_anew(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as client, connected(redis_server.url) as other:
        await client.ping()
        await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await client.ping()


# Names of keys.


async def test_keys_are_found_by_their_tag(redis: Redis) -> None:
    ours = {f"{{search}}:requests:{number}" for number in range(2500)}
    for key in (
        *ours,
        "{search2}:requests:1",
        "{ads}:requests:1",
        "search:requests:1",
        "x{search}:requests:1",
    ):
        await redis.set(key, 1)
    found = await keys_of(redis, "search")
    assert len(found) == len(ours)
    assert set(found) == ours


@pytest.mark.parametrize("tag", ["a*", "a?", "[ab]", "a\\b", "ä"])
async def test_a_tag_is_no_pattern(redis: Redis, tag: str) -> None:
    for key in (f"{{{tag}}}:mine", "{ab}:another", "{a}:another", "{b}:another"):
        await redis.set(key, 1)
    assert await keys_of(redis, tag) == [f"{{{tag}}}:mine"]


async def test_keys_of_a_redis_that_is_not_there_are_unavailable(redis_server: RedisServer) -> None:
    async with connected(redis_server.url + ".gone") as client:
        with pytest.raises(StoreUnavailable):
            await keys_of(client, "search")


async def test_keys_of_a_redis_that_does_not_answer_are_unavailable_in_time(
    redis_server: RedisServer,
) -> None:
    with fault_proxy(redis_server.path) as proxy:
        async with connected(proxy.url) as client:
            await client.ping()
            proxy.black_hole()
            with pytest.raises(StoreUnavailable, match="TimeoutError"):
                await keys_of(client, "search", timeout=0.05)
