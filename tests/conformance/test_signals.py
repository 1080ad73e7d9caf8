"""What signals do: of one process alone, and between the processes on every kind of Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import pytest_asyncio

from gateway.limits.redis.connect import connect
from gateway.signals.alone import AloneSignals
from gateway.signals.interfaces import Signals
from gateway.signals.redis import RedisSignals
from tests.conformance.conftest import PATIENT
from tests.support.eventually import eventually
from tests.support.log import Log
from tests.support.redis_cluster import RedisCluster, running_cluster
from tests.support.redis_sentinel import PASSWORD, SentinelGroup, running_sentinels
from tests.support.redis_server import RedisServer

KINDS = ["alone", "server", "sentinel", "cluster"]
BEAT = 0.2


@dataclass(frozen=True)
class Replicas:
    """Signals of some processes that know of each other; alone there is one."""

    all: Sequence[Signals]

    @property
    def first(self) -> Signals:
        return self.all[0]

    @property
    def last(self) -> Signals:
        return self.all[-1]


@asynccontextmanager
async def running(signals: Signals) -> AsyncIterator[Signals]:
    task = asyncio.create_task(signals.run())
    try:
        yield signals
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def on_redis(url: str, *, count: int = 3, beat: float = BEAT) -> AsyncIterator[Replicas]:
    """They hear each other already."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(one_on_redis(url, beat)) for _ in range(count)]
        replicas = Replicas(made)
        await eventually(lambda: hear_each_other(replicas))
        yield replicas


@asynccontextmanager
async def one_on_redis(url: str, beat: float = BEAT) -> AsyncIterator[Signals]:
    client = connect(url, timeout=PATIENT, sentinel_password=PASSWORD)
    signals = RedisSignals(
        client=client, log=Log().logger, on_away=lambda why: None, beat=beat, timeout=PATIENT
    )
    signals.answer("are you there", lambda question: b"yes")
    try:
        async with running(signals):
            yield signals
    finally:
        await client.aclose()


