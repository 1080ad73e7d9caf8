"""The master that sentinels watch dies under load, and its replica takes its place: limits hold."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.limits.interfaces import Limiter
from tests.proofs.clients import REPLICAS, Load, policy_of
from tests.proofs.facts import check
from tests.proofs.outage import Fault, story_of
from tests.support.eventually import eventually
from tests.support.redis_sentinel import PASSWORD, SentinelGroup, running_sentinels
from tests.support.replicas import TeamBooks, onlooker, replicas

pytestmark = pytest.mark.timeout(180)


async def lose_the_master(group: SentinelGroup, how: str, truth: Limiter) -> None:
    group.master.stop() if how == "killed" else group.master.freeze()
    with suppress(StoreUnavailable):
        await truth.buckets("search")  # so that its connection leads to the other one when there is one


async def another_master(group: SentinelGroup) -> None:
    """Waits for it."""

    async def is_led_by_another() -> bool:
        return await group.master_port() != group.master.port

    await eventually(is_led_by_another)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = metafunc.config.getoption("--full", default=False)
    metafunc.parametrize("how", ["frozen", "killed"] if full else ["frozen"])


async def test_limits_hold_through_a_failover(how: str, record_property: Any) -> None:
    books = TeamBooks()
    async with (
        running_sentinels() as group,
        replicas([group.url] * REPLICAS, books=books, sentinel_password=PASSWORD) as made,
        onlooker(group.url, sentinel_password=PASSWORD) as truth,
    ):
        fault = Fault(partial(lose_the_master, group, how, truth), partial(another_master, group), loses=True)
        story = await story_of(fault, Load(made, policy_of("search"), books), truth)
    for what, figure in story.figures().items():
        record_property(what, figure)
    check(story)
