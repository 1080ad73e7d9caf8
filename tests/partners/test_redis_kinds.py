"""Limits on every kind of Redis, each real: with users and TLS, behind sentinels, in a cluster of six.

Everywhere but in the checks of that, the gateway is the user that docs/operations.md describes, with no more
rights. What limits decide is in tests/conformance; here it is that they reach whom they should.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NotConnected

from gateway.core.clock import SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Counted, Limit, Scope
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, Refusal, Spent
from gateway.limits.redis.connect import Client, connect
from gateway.limits.redis.fitness import unfit
from gateway.limits.redis.limiter import RedisLimiter
from gateway.limits.redis.scripts import Script, ScriptCall, Scripts
from tests.repo.tree import ROOT
from tests.support.certificates import certificate, servers_side
from tests.support.eventually import eventually
from tests.support.fault_proxy import fault_proxy
from tests.support.redis_cluster import Node, RedisCluster, running_cluster
from tests.support.redis_sentinel import PASSWORD, SentinelGroup, running_sentinels
from tests.support.redis_server import RedisServer, ask, running_redis

DAY = 86_400.0
REQUESTS = Limit("requests", Counted.REQUESTS, (Scope.TEAM,), 5, DAY, 5)
TOKENS = Limit("tokens", Counted.TOKENS, (Scope.TEAM,), 1000, DAY, 10**6)
SLOTS = Limit("streams", Counted.CONCURRENT, (Scope.TEAM,), 8)

PATIENT = 5.0
"""Seconds that tests of other facts than time-outs wait for Redis."""
DEADLINE = 0.25
"""Seconds that the others wait: more than 0.1 as in production, since this machine does other things too."""
SOON = 15.0
"""Seconds within which a failover is over, on a machine that does other things. By itself it takes two."""
HELD_UP = 2.0
"""Seconds for which this machine may do other things in between."""

COUNT = Script("return redis.call('HINCRBY', KEYS[1], 'n', 1)")
COUNT_TWO = Script("redis.call('HINCRBY', KEYS[1], 'n', 1) return redis.call('HINCRBY', KEYS[2], 'n', 1)")

_ids = count()


def users() -> tuple[str, ...]:
    """Options that let in the documented user, and in cluster and group nobody else but the tests."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rule = re.search(r"^ACL SETUSER (gateway .*)$", text, re.MULTILINE)
    assert rule is not None
    return "--user", *rule[1].replace("PASSWORD", "pass").split()


def with_user(url: str) -> str:
    return url.replace("://", "://gateway:pass@", 1)


@dataclass
class Kind:
    """One Redis, as the gateway is told of it."""

    url: str
    ca_file: Path | None = None

    @asynccontextmanager
    async def client(self, timeout: float = PATIENT) -> AsyncIterator[Client]:
        client = connect(self.url, timeout=timeout, ca_file=self.ca_file, sentinel_password=PASSWORD)
        try:
            yield client
        finally:
            await client.aclose()

    @asynccontextmanager
    async def limiter(self, timeout: float = PATIENT) -> AsyncIterator[RedisLimiter]:
        async with self.client(timeout) as client:
            limiter = RedisLimiter(client=client, timeout=timeout)
            async with running(limiter.run):
                yield limiter

    @asynccontextmanager
    async def scripts(self, timeout: float = PATIENT) -> AsyncIterator[Scripts]:
        async with self.client(timeout) as client:
            scripts = Scripts(client=client, timeout=timeout)
            async with running(scripts.run):
                yield scripts


@asynccontextmanager
async def running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    loop = asyncio.ensure_future(run())
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


def hold(team: str, *limits: Limit, tokens: int = 100) -> Hold:
    demands = [
        demand_of(
            limit,
            f"{{{team}}}:{limit.name}:{limit.counts}:team={team}",
            tokens if limit.counts is Counted.TOKENS else 1,
            time.time(),
        )
        for limit in limits
    ]
    return Hold(f"ex_{next(_ids)}", tuple(demands))


def settled(held: Hold, tokens: int = 0) -> Spent:
    return Spent(held, tuple(tokens if each.limit.counts is Counted.TOKENS else 1 for each in held.demands))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis(*users()) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def group() -> AsyncIterator[SentinelGroup]:
    async with running_sentinels(*users()) as group:
        yield group


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[RedisCluster]:
    async with running_cluster(*users()) as cluster:
        yield cluster


