"""What is taken back is refused by every gateway within a second, under load, and never let in again.

Four gateways are asked without pause with one credential. From the moment at which whoever revokes has the
answer, successes may come for a second at most; streams that run are ended within the same second. With
Redis it is done at one gateway's operators' port, which tells the others; without, as a command does it,
which tells nobody: the gateways look by themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from gateway.app.desks import revocation_desk
from gateway.settings.reading import load_settings
from gateway.settings.tree import Settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.proofs.fleet import Keeper, fleet
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, PEPPER, UPSTREAM_KEY
from tests.support.keys import OPERATOR, make_key, revoke_key
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.postgres import running_postgres
from tests.support.redis_server import running_redis

pytestmark = pytest.mark.timeout(300)

GATEWAYS: Final = 4
PACE: Final = Pace(first_token_seconds=0.01, tokens_per_second=150.0)
LONGEST: Final = 1.0
"""Seconds from the revocation to the last success, and to the end of the last stream."""
AFTERWARDS: Final = 2.0
"""Seconds after these in which everybody is refused."""
QUESTION: Final = {"model": "gpt-4o-mini", "prompt": "Say a lot"}
SHORT: Final = {**QUESTION, "max_tokens": 2}
LONG: Final = {**QUESTION, "n": 100, "stream": True}
"""Some ten seconds."""


@dataclass
class Load:
    """Clients with one credential, at every gateway."""

    http: aiohttp.ClientSession
    keepers: Sequence[Keeper]
    key: str
    successes: list[float] = field(default_factory=list)
    """When each was whole."""
    refusals: list[float] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """What was neither."""
    cut: list[float] = field(default_factory=list)
    """When each stream was ended by the gateway."""
    open: int = 0
    """Streams that have begun."""
    over: bool = False

    async def ask(self, keeper: Keeper) -> None:
        """One thing after the other, until it is over."""
        while not self.over:
            async with self._post(keeper, SHORT) as answer:
                body = await answer.read()
                if answer.status == 200:
                    self.successes.append(monotonic())
                elif answer.status == 401 and b'"invalid_api_key"' in body:
                    self.refusals.append(monotonic())
                else:
                    self.odd.append(f"{answer.status} {body[:200]!r}")

    async def listen(self, keeper: Keeper) -> None:
        """To a long answer, to its end."""
        said = b""
        async with self._post(keeper, LONG) as answer:
            try:
                async for chunk in answer.content.iter_any():
                    self.open += not said
                    said += chunk
            except aiohttp.ClientPayloadError:
                pass  # it is visibly not whole
        if b'"invalid_api_key"' in said and b"[DONE]" not in said:
            self.cut.append(monotonic())
        else:
            self.odd.append(f"a stream that ended otherwise: {said[-200:]!r}")

    def _post(self, keeper: Keeper, body: dict[str, Any]) -> Any:
        return self.http.post(
            f"http://{keeper.address}/v1/completions",
            json=body,
            headers={"authorization": f"Bearer {self.key}"},
        )


@dataclass(frozen=True)
class Case:
    """A credential, and what takes it back."""

    name: str
    key: str
    body: dict[str, Any]

    @property
    def key_id(self) -> str:
        return self.key[4:16]


Revoke = Callable[[Case], Awaitable[None]]


@pytest.mark.parametrize("with_redis", [True, False], ids=["told by redis", "polled alone"])
async def test_within_a_second_nobody_is_let_in_any_more(
    with_redis: bool, tmp_path: Path, full: bool, record_property: Any
) -> None:
    simulator = Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=PACE)
    clients = 6 if full else 2
    lags = {}
    async with installation(tmp_path, simulator, with_redis=with_redis) as (environment, http):
        settings = load_settings(environment)
        cases = [case async for case in cases_of(settings)]
        async with fleet(environment, GATEWAYS) as keepers:
            by = partial(at_operators_port, http, keepers[0]) if with_redis else partial(by_command, settings)
            for case in cases:
                load = Load(http, keepers, case.key)
                revoked = await under_load(load, clients, partial(by, case))
                lags[case.name] = max(load.successes) - revoked
                record_property(f"{case.name}: last success after", f"{lags[case.name] * 1000:.0f} ms")
                record_property(
                    f"{case.name}: last stream cut after", f"{(max(load.cut) - revoked) * 1000:.0f} ms"
                )
                record_property(
                    f"{case.name}: served, refused", f"{len(load.successes)}, {len(load.refusals)}"
                )
                assert load.odd == []
                assert len(load.cut) == GATEWAYS
                assert max(load.cut) - revoked <= LONGEST
                assert lags[case.name] <= LONGEST
                assert len([at for at in load.refusals if at > revoked + LONGEST]) >= GATEWAYS
            told = [await told_lags(http, keeper) for keeper in keepers]
        assert told == [len(cases)] * GATEWAYS, "each gateway measured the lag of each revocation"
    assert simulator.complaints == []


async def under_load(load: Load, clients: int, revoke: Callable[[], Awaitable[None]]) -> float:
    """When whoever revoked had the answer, by the monotonic clock."""
    async with asyncio.TaskGroup() as group:
        for keeper in load.keepers:
            group.create_task(load.listen(keeper))
            for _ in range(clients):
                group.create_task(load.ask(keeper))
        await eventually(lambda: load.open == GATEWAYS and len(load.successes) > 20 * GATEWAYS)
        await revoke()
        revoked = monotonic()
        await eventually(lambda: monotonic() > revoked + LONGEST + AFTERWARDS)
        load.over = True
    return revoked


async def cases_of(settings: Settings) -> AsyncIterator[Case]:
    """A key for each, all of them made beforehand."""
    cut = {"cut_streams": True, "reason": "a proof"}
    yield Case("key", await make_key(settings, "search", "key"), cut)
    owned = await make_key(settings, "search", "user", owner="user:alice")
    yield Case("user", owned, {"kind": "user", "value": "user:alice", **cut})
    yield Case("team", await make_key(settings, "legal", "team"), {"kind": "team", "value": "legal", **cut})
    yield Case("all", await make_key(settings, "ads", "all"), {"kind": "all", **cut})


async def at_operators_port(http: aiohttp.ClientSession, keeper: Keeper, case: Case) -> None:
    """At one gateway, which tells the others."""
    path = f"keys/{case.key_id}/revoke" if case.name == "key" else "revocations"
    address = f"http://{operators_of(keeper)}/admin/{path}"
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    async with http.post(address, json=case.body, headers=headers) as answer:
        assert answer.status < 300, await answer.text()


async def by_command(settings: Settings, case: Case) -> None:
    """Beside the gateways, in the database they share."""
    if case.name == "key":
        await revoke_key(settings, case.key, **case.body)
        return
    async with revocation_desk(settings) as desk:
        await desk.revoke(by=OPERATOR, **case.body)


async def told_lags(http: aiohttp.ClientSession, keeper: Keeper) -> int:
    """How many revocations reached this gateway, by its own count; none took longer than it may."""
    async with http.get(f"http://{operators_of(keeper)}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if " " in line)
    name = "gateway_revocation_lag_seconds"
    assert lines[f'{name}_bucket{{le="1.0"}}'] == lines[f"{name}_count"]
    return int(float(lines[f"{name}_count"]))


def operators_of(keeper: Keeper) -> str:
    """Where its operators connect."""
    (line,) = [line for line in keeper.log if '"listening"' in line]
    return str(msgspec.json.decode(line)["operators"])


@asynccontextmanager
async def installation(
    folder: Path, simulator: Simulator, *, with_redis: bool
) -> AsyncIterator[tuple[dict[str, str], aiohttp.ClientSession]]:
    """PostgreSQL and Redis, or one file alone."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    with stores(folder, with_redis) as urls:
        async with (
            running(simulator, host="localhost") as upstream,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
        ):
            yield (
                {
                    "GATEWAY_LISTEN": "127.0.0.1:0",
                    "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
                    "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
                    "GATEWAY_POLICIES_DIR": str(write_policies(folder, EVERYTHING, legal="", ads="")),
                    "GATEWAY_JOURNAL__DIRECTORY": str(folder / "journal"),
                    "GATEWAY_UPSTREAM__BASE_URL": upstream,
                    "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
                    "GATEWAY_KEY_PEPPER": PEPPER,
                    "GATEWAY_BOUNDS__AUTHENTICATION_SECONDS": "10",
                    "GATEWAY_BOUNDS__DRAIN_SECONDS": "5",
                    **urls,
                },
                http,
            )


@contextmanager
def stores(folder: Path, with_redis: bool) -> Iterator[dict[str, str]]:
    if not with_redis:
        yield {"GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db"}
        return
    with running_postgres() as postgres, running_redis() as redis:
        yield {
            "GATEWAY_DATABASE_URL": postgres.url(postgres.create()),
            "GATEWAY_REDIS_URL": redis.url,
            "GATEWAY_REPLICAS": str(GATEWAYS),
        }
