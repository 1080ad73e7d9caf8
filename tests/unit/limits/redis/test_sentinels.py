"""Who of several sentinels is believed. Real ones, and failovers: tests/partners/test_redis_kinds.py."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio.sentinel import MasterNotFoundError

from gateway.limits.redis.connect import connect
from gateway.limits.redis.sentinels import Sentinels
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_server import RedisServer

NOBODY = "*-1"
"""What a sentinel says of a master that it does not know."""


def master_at(port: int) -> str:
    return f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(port))}\r\n{port}"


@pytest.fixture
def proxies(redis_server: RedisServer) -> Iterator[list[FaultProxy]]:
    """Three that are made to speak as sentinels."""
    with (
        fault_proxy(redis_server.path) as first,
        fault_proxy(redis_server.path) as second,
        fault_proxy(redis_server.path) as third,
    ):
        yield [first, second, third]


@pytest.fixture
async def sentinels(proxies: list[FaultProxy]) -> AsyncIterator[Sentinels]:
    clients = [connect(proxy.url, timeout=5.0) for proxy in proxies]
    sentinels = Sentinels(clients=clients, timeout=0.1)
    yield sentinels
    await sentinels.aclose()


async def test_the_first_that_answers_is_believed(sentinels: Sentinels, proxies: list[FaultProxy]) -> None:
    for port, proxy in enumerate(proxies, 7000):
        proxy.inject(master_at(port))
    assert await sentinels.discover_master("main") == ("127.0.0.1", 7000)
    assert [proxy.commands for proxy in proxies] == [1, 0, 0]


@pytest.mark.parametrize(
    "fault",
    [FaultProxy.refuse, FaultProxy.black_hole, lambda proxy: proxy.inject(NOBODY), FaultProxy.cut_next_reply],
)
async def test_one_that_does_not_tell_is_passed_over(
    sentinels: Sentinels, proxies: list[FaultProxy], fault: object
) -> None:
    fault(proxies[0])
    proxies[1].inject(master_at(7001))
    assert await sentinels.discover_master("main") == ("127.0.0.1", 7001)


async def test_whoever_told_is_asked_first_the_next_time(
    sentinels: Sentinels, proxies: list[FaultProxy]
) -> None:
    proxies[0].inject(NOBODY)
    proxies[1].inject(master_at(7001), 2)
    for _ in range(2):
        assert await sentinels.discover_master("main") == ("127.0.0.1", 7001)
    assert [proxy.commands for proxy in proxies] == [1, 2, 0]


async def test_a_name_that_nobody_knows_is_told(sentinels: Sentinels, proxies: list[FaultProxy]) -> None:
    for proxy in proxies:
        proxy.inject(NOBODY)
    with pytest.raises(MasterNotFoundError, match="no sentinel knows a master named main"):
        await sentinels.discover_master("main")


async def test_what_is_wrong_with_all_of_them_is_told(
    sentinels: Sentinels, proxies: list[FaultProxy]
) -> None:
    for proxy in proxies:
        proxy.inject("-NOAUTH Authentication required.")
    with pytest.raises(MasterNotFoundError, match="Authentication required"):
        await sentinels.discover_master("main")