@pytest.fixture(params=["server", "tls", "sentinels", "cluster"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "tls":
        server = request.getfixturevalue("server")
        file = certificate(tmp_path)
        with fault_proxy(server.path, tls=servers_side(file)) as proxy:
            yield Kind(with_user(proxy.url), file)
    else:
        name = {"sentinels": "group"}.get(request.param, request.param)
        yield Kind(with_user(request.getfixturevalue(name).url))


# On every kind


async def test_each_team_gets_what_is_its_own_and_no_more(kind: Kind) -> None:
    teams = [f"team-{next(_ids)}" for _ in range(12)]
    async with kind.limiter() as limiter:
        holds = [hold(team, REQUESTS, TOKENS, SLOTS) for _ in range(8) for team in teams]
        decisions = await asyncio.gather(*map(limiter.reserve, holds))
        granted = [
            held for held, decision in zip(holds, decisions, strict=True) if isinstance(decision, Grant)
        ]
        refused = [decision for decision in decisions if isinstance(decision, Refusal)]
        assert sorted(_team(held.demands[0].bucket) for held in granted) == sorted(teams * 5)
        assert sorted(_team(refusal.demand.bucket) for refusal in refused) == sorted(teams * 3)
        assert {refusal.demand.limit for refusal in refused} == {REQUESTS}
        await limiter.settle([settled(held, tokens=40) for held in granted])
        for team in teams:
            seen = hold(team, TOKENS, tokens=0)
            decision = await limiter.reserve(seen)
            assert decision.standings[0].remaining == pytest.approx(10**6 - 5 * 40, abs=1)


def _team(bucket: str) -> str:
    return bucket[1 : bucket.index("}")]


async def test_nobody_gets_the_answer_of_another(kind: Kind) -> None:
    async with kind.scripts() as scripts:
        names = [f"{{{team}}}:echo:{number}" for team in range(12) for number in range(50)]
        calls = [ScriptCall(Script("return {KEYS[1], ARGV[1]}"), (name,), (name[::-1],)) for name in names]
        tasks = [asyncio.ensure_future(scripts.call(call)) for call in calls]
        for turn, task in enumerate(tasks):
            if turn % 3 == 0:
                task.cancel()
            if turn % 40 == 0:
                await asyncio.sleep(0)
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for name, reply in zip(names, replies, strict=True):
            assert isinstance(reply, asyncio.CancelledError) or reply == [
                [name.encode(), name[::-1].encode()]
            ]
        assert await scripts.call(*calls) == [[name.encode(), name[::-1].encode()] for name in names]


async def test_a_teams_buckets_are_found(kind: Kind) -> None:
    async with kind.limiter() as limiter:
        for team in ("found", "found2"):
            await limiter.reserve(hold(team, REQUESTS, SLOTS))
        assert sorted(await limiter.buckets("found")) == [
            "{found}:requests:requests:team=found",
            "{found}:streams:concurrent:team=found",
        ]


async def test_it_takes_writes_and_knows_its_replicas(kind: Kind) -> None:
    async with kind.limiter() as limiter:
        await limiter.probe()
        assert (await limiter.beat("replica-1")).share.of >= 1


async def test_nothing_is_wrong_with_it(kind: Kind) -> None:
    async with kind.client() as client:
        assert await unfit(client, clock=SystemClock()) == []


async def test_scripts_that_are_forgotten_are_sent_again(
    kind: Kind,
    request: pytest.FixtureRequest,
    cluster: RedisCluster,
    group: SentinelGroup,
    server: RedisServer,
) -> None:
    async with kind.limiter() as limiter:
        await limiter.reserve(hold("forgetful", SLOTS))
        for each in (server, *group.servers, *(node.server for node in cluster.nodes)):
            await ask(each.url, "SCRIPT FLUSH")
        assert isinstance(await limiter.reserve(hold("forgetful", SLOTS)), Grant)


# Sentinels


async def test_the_sentinels_password_is_not_the_redis_own(group: SentinelGroup) -> None:
    client = connect(with_user(group.url), timeout=PATIENT)
    with pytest.raises(NotConnected, match="Authentication required"):
        await client.ping()
    await client.aclose()


async def test_a_master_that_no_sentinel_knows_is_named(group: SentinelGroup) -> None:
    client = connect(
        with_user(group.url).replace("/main", "/mein"), timeout=PATIENT, sentinel_password=PASSWORD
    )
    with pytest.raises(StoreUnavailable, match="no sentinel knows a master named mein"):
        await unfit(client, clock=SystemClock())
    await client.aclose()


async def test_a_silent_sentinel_is_passed_over(group: SentinelGroup, server: RedisServer) -> None:
    with fault_proxy(server.path) as silent:
        silent.black_hole()
        url = with_user(group.url).replace("@", f"@127.0.0.1:{silent.port},")
        async with Kind(url).scripts(timeout=1.0) as scripts:
            assert await scripts.call(counted("silent", "t")) == [1]


async def test_after_a_hand_over_the_next_call_but_one_finds_the_new_master(group: SentinelGroup) -> None:
    async with Kind(with_user(group.url)).scripts() as scripts:
        call = counted("handed-over", "t")
        await scripts.call(call)
        await group.hand_over()
        try:
            await scripts.call(call)
        except StoreUnavailable:
            await scripts.call(call)
        await eventually(group.is_whole)


async def test_limits_go_on_after_a_failover() -> None:
    async with running_sentinels(*users()) as group, Kind(with_user(group.url)).limiter(DEADLINE) as limiter:
        await limiter.reserve(hold("search", TOKENS))
        group.master.stop()
        away = await _away(limiter, "search")
        assert away < SOON
        assert isinstance(await limiter.reserve(hold("search", TOKENS)), Grant)


async def _away(limiter: RedisLimiter, team: str) -> float:
    """Seconds until it grants again; each call within its deadline."""
    began = time.monotonic()

    async def is_back() -> bool:
        asked = time.monotonic()
        try:
            await limiter.reserve(hold(team, TOKENS))
        except StoreUnavailable:
            assert time.monotonic() - asked < DEADLINE + HELD_UP
            return False
        return True

    await eventually(is_back, seconds=20)
    return time.monotonic() - began


# Clusters


@pytest.fixture
async def at(cluster: RedisCluster) -> list[Node]:
    """The masters."""
    return await cluster.masters()


def counted(name: str, tag: str) -> ScriptCall:
    return ScriptCall(COUNT, (f"{{{tag}}}:{name}",), ())


async def test_calls_for_all_nodes_travel_together(cluster: RedisCluster, at: list[Node]) -> None:
    tags = [await cluster.tag_on(node) for node in at]
    async with Kind(with_user(cluster.url)).scripts() as scripts:
        assert len(tags) == 3
        assert await scripts.call(*(counted("together", tag) for tag in tags * 2)) == [1, 1, 1, 2, 2, 2]


async def test_a_call_goes_after_its_slot(cluster: RedisCluster, at: list[Node]) -> None:
    tag = await cluster.tag_on(at[0])
    async with Kind(with_user(cluster.url)).scripts() as scripts:
        for turn, node in enumerate((*at[1:], *at), 1):
            assert await scripts.call(counted("after", tag)) == [turn]
            await cluster.move_slot(_slot(tag), node)


async def test_keys_that_have_gone_ahead_are_asked_for_there(cluster: RedisCluster, at: list[Node]) -> None:
    tag = await cluster.tag_on(at[0])
    async with Kind(with_user(cluster.url)).scripts() as scripts:
        await scripts.call(counted("old", tag))
        await cluster.open_slot(_slot(tag), at[1])
        assert await scripts.call(counted("old", tag), counted("new", tag)) == [2, 1]
        await cluster.move_keys(_slot(tag), at[1])
        assert await scripts.call(counted("old", tag), counted("new", tag)) == [3, 2]
        await cluster.close_slot(_slot(tag), at[1])
        assert await scripts.call(counted("old", tag), counted("new", tag)) == [4, 3]
        await cluster.move_slot(_slot(tag), at[0])


async def test_a_call_whose_keys_are_parted_waits_until_they_are_together(
    cluster: RedisCluster, at: list[Node]
) -> None:
    tag = await cluster.tag_on(at[0])
    keys = f"{{{tag}}}:parted:1", f"{{{tag}}}:parted:2"
    async with Kind(with_user(cluster.url)).scripts() as scripts:
        await scripts.call(*(ScriptCall(COUNT, (key,), ()) for key in keys))
        await cluster.open_slot(_slot(tag), at[1])
        await at[0].ask("MIGRATE", "127.0.0.1", at[1].port, keys[0], 0, 5000)
        waiting = asyncio.ensure_future(scripts.call(ScriptCall(COUNT_TWO, keys, ())))
        assert await scripts.call(counted("another", tag)) == [1]
        assert not waiting.done()
        await cluster.move_keys(_slot(tag), at[1])
        await cluster.close_slot(_slot(tag), at[1])
        assert await waiting == [2]
        await cluster.move_slot(_slot(tag), at[0])


async def test_a_resharding_under_load_costs_no_call_more_than_its_deadline(
    cluster: RedisCluster, at: list[Node]
) -> None:
    """Whoever is not answered in time asks again, and nothing is counted twice."""
    tag = await cluster.tag_on(at[0])
    spent, late, slowest = [], [], []

    async def exchange(limiter: RedisLimiter) -> None:
        held = hold(tag, TOKENS, SLOTS, tokens=7)
        for act in (lambda: limiter.reserve(held), lambda: limiter.settle([settled(held, tokens=5)])):
            while True:
                began = time.monotonic()
                try:
                    await act()
                    break
                except StoreUnavailable as error:
                    late.append(str(error))
                finally:
                    slowest.append(time.monotonic() - began)
        spent.append(5)

    async def load(limiter: RedisLimiter, moving: asyncio.Event) -> None:
        while not moving.is_set():
            await exchange(limiter)

    async with Kind(with_user(cluster.url)).limiter(DEADLINE) as limiter:
        moved = asyncio.Event()
        loads = [asyncio.ensure_future(load(limiter, moved)) for _ in range(8)]
        for node in (*at[1:], *at) * 2:
            await cluster.move_slot(_slot(tag), node)
        moved.set()
        await asyncio.gather(*loads)
        decision = await limiter.reserve(hold(tag, TOKENS, tokens=0))
    assert set(late) <= {"Redis did not answer in time"}
    assert max(slowest) < DEADLINE + HELD_UP
    assert decision.standings[0].remaining == pytest.approx(10**6 - sum(spent), abs=1)
    assert len(spent) > 50


async def test_a_silent_node_keeps_only_its_own_teams_waiting(cluster: RedisCluster, at: list[Node]) -> None:
    silent, lively = await cluster.tag_on(at[0]), await cluster.tag_on(at[1])
    async with Kind(with_user(cluster.url)).scripts(timeout=HELD_UP) as scripts:
        await scripts.call(counted("lively", lively), counted("lively", silent))
        at[0].server.freeze()
        waiting = [asyncio.ensure_future(scripts.call(counted("lively", silent))) for _ in range(5)]
        began = time.monotonic()
        for _ in range(20):
            await scripts.call(counted("lively", lively))
        took = time.monotonic() - began
        at[0].server.thaw()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert took < HELD_UP


async def test_a_replica_that_is_promoted_is_found_by_the_next_call(cluster: RedisCluster) -> None:
    master, replica = cluster.nodes[2], cluster.nodes[5]
    tag = await cluster.tag_on(master)
    async with Kind(with_user(cluster.url)).client() as client:
        scripts = Scripts(client=client, timeout=PATIENT)
        async with running(scripts.run):
            assert await scripts.call(counted("promoted", tag)) == [1]
            await cluster.promote(replica)
            assert await scripts.call(counted("promoted", tag)) == [2]
            assert await cluster.owner(_slot(tag)) is replica
            # and for all of its slots, without another error
            await eventually(lambda: f"127.0.0.1:{replica.port}" in map(_address, client.masters))
            assert f"127.0.0.1:{master.port}" not in map(_address, client.masters)


def _address(node: Redis) -> str:
    options = node.get_connection_kwargs()
    return f"{options['host']}:{options['port']}"


async def test_limits_go_on_after_the_death_of_a_master() -> None:
    async with (
        running_cluster(*users()) as cluster,
        Kind(with_user(cluster.url)).limiter(DEADLINE) as limiter,
    ):
        doomed, other = [await cluster.tag_on(node) for node in cluster.nodes[1:3]]
        await limiter.reserve(hold(doomed, TOKENS))
        await limiter.reserve(hold(other, TOKENS))
        cluster.nodes[1].server.stop()
        assert isinstance(await limiter.reserve(hold(other, TOKENS)), Grant)
        assert await _away(limiter, doomed) < SOON


def _slot(tag: str) -> int:
    return key_slot(tag.encode())
