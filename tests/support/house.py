"""A whole gateway on real sockets, before a simulator with opinions. What users do is done to this."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from sqlalchemy import Connection, Row, select

from gateway.app.gateway import Gateway, assembled
from gateway.background import Pause
from gateway.core.clock import Clock
from gateway.database.engine import open_database
from gateway.database.tables import ADMISSIONS, SETTLEMENTS
from gateway.settings.reading import load_settings
from gateway.settings.tree import Settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.support.eventually import eventually
from tests.support.keys import make_key
from tests.support.wire import Wire, WireAnswer, connected

UPSTREAM_KEY = "sk-upstream-0123456789"
PEPPER = "a pepper for tests only"
ADMIN_TOKEN = "token-for-tests-only"
POLICIES = Path(__file__).parents[2] / "policies"

_OUR_FAULTS = (b"internal_error", b"loop_failed", b"hand_over_", b"reservation_leaked", b"exception")
"""What no log is to tell of, whatever clients and upstreams do."""

_BOTH = ADMISSIONS.outerjoin(SETTLEMENTS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)
_LEDGER = select(ADMISSIONS, *[column for column in SETTLEMENTS.c if column.name != "attempt_id"])


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def error(self) -> dict[str, Any]:
        """What an error body says."""
        error: dict[str, Any] = self.json()["error"]
        return error

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class House:
    """Addresses, and what can be looked at."""

    url: str
    """Up to and including `/v1`."""
    operators: str
    key: str
    simulator: Simulator
    gateway: Gateway
    settings: Settings
    environment: Mapping[str, str] = field(repr=False)
    """What the settings were made of, for commands beside the gateway."""
    http: aiohttp.ClientSession
    log: io.BytesIO = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Any request to the gateway, with the house's key."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self._ask(method, f"{self.url}{path}", headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Mapping[str, Any], **options: Any) -> Answer:
        return await self.ask("POST", path, json=body, **options)

    async def chat(
        self, content: str = "Say hello", *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> Answer:
        messages = [{"role": "user", "content": content}]
        body = {"model": "gpt-4o-mini", "messages": messages, **members}
        return await self.post("/chat/completions", body, headers=headers or {})

    async def direct(self, path: str, **options: Any) -> Answer:
        """POST to the simulator itself, as the gateway would: what it says when nobody is in between."""
        headers = {"authorization": f"Bearer {UPSTREAM_KEY}", **options.pop("headers", {})}
        return await self._ask("POST", f"{self.settings.upstream.base_url}{path}", headers=headers, **options)

    async def send(self, wire: Wire, path: str, body: Mapping[str, Any]) -> None:
        """POST JSON on a bare connection."""
        data = msgspec.json.encode(body)
        head = (
            f"POST /v1{path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        await wire.send(head.encode() + data)

    async def raw(self, path: str, body: Mapping[str, Any]) -> WireAnswer:
        """POST JSON; the answer as it came, however it ended."""
        async with self.wire() as wire:
            await self.send(wire, path, body)
            return await wire.answer()

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """A bare connection to the gateway."""
        async with connected(self.gateway.address) as wire:
            yield wire

    async def metrics(self) -> str:
        """What operators scrape."""
        return (await self._ask("GET", f"{self.operators}/metrics")).body.decode()

    async def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        self.gateway.sink.flush()
        return [msgspec.json.decode(line) for line in self.log.getvalue().splitlines()]

    async def line(self, request_id: str) -> dict[str, Any]:
        """The one line of an exchange, which is written when its answer is out already."""

        async def look() -> list[dict[str, Any]]:
            lines = await self.lines()
            return [
                line for line in lines if line["event"] == "exchange" and line.get("request_id") == request_id
            ]

        (line,) = await eventually(look)
        return line

    async def ended(self, outcome: str) -> dict[str, Any]:
        """The last exchange's line, once there is one that ended so: for clients that never saw its id."""

        async def look() -> list[dict[str, Any]]:
            return [line for line in await self.lines() if line.get("outcome") == outcome]

        return (await eventually(look))[-1]

    async def ledger(self, request_id: str | None = None) -> Sequence[Row[Any]]:
        """Every attempt (of an exchange), oldest first, both of its lines as one; none is unsettled."""
        database = open_database(self.settings.database_url.get_secret_value())

        async def settled() -> Sequence[Sequence[Row[Any]]]:
            await self.gateway.ledger.flush()
            return await database.read(partial(_all_settled, request_id))

        try:
            (rows,) = await eventually(settled)
        finally:
            await database.close()
        return rows

    async def new_key(self, team: str, name: str, **more: Any) -> str:
        return await make_key(self.settings, team, name, **more)

    async def _ask(self, method: str, address: str, **options: Any) -> Answer:
        async with self.http.request(method, address, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


def _all_settled(exchange_id: str | None, connection: Connection) -> tuple[Sequence[Row[Any]]] | None:
    rows = connection.execute(_LEDGER.select_from(_BOTH).order_by(ADMISSIONS.c.attempt_id)).all()
    if any(row.settled_at is None for row in rows):
        return None
    return ([row for row in rows if exchange_id in (None, row.exchange_id)],)


async def hasten(seconds: float) -> None:
    """What happens every second happens every 20 milliseconds."""
    await asyncio.sleep(seconds / 50)


@asynccontextmanager
async def house(
    folder: Path,
    *,
    policies: Path = POLICIES,
    simulator: Simulator | None = None,
    environment: Mapping[str, str] | None = None,
    team: str = "search",
    clock: Clock | None = None,
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[House]:
    """Everything started on free ports, all stopped at the end. Neither simulator nor log has complaints."""
    upstream = simulator or Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=Pace.instant())
    log = io.BytesIO()
    async with running(upstream, host="localhost") as base_url:
        variables = {
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
            "GATEWAY_POLICIES_DIR": str(policies),
            "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
            "GATEWAY_UPSTREAM__BASE_URL": base_url,
            "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
            "GATEWAY_KEY_PEPPER": PEPPER,
            "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
            "GATEWAY_BOUNDS__AUTHENTICATION_SECONDS": "10",
            "GATEWAY_BOUNDS__DRAIN_SECONDS": "1",
            **(environment or {}),
        }
        settings = load_settings(variables)
        key = await make_key(settings, team, "tests")
        async with (
            assembled(settings, log_stream=log, clock=clock, pause=pause) as gateway,
            aiohttp.ClientSession() as http,
        ):
            yield House(
                url=f"http://{gateway.address}/v1",
                operators=f"http://{gateway.admin_address}",
                key=key,
                simulator=upstream,
                gateway=gateway,
                settings=settings,
                environment=variables,
                http=http,
                log=log,
            )
    assert upstream.complaints == []
    assert [line for line in log.getvalue().splitlines() if any(fault in line for fault in _OUR_FAULTS)] == []
