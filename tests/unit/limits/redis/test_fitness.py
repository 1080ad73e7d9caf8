"""What is wrong with a Redis, told of real ones that are made so."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.core.clock import SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.limits.redis import fitness
from gateway.limits.redis.connect import connect
from gateway.limits.redis.findings import Fault, Finding, Severity
from gateway.limits.redis.fitness import Fitness, findings_in, unfit
from gateway.signals.redis import CHANNEL, RedisSignals
from tests.repo.tree import ROOT
from tests.support.certificates import certificate, servers_side
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.log import Log
from tests.support.redis_server import RedisServer, ask, running_redis

REFUSE, WARN = Severity.REFUSE, Severity.WARN
CLOCK = SystemClock()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    client = connect(url, timeout=5.0)
    try:
        yield client
    finally:
        await client.aclose()


async def told(url: str) -> list[Finding]:
    async with connected(url) as client:
        return await unfit(client, clock=CLOCK)


async def only(url: str) -> Finding:
    (finding,) = await told(url)
    return finding


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """One that a test may spoil."""
    with running_redis() as server:
        yield server


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with fault_proxy(redis_server.path) as proxy:
        yield proxy


async def test_of_a_good_one_nothing_is_told(redis: Redis) -> None:
    assert await unfit(redis, clock=CLOCK) == []


async def test_nothing_is_left_behind(redis: Redis) -> None:
    await unfit(redis, clock=CLOCK)
    assert await redis.dbsize() == 0


# What INFO tells


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({}, []),
        ({"redis_version": "6.2.0"}, []),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, []),
        ({"redis_version": 10.0}, []),
        ({"redis_version": "255.255.255"}, []),
        ({"redis_version": "unstable"}, []),
        ({"redis_version": "6.0.16"}, [(REFUSE, Fault.VERSION)]),
        ({"redis_version": "5.0"}, [(REFUSE, Fault.VERSION)]),
        ({"redis_mode": "standalone"}, []),
        ({"redis_mode": "cluster"}, [(REFUSE, Fault.KIND)]),
        ({"redis_mode": "sentinel", "redis_version": "5.0"}, [(REFUSE, Fault.KIND)]),
        ({"role": "master"}, []),
        ({"role": "slave"}, [(WARN, Fault.REPLICA)]),
        ({"maxmemory_policy": "noeviction"}, []),
        ({"maxmemory_policy": "allkeys-lru"}, [(WARN, Fault.EVICTION)]),
        ({"maxmemory_policy": "volatile-ttl"}, [(WARN, Fault.EVICTION)]),
        (
            {"redis_version": "5.0", "role": "slave", "maxmemory_policy": "volatile-lru"},
            [(REFUSE, Fault.VERSION), (WARN, Fault.REPLICA), (WARN, Fault.EVICTION)],
        ),
    ],
)
def test_what_a_server_says_of_itself_is_judged(info: dict[str, Any], found: list[object]) -> None:
    findings = list(findings_in(info, "cache:6379"))
    assert [(finding.severity, finding.fault) for finding in findings] == found
    assert all("cache:6379" in finding.sentence for finding in findings)


def test_a_node_of_a_cluster_is_right_in_a_cluster() -> None:
    assert list(findings_in({"redis_mode": "cluster"}, "cache:6379", clustered=True)) == []


# What real ones say


async def test_one_that_evicts_is_warned_of() -> None:
    with running_redis("--maxmemory-policy", "volatile-lru") as server:
        finding = await only(server.url)
    assert (finding.severity, finding.fault, finding.where) == (WARN, Fault.EVICTION, server.path)
    assert finding.sentence == (
        f"{server.path} evicts keys once it is full (maxmemory-policy volatile-lru), and an evicted counter "
        "begins anew: limits would let more through. Set maxmemory-policy noeviction."
    )


async def test_a_replica_is_warned_of(own: RedisServer) -> None:
    await ask(own.url, "REPLICAOF", "127.0.0.1", 1)
    assert (await only(own.url)).fault is Fault.REPLICA


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("maxmemory", "1", (WARN, Fault.FULL)),
        ("min-replicas-to-write", "1", (WARN, Fault.WRITES)),
    ],
)
async def test_one_that_takes_no_writes_is_warned_of(
    own: RedisServer, option: str, value: str, found: object
) -> None:
    await ask(own.url, "CONFIG SET", option, value)
    finding = await only(own.url)
    assert (finding.severity, finding.fault) == found


async def test_a_node_of_a_cluster_must_be_named_as_one() -> None:
    with running_redis("--cluster-enabled", "yes") as server:
        finding = await only(server.url)
    assert (finding.severity, finding.fault) == (REFUSE, Fault.KIND)
    assert "redis+cluster://" in finding.sentence


async def test_one_that_is_no_cluster_must_not_be_named_as_one(proxy: FaultProxy) -> None:
    finding = await only(proxy.url.replace("redis://", "redis+cluster://"))
    assert (finding.severity, finding.fault, finding.where) == (REFUSE, Fault.KIND, f"127.0.0.1:{proxy.port}")
    assert "is no cluster" in finding.sentence


async def test_what_is_no_redis_is_refused(proxy: FaultProxy) -> None:
    proxy.inject("HTTP/1.1 400 Bad Request")
    finding = await only(proxy.url)
    assert (finding.severity, finding.fault) == (REFUSE, Fault.NO_REDIS)


async def test_one_that_is_slow_is_warned_of(proxy: FaultProxy) -> None:
    proxy.delay(0.06)
    finding = await only(proxy.url)
    assert (finding.severity, finding.fault) == (WARN, Fault.SLOW)


@pytest.mark.parametrize(("ahead", "words"), [(60, "60 s behind this"), (-60, "60 s ahead of this")])
async def test_a_clock_that_goes_wrong_is_warned_of(redis: Redis, ahead: int, words: str) -> None:
    (finding,) = await unfit(redis, clock=ManualClock(time.time() + ahead))
    assert (finding.severity, finding.fault) == (WARN, Fault.CLOCK)
    assert words in finding.sentence


async def test_a_clock_that_is_a_little_wrong_is_let_be(redis: Redis) -> None:
    assert await unfit(redis, clock=ManualClock(time.time() + 2)) == []


# What the gateway's user may do


def documented() -> str:
    """The rule in docs/operations.md, from `resetkeys` on."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rule = re.search(r"^ACL SETUSER gateway on >PASSWORD (.*)$", text, re.MULTILINE)
    assert rule is not None
    return rule[1]


