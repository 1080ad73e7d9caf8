"""200 clients of four whole gateways at the edge of a strict budget: what the ledger adds up to fits in it.

The gateways are processes of their own, as they are run, on one Redis and one ledger. A client asks until it
is told that the budget has no room for it; when the last of it is being called in, it asks again. A refusal
tells what was left when it was decided: for one that is remembered that is up to a second ago.
"""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import msgspec
import pytest
from redis.asyncio import Redis

from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery
from gateway.database.engine import open_database
from gateway.metering.reports.books import SqlBooks
from gateway.settings.reading import load_settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.proofs.conftest import WORKERS
from tests.support.command import gateway
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, PEPPER, UPSTREAM_KEY
from tests.support.keys import make_key
from tests.support.policy_files import write_policies
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(300)

CLIENTS = 200
REFUSED_OFTEN = 2
"""So often a client is told that the budget is used up before it leaves."""
CAPS = [1, 16, 100]
"""Tokens that an answer may have."""
EXPECTED = [(200, None), (429, "insufficient_quota"), (503, "budget_unavailable")]
BUCKET = "{search}:all:dollars:team=search"
RULES = "endpoints: ['*']\nmodels: [gpt-4o-mini]"
OUR_FAULTS = ("internal_error", "loop_failed", "hand_over_", "reservation_leaked", "exception")


@dataclass
class Street:
    """Gateways side by side, and what they have said."""

    addresses: Sequence[str]
    log: list[str]
    key: str
    poor_key: str
    """Of a team that can pay for nothing."""


@dataclass
class Seen:
    """What the clients were told."""

    statuses: Counter[int] = field(default_factory=Counter)
    held: int = 0
    """Refusals for what others held at that moment."""
    used_up: int = 0
    """Refusals by which nothing was left at all: gateways remember them for a second."""
    in_vain: list[str] = field(default_factory=list)
    """Refusals of what would have fitted."""


async def test_no_race_through_whole_gateways_passes_a_strict_budget(
    tmp_path: Path, redis_server: RedisServer, redis: Redis, full: bool, record_property: Any
) -> None:
    amount = 60_000 if full else 6_000
    policies = policy_files(tmp_path, amount)
    environment = settings_of(tmp_path, policies, redis_server)
    simulator = Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=Pace.instant())
    async with running(simulator, host="localhost") as upstream:
        environment["GATEWAY_UPSTREAM__BASE_URL"] = upstream
        seen, log = await rush(environment)
    spending = await ledger(environment)
    kept: Any = await redis.hgetall(BUCKET)
    record_property("clients at once", CLIENTS)
    record_property("served", seen.statuses[200])
    record_property("refused by budget", seen.statuses[429])
    record_property("… since nothing was left", seen.used_up)
    record_property("… since others held the rest", seen.held)
    record_property("told to wait for the last of it", seen.statuses[503])
    record_property("overspent, micro-dollars", max(0, spending.spent - amount))
    record_property("refused in vain", len(seen.in_vain))
    record_property("of the budget was used", f"{spending.spent / amount:.1%}")
    assert spending.spent <= amount
    assert spending.under_way == ()
    assert seen.in_vain == []
    assert seen.statuses[200] == len(simulator.requests)
    assert seen.statuses[429] == CLIENTS * REFUSED_OFTEN + seen.held
    assert (int(kept[b"spent"]), int(kept[b"held"])) == (spending.spent, 0)
    assert [line for line in log if any(fault in line for fault in OUR_FAULTS)] == []


async def rush(environment: Mapping[str, str]) -> tuple[Seen, list[str]]:
    """All clients at once, until each was refused. What they were told, and what the gateways said."""
    seen, every = Seen(), aiohttp.TCPConnector(limit=0)
    async with street(environment) as built, aiohttp.ClientSession(connector=every) as http:
        bounds = {cap: await bound_of(http, built, cap) for cap in CAPS}
        await asyncio.gather(*(client(http, built, number, bounds, seen) for number in range(CLIENTS)))
    return seen, built.log


async def client(
    http: aiohttp.ClientSession, built: Street, number: int, bounds: Mapping[int, float], seen: Seen
) -> None:
    chance, address = Random(number), built.addresses[number % len(built.addresses)]
    refused = 0
    while refused < REFUSED_OFTEN:
        cap = chance.choice(CAPS)
        (sentence,) = await eventually(partial(told, http, address, built.key, cap, seen), seconds=30)
        refused += sentence != ""
        seen.used_up += "is used up" in sentence
        if sentence and left_by(sentence) >= bounds[cap]:
            seen.in_vain.append(sentence)


