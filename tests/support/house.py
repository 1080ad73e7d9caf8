"""A whole gateway on real sockets, before a simulator with opinions. What users do is done to this."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gateway.app import Gateway, assembled, key_desk
from gateway.settings import Settings, load_settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator

UPSTREAM_KEY = "sk-upstream-0123456789"
PEPPER = "a pepper for tests only"
ADMIN_TOKEN = "token-for-tests-only"  # noqa: S105 - not a secret
POLICIES = Path(__file__).parents[2] / "policies"


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
    http: aiohttp.ClientSession
    log: io.BytesIO = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def post(self, path: str, body: Mapping[str, Any], **options: Any) -> aiohttp.ClientResponse:
        """POST JSON with the house's key; the answer's body is already read."""
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.http.post(f"{self.url}{path}", json=body, headers=headers, **options) as answer:
            await answer.read()
            return answer

    async def chat(self, content: str = "Say hello", **members: Any) -> aiohttp.ClientResponse:
        messages = [{"role": "user", "content": content}]
        return await self.post("/chat/completions", {"model": "gpt-4o-mini", "messages": messages, **members})

    async def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        self.gateway.sink.flush()
        return [msgspec.json.decode(line) for line in self.log.getvalue().splitlines()]

    async def new_key(self, team: str, name: str) -> str:
        async with key_desk(self.settings) as desk:
            return await desk.create(team, name, None)


@asynccontextmanager
async def house(
    folder: Path,
    *,
    policies: Path = POLICIES,
    simulator: Simulator | None = None,
    environment: Mapping[str, str] | None = None,
    team: str = "search",
) -> AsyncIterator[House]:
    """Everything started on free ports, everything stopped at the end; the simulator must have nothing to complain of."""
    upstream = simulator or Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=Pace.instant())
    log = io.BytesIO()
    async with running(upstream, host="localhost") as base_url:
        settings = load_settings(
            {
                "GATEWAY_LISTEN": "127.0.0.1:0",
                "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
                "GATEWAY_POLICIES_DIR": str(policies),
                "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
                "GATEWAY_UPSTREAM__BASE_URL": base_url,
                "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
                "GATEWAY_KEY_PEPPER": PEPPER,
                "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
                "GATEWAY_BOUNDS__DRAIN_SECONDS": "1",
                **(environment or {}),
            }
        )
        async with key_desk(settings) as desk:
            key = await desk.create(team, "tests", None)
        async with assembled(settings, log_stream=log) as gateway, aiohttp.ClientSession() as http:
            yield House(
                url=f"http://{gateway.address}/v1",
                operators=f"http://{gateway.admin_address}",
                key=key,
                simulator=upstream,
                gateway=gateway,
                settings=settings,
                http=http,
                log=log,
            )
    assert upstream.complaints == []
