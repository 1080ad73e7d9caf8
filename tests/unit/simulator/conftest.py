"""A simulator that never waits, and three ways to it: the official SDK, bare HTTP, and its log."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession, DummyCookieJar
from multidict import CIMultiDictProxy
from openai import AsyncOpenAI

from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


class Reply(NamedTuple):
    """An answer with its bytes as they came."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event; `[DONE]` stays a string."""
        lines = [line for line in self.body.splitlines() if line.startswith(b"data: ")]
        return [json.loads(line[6:]) if line[6:7] == b"{" else line[6:].decode() for line in lines]


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(pace=Pace.instant(), clock=lambda: 1_760_000_000.5)


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    async with running(simulator) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(url + "/", cookie_jar=DummyCookieJar(), auto_decompress=False) as session:
        yield session


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=url, api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
def send(http: ClientSession) -> Callable[..., Awaitable[Reply]]:
    """`send(path, body)` posts JSON; other arguments are aiohttp's."""

    async def send(path: str, body: Any = None, *, method: str = "POST", **rest: Any) -> Reply:
        async with http.request(method, path, json=body, allow_redirects=False, **rest) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    return send


@pytest.fixture
def hello() -> dict[str, Any]:
    """A chat request to build on."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}
