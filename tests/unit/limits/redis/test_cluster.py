"""Who serves which slot of a cluster. Calls that are led through it: tests/partners/test_redis_kinds.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError

from gateway.limits.redis.cluster import Cluster
from gateway.limits.redis.connect import connect
from gateway.wire.redis_url import HostPort
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_cluster import RedisCluster, running_cluster
from tests.support.redis_server import RedisServer

SLOT = key_slot(b"{search}:bucket")
TAGS = [f"{{team-{number}}}:bucket" for number in range(50)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[RedisCluster]:
    async with running_cluster(masters=2, replicas=0) as servers:
        yield servers


@pytest.fixture
async def cluster(servers: RedisCluster) -> AsyncIterator[Cluster]:
    client = connect(servers.url, timeout=5.0)
    assert isinstance(client, Cluster)
    yield client
    await client.aclose()


@pytest.fixture
def teller(redis_server: RedisServer) -> Iterator[FaultProxy]:
    """What it is made to say is the map."""
    with fault_proxy(redis_server.path) as proxy:
        yield proxy


def the_map(*ranges: tuple[int, int, str]) -> str:
    """A reply to CLUSTER SLOTS: first slot, last slot, and its node as host:port; `-` for a host unknown."""
    lines = [f"*{len(ranges)}"]
    for first, last, node in ranges:
        host, port = node.rsplit(":", 1)
        spelled = ["$-1"] if host == "-" else [f"${len(host)}", host]
        lines += ["*3", f":{first}", f":{last}", "*3", *spelled, f":{port}", "$2", "id"]
    return "\r\n".join(lines)


def told_by(teller: FaultProxy) -> Cluster:
    client = connect(f"redis+cluster://127.0.0.1:{teller.port}", timeout=5.0)
    assert isinstance(client, Cluster)
    return client


def port_of(node: Redis | None) -> int:
    assert node is not None
    return node.connection_pool.connection_kwargs["port"]


def test_at_first_nothing_is_known(servers: RedisCluster) -> None:
    client = connect(servers.url)
    assert isinstance(client, Cluster)
    assert (client.node_of("{search}:bucket"), client.unserved) == (None, 16384)


async def test_every_key_is_found_where_it_lies(cluster: Cluster) -> None:
    for key in TAGS:
        node = await cluster.find(key)
        await node.set(key, 1)  # a node refuses keys of others
        assert cluster.node_of(key) is node
    assert len({cluster.node_of(key) for key in TAGS}) == 2


async def test_each_master_has_a_key_of_its_own(cluster: Cluster) -> None:
    await cluster.refresh()
    assert cluster.unserved == 0
    assert len(cluster.masters) == 2
    for node, key in cluster.masters.items():
        assert key.startswith("gateway:probe")
        await node.set(key, 1, px=1000)


async def test_the_map_is_told_by_whoever_can(servers: RedisCluster, redis_server: RedisServer) -> None:
    with fault_proxy(redis_server.path) as silent:
        silent.black_hole()
        nodes = [silent.port, 1, servers.nodes[1].port]
        client = connect("redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in nodes), timeout=0.3)
        assert isinstance(client, Cluster)
        await client.refresh()
        assert client.unserved == 0
        await client.aclose()


async def test_when_nobody_tells_it_the_last_failure_is_raised() -> None:
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    assert isinstance(client, Cluster)
    with pytest.raises(RedisError, match=r"127\.0\.0\.1:2"):
        await client.refresh()


async def test_a_server_that_is_no_cluster_says_so(teller: FaultProxy) -> None:
    cluster = told_by(teller)
    with pytest.raises(ResponseError, match="cluster support disabled"):
        await cluster.refresh()
    await cluster.aclose()


async def test_a_slot_that_moved_is_sent_there_from_now_on(cluster: Cluster) -> None:
    node = await cluster.find("{search}:bucket")
    moved = cluster.redirected(MovedError(f"{SLOT} 192.0.2.1:7000"), node)
    assert cluster.node_of("{search}:bucket") is moved is not node
    assert moved.get_connection_kwargs()["host"] == "192.0.2.1"


async def test_a_slot_that_is_just_moving_stays_for_the_others(cluster: Cluster) -> None:
    node = await cluster.find("{search}:bucket")
    asked = cluster.redirected(AskError(f"{SLOT} 192.0.2.1:7000"), node)
    assert cluster.node_of("{search}:bucket") is node is not asked


async def test_a_node_without_a_name_is_where_the_one_is_that_spoke(cluster: Cluster) -> None:
    node = await cluster.find("{search}:bucket")
    moved = cluster.redirected(MovedError(f"{SLOT} :7000"), node)
    assert moved.get_connection_kwargs()["host"] == "127.0.0.1"


@pytest.mark.parametrize("host", ["-", "?", ""])
async def test_a_map_without_names_is_about_the_one_that_told_it(teller: FaultProxy, host: str) -> None:
    cluster = told_by(teller)
    teller.inject(the_map((0, 16383, f"{host}:7001")))
    await cluster.refresh()
    node = cluster.node_of("{search}:bucket")
    assert node is not None
    assert node.get_connection_kwargs()["host"] == "127.0.0.1"
    assert port_of(node) == 7001
    await cluster.aclose()


async def test_slots_that_nobody_serves_are_counted_and_not_found(teller: FaultProxy) -> None:
    cluster = told_by(teller)
    teller.inject(the_map((0, 99, "192.0.2.1:7001")))
    with pytest.raises(ClusterDownError):
        await cluster.find("{search}:bucket")
    assert cluster.unserved == 16384 - 100
    await cluster.aclose()


async def test_a_node_keeps_its_client_from_map_to_map(teller: FaultProxy) -> None:
    cluster = told_by(teller)
    seen = []
    for _ in range(2):
        teller.inject(the_map((0, 16383, "192.0.2.1:7001")))
        await cluster.refresh()
        seen.append(cluster.node_of("{search}:bucket"))
    assert seen[0] is seen[1]
    await cluster.aclose()


async def test_connections_to_a_node_that_left_are_ended(
    teller: FaultProxy, redis_server: RedisServer
) -> None:
    with fault_proxy(redis_server.path) as leaving:
        cluster = told_by(teller)
        teller.inject(the_map((0, 16383, f"127.0.0.1:{leaving.port}")))
        node = await cluster.find("{search}:bucket")
        await node.ping()
        for _ in range(2):
            teller.inject(the_map((0, 16383, "192.0.2.1:7001")))
            await cluster.refresh()
        (connection,) = node.connection_pool._available_connections
        assert not connection.is_connected
        await cluster.aclose()


async def test_a_question_for_the_map_can_be_given_up(teller: FaultProxy) -> None:
    cluster = told_by(teller)
    teller.black_hole()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await cluster.refresh()
    teller.heal()
    teller.inject(the_map((0, 16383, "192.0.2.1:7001")))
    await cluster.refresh()
    assert port_of(cluster.node_of("{search}:bucket")) == 7001
    await cluster.aclose()


def test_its_name_is_where_it_was_looked_for() -> None:
    client = Cluster(seeds=[HostPort("a", 1), HostPort("b", 2)], client_of=lambda _: Redis(), timeout=1)
    assert client.name == "a:1,b:2"
