"""Gateways that are killed while thousands of clients ask, leave and fail: by its own log, the provider saw
nothing that the ledger has not, and the ledger has nothing twice.

Each attempt carries its id to the provider (`x-client-request-id`): the two are compared attempt by attempt.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.database.engine import open_database
from gateway.settings.reading import load_settings
from gateway.simulator.log import Log, SeenRequest
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.proofs.audit import Audit, Books, read_books
from tests.proofs.crowd import Crowd
from tests.proofs.fleet import Keeper, fleet
from tests.support.eventually import eventually
from tests.support.house import PEPPER, UPSTREAM_KEY
from tests.support.keys import make_key
from tests.support.policy_files import write_policies
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.timeout(900)

GATEWAYS = 3
AT_ONCE = 40
PACE = Pace(first_token_seconds=0.02, tokens_per_second=1500.0)
RULES = """
endpoints: ['*']
models: ['*']
limits:
  requests: {per: team, requests: 100_000_000, every: minute}
  at-once: {per: team, concurrent: 10_000}
budgets:
  money: {per: team, dollars: 100_000, every: month, mode: warn, models: ["gpt*", "text*"]}
"""
SETTLING = 60.0
"""Seconds in which the last of what dead gateways left is settled by the living."""


class Everything(Log):
    """A log without bound."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[SeenRequest] = []

    def add(self, seen: SeenRequest) -> None:
        super().add(seen)
        self.all.append(seen)


@dataclass
class Script:
    """What happens after how many requests."""

    requests: int
    kills: int
    _waiting: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    def told(self, count: int) -> None:
        for at, event in self._waiting:
            if count >= at:
                event.set()

    async def after(self, share: float) -> None:
        """When so much of all has been asked."""
        event = asyncio.Event()
        self._waiting.append((int(share * self.requests), event))
        await event.wait()


async def kill_gateways(script: Script, keepers: list[Keeper]) -> None:
    """One after the other, and each again, at even distances."""
    for number in range(script.kills):
        await script.after((number + 1) / (script.kills + 1))
        keepers[number % len(keepers)].kill()


async def kill_redis(script: Script, redis: RedisServer) -> None:
    for share in (0.3, 0.7):
        await script.after(share)
        redis.stop()
        await script.after(share + 0.1)
        await asyncio.to_thread(redis.start)


async def stop_postgres(script: Script, postgres: PostgresServer, seconds: float) -> None:
    await script.after(0.5)
    await asyncio.to_thread(postgres.stop, "immediate")
    await asyncio.sleep(seconds)
    await asyncio.to_thread(postgres.start)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_whatever_dies_the_ledger_has_what_the_provider_saw(
    kind: str, tmp_path: Path, full: bool, record_property: Any
) -> None:
    script = Script(requests=10_000, kills=20) if full else Script(requests=600, kills=3)
    simulator = Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=PACE)
    simulator.log = everything = Everything()
    with running_redis() as redis, database_of(kind, tmp_path) as (url, postgres):
        environment = settings_of(tmp_path, url, redis)
        async with running(simulator, host="localhost") as upstream:
            environment["GATEWAY_UPSTREAM__BASE_URL"] = upstream
            key = await key_of_a_client(environment)
            async with fleet(environment, GATEWAYS) as keepers, asyncio.TaskGroup() as group:
                crowd = Crowd(keepers, key, told=script.told)
                group.create_task(kill_gateways(script, list(keepers)))
                group.create_task(kill_redis(script, redis))
                if postgres is not None:
                    group.create_task(stop_postgres(script, postgres, 60.0 if full else 3.0))
                await crowd.ask(script.requests, at_once=AT_ONCE)
                await eventually(partial(is_settled, url, tmp_path / "journal"), seconds=SETTLING)
        books = await books_of(url)
    audit = Audit(books, everything.all)
    findings = list(audit.findings())
    record_property("requests", len(crowd.saw))
    record_property("of them answered to their end", sum(saw.whole for saw in crowd.saw))
    record_property("attempts that the provider saw", len(everything.all))
    record_property("gateways killed", sum(keeper.killed for keeper in keepers))
    record_property("missing, twice, wrong", len(findings))
    for what, figure in sorted(audit.figures.items()):
        record_property(what, figure)
    assert findings == []
    assert list((tmp_path / "journal").glob("*")) == []
    assert simulator.complaints == []


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[tuple[str, PostgresServer | None]]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/gateway.db", None
        return
    with running_postgres() as postgres:
        yield postgres.url(postgres.create()), postgres


async def is_settled(url: str, journals: Path) -> bool:
    """Nothing is under way, and nothing is left of the dead."""
    books = await books_of(url)
    locks = await asyncio.to_thread(lambda: list(journals.glob("*.lock")))
    return books.under_way == 0 and len(locks) == GATEWAYS


async def books_of(url: str) -> Books:
    database = open_database(url)
    try:
        return await database.read(read_books, timeout=60)
    finally:
        await database.close()


async def key_of_a_client(environment: dict[str, str]) -> str:
    return await make_key(load_settings(environment), "search", "clients")


def settings_of(folder: Path, url: str, redis: RedisServer) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_POLICIES_DIR": str(write_policies(folder, RULES)),
        "GATEWAY_DATABASE_URL": url,
        "GATEWAY_JOURNAL__DIRECTORY": str(folder / "journal"),
        "GATEWAY_REDIS_URL": redis.url,
        "GATEWAY_REPLICAS": str(GATEWAYS),
        "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
        "GATEWAY_KEY_PEPPER": PEPPER,
        "GATEWAY_BOUNDS__AUTHENTICATION_SECONDS": "10",
        "GATEWAY_BOUNDS__DRAIN_SECONDS": "10",
    }