@asynccontextmanager
async def as_user(server: RedisServer, rule: str) -> AsyncIterator[str]:
    """The URL of a user with these rights."""
    await ask(server.url, "ACL", "SETUSER", "gateway", "reset", "on", ">hush", *rule.split())
    yield f"unix://gateway:hush@{server.path}"


async def test_the_documented_rights_suffice(own: RedisServer) -> None:
    async with as_user(own, documented()) as url:
        assert await told(url) == []


def commands_in(*names: str) -> set[str]:
    """What these scripts call."""
    texts = [Path(fitness.__file__).with_name(name).read_text(encoding="utf-8") for name in names]
    return {found.lower() for text in texts for found in re.findall(r"redis\.p?call\('(\w+)'", text)}


def test_the_trial_runs_what_any_script_runs() -> None:
    scripts = [file.name for file in Path(fitness.__file__).parent.glob("*.lua") if file.name != "trial.lua"]
    assert len(scripts) > 5
    assert commands_in("trial.lua") == commands_in(*scripts)


def test_no_more_rights_are_documented_than_are_needed() -> None:
    by_the_gateway = {"eval", "evalsha", "scan", "info", "select", "asking", "cluster|slots"}
    by_signals = {"publish", "subscribe"}
    named = {word.removeprefix("+") for word in documented().split() if word.startswith("+")}
    assert named == by_the_gateway | by_signals | commands_in("trial.lua")
    assert [word for word in documented().split() if "&" in word or "channels" in word] == [
        "resetchannels",
        f"&{CHANNEL}*",
    ]


