"""A real Redis breaks in every way that is known of, under load: limits hold, nobody waits, all is put right."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.proofs.facts import Fault, check, story_of
from tests.proofs.limiter import limiter_at
from tests.proofs.outage import REPLICAS, Load, policy_of
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.redis_server import RedisServer, ask, free_port, running_redis
from tests.support.replicas import TeamBooks, replicas

pytestmark = pytest.mark.timeout(180)

Act = Callable[["Site"], Awaitable[None]]


@dataclass(frozen=True)
class Site:
    """A Redis, and the proxy through which replicas reach it."""

    server: RedisServer
    proxy: FaultProxy

    async def ask(self, *words: object) -> Any:
        return await ask(self.server.url, *words)


async def heal(site: Site) -> None:
    site.proxy.heal()


async def refuse(site: Site) -> None:
    site.proxy.refuse()


async def black_hole(site: Site) -> None:
    site.proxy.black_hole()


async def delay(site: Site) -> None:
    site.proxy.delay(2.0)


async def lose_replies(site: Site) -> None:
    site.proxy.lose_replies()


async def flap(site: Site) -> None:
    site.proxy.flap(up=0.3, down=0.3)


async def come_and_go(site: Site) -> None:
    site.proxy.flap(up=1.2, down=0.3)


async def load(site: Site) -> None:
    site.proxy.inject("-LOADING Redis is loading the dataset in memory", 10**9)


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
    site.server.start()


async def empty(site: Site) -> None:
    await site.ask("FLUSHALL")


async def nothing(site: Site) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    """A fault of a site that is not there yet."""

    begin: Act
    end: Act = heal
    options: tuple[str, ...] = ()
    """Of the server."""
    more: tuple[tuple[str, Any], ...] = ()

    def at(self, site: Site) -> Fault:
        return Fault("", lambda: self.begin(site), lambda: self.end(site), **dict(self.more))


KEEPS: Final = ("--appendonly", "yes", "--appendfsync", "always")

KINDS: Final = {
    "refused": Kind(refuse),
    "a black hole": Kind(black_hole),
    "two seconds late": Kind(delay),
    "flapping": Kind(flap, more=(("lasts", 400),)),
    "coming and going": Kind(come_and_go, more=(("lasts", 600), ("outages", (1, 10)))),
    "executed, the reply lost": Kind(lose_replies),
    "READONLY": Kind(become_a_replica, become_a_master),
    "OOM": Kind(fill, grow),
    "LOADING": Kind(load),
    "killed": Kind(kill, start, options=KEEPS),
    "restarted empty": Kind(kill, start, more=(("empties", True),)),
    "FLUSHALL": Kind(empty, nothing, more=(("empties", True), ("outages", (0, 0)))),
}


@pytest.mark.parametrize("name", KINDS)
async def test_limits_hold_through(name: str, full: bool, record_property: Any) -> None:
    kind = KINDS[name]
    books = TeamBooks()
    with running_redis(*kind.options) as server, fault_proxy(server.path) as proxy:
        async with (
            replicas([proxy.url] * REPLICAS, books=books) as made,
            limiter_at(server.url) as truth,
        ):
            site, clients = Site(server, proxy), Load(made, policy_of("search"), books)
            story = await story_of(
                kind.at(site), clients, truth, commands=lambda: proxy.commands, longer=8 if full else 1
            )
    for what, figure in story.figures().items():
        record_property(what, figure)
    check(story)
