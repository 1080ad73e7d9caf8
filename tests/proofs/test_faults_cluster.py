"""A cluster of six loses a master, and hands slots over, under load: limits hold, and nobody waits."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from redis.crc import key_slot

from tests.proofs.clients import REPLICAS, Load, policy_of
from tests.proofs.facts import check
from tests.proofs.outage import Fault, story_of
from tests.support.eventually import eventually
from tests.support.redis_cluster import Node, RedisCluster, running_cluster
from tests.support.replicas import TeamBooks, onlooker, replicas

pytestmark = pytest.mark.timeout(180)


THE_TEAMS = "on which the team's counters lie"
THE_HOUSES = "on which replicas tell that they live, too"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[RedisCluster]:
    async with running_cluster() as cluster:
        yield cluster


async def stop(node: Node) -> None:
    node.server.stop()


async def come_back(node: Node) -> None:
    """As a replica of who took its place."""
    await asyncio.to_thread(node.server.start)

    async def follows() -> bool:
        role = await node.ask("ROLE")
        return role[0] == "slave" and role[3] == "connected"

    await eventually(follows)


async def another_master(cluster: RedisCluster, slot: int, node: Node) -> None:
    """Waits for it."""

    async def is_served_by_another() -> bool:
        return await cluster.owner(slot) is not node

    await eventually(is_served_by_another)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "doomed" in metafunc.fixturenames:
        full = metafunc.config.getoption("--full", default=False)
        metafunc.parametrize("doomed", [THE_TEAMS, THE_HOUSES] if full else [THE_TEAMS])


async def test_limits_hold_through_the_death_of_a_master(
    cluster: RedisCluster, doomed: str, record_property: Any
) -> None:
    house = await cluster.owner(key_slot(b"gateway"))
    others = [node for node in await cluster.masters() if node is not house]
    await check_death_of(others[0] if doomed == THE_TEAMS else house, cluster, record_property)


async def check_death_of(doomed: Node, cluster: RedisCluster, record_property: Any) -> None:
    team = await cluster.tag_on(doomed)
    slot, books = key_slot(team.encode()), TeamBooks()
    async with (
        replicas([cluster.url] * REPLICAS, books=books) as made,
        onlooker(cluster.url) as truth,
    ):
        fault = Fault(partial(stop, doomed), partial(another_master, cluster, slot, doomed), loses=True)
        story = await story_of(fault, Load(made, policy_of(team), books), truth)
    await come_back(doomed)
    for what, figure in story.figures().items():
        record_property(what, figure)
    check(story)


async def test_limits_hold_through_a_resharding(
    cluster: RedisCluster, full: bool, record_property: Any
) -> None:
    """The team's slot wanders from master to master, with all its counters."""
    masters = await cluster.masters()
    team = await cluster.tag_on(masters[0])
    slot, books = key_slot(team.encode()), TeamBooks()

    async def wander() -> None:
        for node in (*masters[1:], masters[0]) * (5 if full else 1):
            await cluster.move_slot(slot, node)

    async def nothing() -> None:
        pass

    async with (
        replicas([cluster.url] * REPLICAS, books=books) as made,
        onlooker(cluster.url) as truth,
    ):
        fault = Fault(wander, nothing, outages=(0, 15 if full else 3))
        story = await story_of(fault, Load(made, policy_of(team), books), truth)
    for what, figure in story.figures().items():
        record_property(what, figure)
    check(story)