async def hear_each_other(replicas: Replicas) -> bool:
    count = len(replicas.all)
    answers = [await each.ask("are you there", b"", seconds=0.3, enough=count) for each in replicas.all]
    return all(len(each) == count for each in answers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sentinels() -> AsyncIterator[SentinelGroup]:
    async with running_sentinels() as group:
        yield group


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[RedisCluster]:
    async with running_cluster(replicas=0) as started:
        yield started


@pytest.fixture
async def replicas(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    sentinels: SentinelGroup,
    cluster: RedisCluster,
) -> AsyncIterator[Replicas]:
    if request.param == "alone":
        async with running(AloneSignals(log=Log().logger)) as alone:
            yield Replicas([alone])
        return
    urls = {"server": redis_server.url, "sentinel": sentinels.url, "cluster": cluster.url}
    async with on_redis(urls[request.param]) as made:
        yield made


every_kind = pytest.mark.parametrize("replicas", KINDS, indirect=True)


@every_kind
async def test_what_one_tells_all_hear_once_and_itself_at_once(replicas: Replicas) -> None:
    heard: list[list[bytes]] = [[] for _ in replicas.all]
    for each, own in zip(replicas.all, heard, strict=True):
        each.on("credentials", own.append)
    await replicas.first.tell("credentials", b"1")
    assert heard[0] == [b"1"]
    await replicas.first.tell("credentials", b"2")
    await eventually(lambda: all(len(own) == 2 for own in heard))
    assert heard == [[b"1", b"2"]] * len(heard)


@every_kind
async def test_other_topics_are_not_heard(replicas: Replicas) -> None:
    heard: list[bytes] = []
    replicas.last.on("credentials", heard.append)
    await replicas.first.tell("policies", b"1")
    await replicas.first.tell("credentials", b"2")
    await eventually(lambda: heard)
    assert heard == [b"2"]


@every_kind
async def test_all_are_asked_and_the_own_answer_comes_first(replicas: Replicas) -> None:
    for number, each in enumerate(replicas.all):
        each.answer("explain", answering(number))
    count = len(replicas.all)
    answers = await replicas.last.ask("explain", b"why?", seconds=PATIENT, enough=count)
    assert answers[0] == b"%d: why?" % (count - 1)
    assert sorted(answers) == [b"%d: why?" % number for number in range(count)]


@every_kind
async def test_nobody_waits_for_more_than_is_enough(replicas: Replicas) -> None:
    for number, each in enumerate(replicas.all):
        each.answer("explain", answering(number))
    async with asyncio.timeout(PATIENT):
        assert await replicas.first.ask("explain", b"?", seconds=3600, enough=1) == [b"0: ?"]


@every_kind
async def test_who_has_nothing_to_say_says_nothing(replicas: Replicas) -> None:
    for each in replicas.all:
        each.answer("explain", lambda question: None)
    replicas.last.answer("explain", answering(7))
    answers = await replicas.first.ask("explain", b"?", seconds=PATIENT, enough=1)
    assert answers == [b"7: ?"]


@every_kind
async def test_a_question_that_nobody_knows_has_no_answer(replicas: Replicas) -> None:
    assert await replicas.first.ask("unheard-of", b"?", seconds=0.05) == []


@every_kind
async def test_a_fault_of_one_hearer_ends_nothing(replicas: Replicas) -> None:
    heard: list[bytes] = []
    replicas.last.on("credentials", failing)
    replicas.last.on("credentials", heard.append)
    for message in (b"1", b"2"):
        await replicas.first.tell("credentials", message)
    await eventually(lambda: len(heard) == 2)


@every_kind
async def test_bytes_of_any_value_arrive_as_they_were(replicas: Replicas) -> None:
    heard: list[bytes] = []
    replicas.last.on("credentials", heard.append)
    await replicas.first.tell("credentials", bytes(range(256)))
    await eventually(lambda: heard)
    assert heard == [bytes(range(256))]


def answering(number: int) -> Callable[[bytes], bytes]:
    return lambda question: b"%d: %s" % (number, question)


def failing(_: bytes) -> None:
    raise ZeroDivisionError


# A process that only tells: a command.


async def test_a_command_tells_without_hearing(redis_server: RedisServer) -> None:
    async with on_redis(redis_server.url, count=2) as replicas:
        heard: list[bytes] = []
        replicas.first.on("credentials", heard.append)
        client = connect(redis_server.url, timeout=PATIENT)
        command = RedisSignals(client=client, log=Log().logger, on_away=lambda why: None, timeout=PATIENT)
        await command.tell("credentials")
        await client.aclose()
        await eventually(lambda: heard)
        assert heard == [b""]


# Redis changes its shape.


async def test_they_hear_each_other_after_the_master_has_died() -> None:
    async with running_sentinels() as group, on_redis(group.url) as replicas:
        group.master.stop()
        await eventually(lambda: leads_another(group))
        await eventually(lambda: hear_each_other(replicas))


async def test_they_hear_each_other_after_another_became_the_master() -> None:
    async with running_sentinels() as group, on_redis(group.url) as replicas:
        await group.hand_over()
        await eventually(lambda: hear_each_other(replicas))


async def leads_another(group: SentinelGroup) -> bool:
    return await group.master_port() != group.master.port


async def test_they_hear_each_other_after_a_node_of_the_cluster_has_died() -> None:
    async with running_cluster() as cluster, on_redis(cluster.url) as replicas:
        cluster.nodes[0].server.stop()
        await eventually(lambda: hear_each_other(replicas))


async def test_signals_reach_whoever_listens_at_another_node() -> None:
    """Every node passes on what any of them is told."""
    async with running_cluster(replicas=0) as cluster, AsyncExitStack() as stack:
        heard: list[list[bytes]] = []
        for node in cluster.nodes:
            url = f"redis://127.0.0.1:{node.port}"
            signals = await stack.enter_async_context(one_on_redis(url))
            heard.append([])
            signals.on("credentials", heard[-1].append)
        teller = await stack.enter_async_context(one_on_redis(cluster.url))

        async def tell() -> bool:
            await teller.tell("credentials", b"1")
            return all(heard)

        await eventually(tell)
