"""A real Redis breaks under load, in every way that is known of: limits hold, and nobody waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any, Final

import pytest

from gateway.limits.interfaces import Limiter
from tests.proofs.clients import DOLLARS, PARTS, REPLICAS, SLOTS, Load, policy_of
from tests.proofs.facts import check
from tests.proofs.outage import Fault, all_well, knows_its_part, story_of, until
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_server import RedisServer, ask, free_port, running_redis
from tests.support.replicas import BREAKER, LEASE, SLICE_LEASE, Replica, TeamBooks, onlooker, replicas

pytestmark = pytest.mark.timeout(180)

Act = Callable[["Site"], Awaitable[None]]


@dataclass(frozen=True)
class Site:
    """A Redis, and the doors through which replicas reach it: one for all, or one for each."""

    server: RedisServer
    doors: Sequence[FaultProxy]

    @property
    def door(self) -> FaultProxy:
        (door,) = self.doors
        return door

    @property
    def commands(self) -> int:
        return sum(door.commands for door in self.doors)

    async def ask(self, *words: object) -> Any:
        return await ask(self.server.url, *words)


async def heal(site: Site) -> None:
    site.door.heal()


async def refuse(site: Site) -> None:
    site.door.refuse()


async def black_hole(site: Site) -> None:
    for door in site.doors:
        door.black_hole()


async def heal_one_after_the_other(site: Site) -> None:
    """Over nearly as long a time as replicas allow for."""
    for door in site.doors:
        door.heal()
        await asyncio.sleep(0.4 * BREAKER.returning)


async def delay(site: Site) -> None:
    site.door.delay(2.0)


async def lose_replies(site: Site) -> None:
    site.door.lose_replies()


async def flap(site: Site) -> None:
    site.door.flap(up=0.3, down=0.3)


async def come_and_go(site: Site) -> None:
    site.door.flap(up=1.2, down=0.3)


async def load(site: Site) -> None:
    site.door.inject("-LOADING Redis is loading the dataset in memory", 10**9)


async def become_a_replica(site: Site) -> None:
    await site.ask("REPLICAOF", "127.0.0.1", free_port())


async def become_a_master(site: Site) -> None:
    await site.ask("REPLICAOF", "NO", "ONE")


async def fill(site: Site) -> None:
    await site.ask("CONFIG", "SET", "maxmemory", 1)


async def grow(site: Site) -> None:
    await site.ask("CONFIG", "SET", "maxmemory", 0)


async def kill(site: Site) -> None:
    site.server.stop()


async def start(site: Site) -> None:
    await asyncio.to_thread(site.server.start)


async def kill_behind_doors(site: Site) -> None:
    for door in site.doors:
        door.refuse()
    site.server.stop()


async def start_behind_doors(site: Site) -> None:
    await start(site)
    await heal_one_after_the_other(site)


async def empty(site: Site) -> None:
    await site.ask("FLUSHALL")


async def nothing(site: Site) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    """A fault of a site that is not there yet."""

    begin: Act
    end: Act = heal
    doors: int = 1
    keeps: bool = False
    """Whether what Redis has is on its disk at once."""
    longer: int = 10
    """So many times longer it lasts at the full size, where it outlasts leases. But money has to be left."""
    of: Mapping[str, Any] = field(default_factory=dict)
    """Further words of the Fault."""

    @property
    def options(self) -> tuple[str, ...]:
        return ("--appendonly", "yes", "--appendfsync", "always") if self.keeps else ()

    def at(self, site: Site) -> Fault:
        return Fault(begin=partial(self.begin, site), end=partial(self.end, site), **self.of)


SHORT_LEASE: Final = 3.6
"""Seconds. Some outages are longer."""
SLICE_OF_KILLED: Final = "slice:replica-0_"

KINDS: Final = {
    "refused": Kind(refuse),
    "a black hole": Kind(black_hole),
    "back for one after the other": Kind(black_hole, heal_one_after_the_other, doors=REPLICAS),
    "two seconds late": Kind(delay),
    "flapping": Kind(flap, of={"lasts": 250}),
    "coming and going": Kind(come_and_go, longer=3, of={"lasts": 600, "outages": (1, 20)}),
    "executed, the reply lost": Kind(lose_replies),
    "READONLY": Kind(become_a_replica, become_a_master),
    "OOM": Kind(fill, grow),
    "LOADING": Kind(load),
    "killed": Kind(kill, start, keeps=True),
    "restarted empty": Kind(kill, start, of={"empties": True}),
    "restarted empty, back for one after the other": Kind(
        kill_behind_doors, start_behind_doors, doors=REPLICAS, of={"empties": True}
    ),
    # Until the next beat nobody knows that the bucket is not full.
    "FLUSHALL": Kind(empty, nothing, of={"empties": True, "outages": (0, 0), "most": 2.05}),
}


@dataclass(frozen=True)
class Scene:
    """Everything that stands, and nothing has happened."""

    site: Site
    replicas: Sequence[Replica]
    load: Load
    truth: Limiter
    """Asks Redis, whatever replicas hold of it."""


@asynccontextmanager
async def scene(
    *options: str, doors: int = 1, ample: bool = False, lease: float = LEASE, slice_lease: float = SLICE_LEASE
) -> AsyncIterator[Scene]:
    """`options`: of the server. `ample`: whether nothing is ever refused."""
    books = TeamBooks()
    with running_redis(*options) as server, ExitStack() as stack:
        site = Site(server, [stack.enter_context(fault_proxy(server.path)) for _ in range(doors)])
        urls = islice(cycle([door.url for door in site.doors]), REPLICAS)
        async with (
            replicas(list(urls), books=books, lease=lease, slice_lease=slice_lease) as made,
            onlooker(server.url) as truth,
        ):
            yield Scene(site, made, Load(made, policy_of("search", ample=ample), books), truth)


@pytest.mark.parametrize("name", KINDS)
async def test_limits_hold_through(name: str, full: bool, record_property: Any) -> None:
    kind = KINDS[name]
    lease = SHORT_LEASE if full else LEASE
    async with scene(*kind.options, doors=kind.doors, lease=lease) as at:
        story = await story_of(
            kind.at(at.site),
            at.load,
            at.truth,
            commands=lambda: at.site.commands,
            longer=kind.longer if full else 1,
        )
    for what, figure in story.figures().items():
        record_property(what, figure)
    check(story)


async def test_scripts_that_redis_forgets_cost_nobody_anything(full: bool) -> None:
    async with scene(ample=True) as at, at.load.going():
        for _ in range(50 if full else 10):
            before = len(at.load.waits)
            await at.site.ask("SCRIPT", "FLUSH")
            await eventually(lambda before=before: len(at.load.waits) > before + 10)
    assert at.load.refusals == []
    assert [replica.primary.failed for replica in at.replicas] == [[]] * REPLICAS
    assert [replica.changes for replica in at.replicas] == [[]] * REPLICAS


async def test_slots_settle_at_the_limit_when_one_replica_runs_more_than_its_part() -> None:
    async with scene() as at:
        load, door = at.load, at.site.door
        for _ in range(SLOTS - 2):
            await load.begin_stream(at.replicas[0])
        async with load.going():
            await until("replicas know their parts", lambda: all(map(knows_its_part, at.replicas)))
            door.refuse()
            await until("all are away", lambda: all(replica.limiter.degraded for replica in at.replicas))
            away = len(load.slots)
            await until("others take their parts", lambda: max(slot.all for slot in load.slots) > SLOTS)
            load.end_sessions()
            ended = len(load.slots)
            await until("all go on", lambda: {slot.replica for slot in load.slots[ended:]} == {0, 1, 2})
            await until("slots are given", lambda: len(load.slots) > ended + 100)
            door.heal()
    assert [slot for slot in load.slots[away:] if slot.own > PARTS[slot.replica]] == []
    assert max(slot.all for slot in load.slots[ended:]) <= SLOTS


async def test_what_a_killed_replica_held_is_free_when_its_leases_have_ended() -> None:
    async with scene(lease=1.0, slice_lease=1.5) as at:
        killed, load = at.replicas[0], at.load

        async def holds_nothing() -> bool:
            looks = await load.looks(at.truth)
            holders = {holder.exchange_id for holder in looks.money.holders}
            return not load.differences(looks) and not any(
                each.startswith(SLICE_OF_KILLED) for each in holders
            )

        async with load.going():
            await all_well(load, at.truth)
            assert not await holds_nothing()
            await load.kill(killed)
            await load.rest()
            await eventually(holds_nothing, seconds=5.0)
            assert {each.replica for each in load.live.values()} == set(at.replicas[1:])
            load.end_sessions()
        await load.spend_all()
        assert load.books.settled.dollars == DOLLARS, "what it held cannot be spent"