@pytest.mark.parametrize(
    "less",
    ["-eval", "-evalsha", "-hincrby", "-zadd", "-time", "resetkeys", "resetkeys ~{*}:*"],
)
async def test_a_right_that_is_missing_is_refused(own: RedisServer, less: str) -> None:
    async with as_user(own, f"{documented()} {less}") as url:
        finding = await only(url)
    assert (finding.severity, finding.fault) == (REFUSE, Fault.RIGHTS)
    assert "docs/operations.md" in finding.sentence


@pytest.mark.parametrize(
    "less",
    ["-publish", "-subscribe", "resetchannels", f"resetchannels &{CHANNEL}", f"resetchannels &{CHANNEL}:*"],
)
async def test_a_right_to_signal_that_is_missing_is_warned_of(own: RedisServer, less: str) -> None:
    async with as_user(own, f"{documented()} {less}") as url:
        finding = await only(url)
    assert (finding.severity, finding.fault) == (WARN, Fault.SIGNALS)
    assert "each looks twice a second" in finding.sentence
    assert "docs/operations.md" in finding.sentence


async def test_with_the_documented_rights_replicas_hear_each_other(own: RedisServer) -> None:
    away: list[str | None] = []
    async with as_user(own, documented()) as url, connected(url) as one, connected(url) as other:
        asking, answering = (
            RedisSignals(client=client, log=Log().logger, on_away=away.append) for client in (one, other)
        )
        answering.answer("explain", lambda question: question + b" there")
        running = [asyncio.create_task(signals.run()) for signals in (asking, answering)]

        async def is_answered() -> bool:
            return await asking.ask("explain", b"who", enough=1) == [b"who there"]

        await eventually(is_answered)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert away == []


async def test_what_may_not_be_asked_is_not_known(own: RedisServer) -> None:
    await ask(own.url, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
    async with as_user(own, f"{documented()} -info") as url:
        assert await told(url) == []


@pytest.mark.parametrize("login", ["gateway:wrong@", "nobody:hush@"])
async def test_a_wrong_password_is_refused_and_not_shown(own: RedisServer, login: str) -> None:
    async with as_user(own, documented()):
        finding = await only(f"unix://{login}{own.path}")
    assert (finding.severity, finding.fault) == (REFUSE, Fault.LOGIN)
    assert not {"wrong", "hush"} & set(re.findall(r"\w+", finding.sentence))


async def test_a_password_that_is_missing_is_refused() -> None:
    with running_redis("--requirepass", "hush") as server:
        finding = await only(server.url)
    assert (finding.severity, finding.fault) == (REFUSE, Fault.LOGIN)


# Away


async def test_one_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot be reached: .*127\.0\.0\.1:1"):
        await told("redis://127.0.0.1:1")


async def test_one_that_says_nothing_is_unavailable_in_time(proxy: FaultProxy) -> None:
    proxy.black_hole()
    async with connected(proxy.url) as client:
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await unfit(client, clock=CLOCK, patience=0.05)


async def test_a_certificate_that_is_not_trusted_is_told(redis_server: RedisServer, tmp_path: Path) -> None:
    tls = servers_side(certificate(tmp_path))
    with (
        fault_proxy(redis_server.path, tls=tls) as proxy,
        pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        await told(proxy.url)


# Told once


async def test_each_thing_is_told_once_and_again_when_it_had_been_right(own: RedisServer) -> None:
    said: list[Finding] = []
    async with connected(own.url) as client:
        watch = Fitness(client=client, clock=CLOCK, tell=said.append)
        for policy in ("noeviction", "allkeys-lru", "allkeys-lru", "noeviction", "volatile-lru"):
            await ask(own.url, "CONFIG SET", "maxmemory-policy", policy)
            await watch.look()
    assert [re.findall(r"policy (\S+)\)", finding.sentence) for finding in said] == [
        ["allkeys-lru"],
        ["volatile-lru"],
    ]


async def test_a_redis_that_is_away_says_nothing_and_is_looked_at_again(own: RedisServer) -> None:
    said: list[Finding] = []
    async with connected(own.url) as client:
        watch = Fitness(client=client, clock=CLOCK, tell=said.append)
        own.stop()
        await watch.look()
        own.start()
        await ask(own.url, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        await watch.look()
    assert [finding.fault for finding in said] == [Fault.EVICTION]