async def told(http: aiohttp.ClientSession, address: str, key: str, cap: int, seen: Seen) -> Sequence[str]:
    """A refusal's sentence, empty for an answer; nothing yet while the rest of the budget is held by others,
    or called in."""
    status, body = await ask(http, address, key, cap)
    seen.statuses[status] += 1
    error = body.get("error", {})
    assert (status, error.get("code")) in EXPECTED
    sentence = error.get("message", "")
    is_held = "is held by requests" in sentence
    seen.held += is_held
    return [] if status == 503 or is_held else [sentence]


async def ask(http: aiohttp.ClientSession, address: str, key: str, cap: int) -> tuple[int, Any]:
    body = {
        "model": "gpt-4o-mini",
        "max_tokens": cap,
        "messages": [{"role": "user", "content": "Say something"}],
    }
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://{address}/v1/chat/completions"
    async with http.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def bound_of(http: aiohttp.ClientSession, built: Street, cap: int) -> float:
    """The dollars that such a request can cost at most, as whoever can never pay them is told."""
    status, body = await ask(http, built.addresses[0], built.poor_key, cap)
    found = re.search(r"could cost \$([\d.]+)", body["error"]["message"])
    assert (status, found is not None) == (400, True)
    return float(found[1]) if found else 0.0


def left_by(sentence: str) -> float:
    """The dollars that were left when this was said."""
    if "is used up" in sentence:
        return 0.0
    found = re.search(r"too little left[^:]*: \$([\d.]+) of", sentence)
    assert found, sentence
    return float(found[1])


@asynccontextmanager
async def street(environment: Mapping[str, str]) -> AsyncIterator[Street]:
    """Gateways that listen; told to stop at the end, and gone when all is written."""
    settings = load_settings(environment)
    keys = [await make_key(settings, team, "clients") for team in ("search", "poor")]
    log: list[str] = []
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(gateway("serve", environment=environment)) for _ in range(WORKERS)
        ]
        addresses = [await listening(process) for process in processes]
        readers = [asyncio.create_task(read(process, log)) for process in processes]
        stack.push_async_callback(end, readers)
        yield Street(addresses, log, *keys)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        await asyncio.gather(*readers)
        assert [await process.wait() for process in processes] == [0] * WORKERS


async def listening(process: asyncio.subprocess.Process) -> str:
    """Where clients can connect."""
    assert process.stdout is not None
    async for line in process.stdout:
        said = msgspec.json.decode(line)
        if said["event"] == "listening":
            return str(said["clients"])
    raise EOFError("it has ended")


async def read(process: asyncio.subprocess.Process, log: list[str]) -> None:
    """All that it says."""
    assert process.stdout is not None
    log.extend([line.decode() async for line in process.stdout])


async def end(readers: Sequence[asyncio.Task[None]]) -> None:
    """Also when something went wrong, and they still wait."""
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def ledger(environment: Mapping[str, str]) -> Spending:
    """What the team has spent."""
    database = open_database(environment["GATEWAY_DATABASE_URL"])
    try:
        query = SpendingQuery(Counted.DOLLARS, since=0, until=2**40, team="search")
        return await SqlBooks(database).spending(query)
    finally:
        await database.close()


def policy_files(folder: Path, amount: int) -> Path:
    """A team with so many micro-dollars, and another with one. Months as in `test_races.py`."""

    def budget(micro_dollars: int) -> str:
        dollars = f"{micro_dollars / 1_000_000:.6f}"
        rule = f"{{per: team, dollars: {dollars}, every: month, zone: Asia/Kathmandu, strict: true}}"
        return f"budgets: {{all: {rule}}}"

    return write_policies(folder, RULES, search=budget(amount), poor=budget(1))


def settings_of(folder: Path, policies: Path, redis_server: RedisServer) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_POLICIES_DIR": str(policies),
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "GATEWAY_REDIS_URL": redis_server.url,
        "GATEWAY_REPLICAS": str(WORKERS),
        "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
        "GATEWAY_KEY_PEPPER": PEPPER,
        "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
        "GATEWAY_BOUNDS__AUTHENTICATION_SECONDS": "10",
        "GATEWAY_BOUNDS__DRAIN_SECONDS": "10",
    }
