import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from gateway.metering.reconciliation.http import HttpFetch
from gateway.metering.reconciliation.provider import ProviderError

KEY = SecretStr("sk-admin-1")
FOREVER = web.AppKey("forever", asyncio.Event)


async def answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/v1/organization/costs":
            given = {"key": request.headers["authorization"], "query": list(request.query.items())}
            return web.json_response(given, headers={"retry-after": "3"})
        case "/v1/organization/large":
            return web.Response(body=b"x" * 5000)
        case "/v1/organization/away":
            raise web.HTTPFound("/v1/organization/costs")
        case "/v1/organization/slow":
            await request.app[FOREVER].wait()
    return web.Response(status=404)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app[FOREVER] = asyncio.Event()
    app.router.add_get("/{path:.*}", answer)
    app.on_shutdown.append(lambda app: _set(app[FOREVER]))
    async with TestServer(app) as server:
        yield server


async def _set(event: asyncio.Event) -> None:
    event.set()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def fetch(session: aiohttp.ClientSession, server: TestServer, **bounds: Any) -> HttpFetch:
    return HttpFetch(session=session, base_url=f"http://127.0.0.1:{server.port}/v1", admin_key=KEY, **bounds)


async def test_a_question_carries_the_key_and_its_query(
    session: aiohttp.ClientSession, server: TestServer
) -> None:
    page = await fetch(session, server)("/organization/costs", [("group_by[]", "model"), ("page", "a&b=")])
    assert (page.status, page.retry_after) == (200, "3")
    assert page.body == b'{"key": "Bearer sk-admin-1", "query": [["group_by[]", "model"], ["page", "a&b="]]}'


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession, server: TestServer) -> None:
    assert (await fetch(session, server)("/organization/away", [])).status == 302


async def test_an_answer_that_is_too_large_is_not_read(
    session: aiohttp.ClientSession, server: TestServer
) -> None:
    with pytest.raises(ProviderError, match="Ask for fewer days"):
        await fetch(session, server, most_bytes=4000)("/organization/large", [])


async def test_an_answer_that_does_not_come_is_not_waited_for(
    session: aiohttp.ClientSession, server: TestServer
) -> None:
    with pytest.raises(ProviderError, match="did not answer in time"):
        await fetch(session, server, seconds=0.05)("/organization/slow", [])


async def test_nobody_there_is_told(session: aiohttp.ClientSession, server: TestServer) -> None:
    ask = fetch(session, server)
    await server.close()
    with pytest.raises(ProviderError, match="cannot be reached"):
        await ask("/organization/costs", [])


@pytest.mark.parametrize(
    "url",
    ["https://api.openai.com/v1", "http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"],
)
async def test_the_key_goes_over_tls_or_stays_on_this_machine(
    session: aiohttp.ClientSession, url: str
) -> None:
    HttpFetch(session=session, base_url=url, admin_key=KEY)


@pytest.mark.parametrize(
    "url",
    ["http://api.openai.com/v1", "http://10.0.0.1/v1", "http://localhost.example.com/v1", "http://[::2]/v1"],
)
async def test_the_key_is_not_sent_where_others_read_it(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(ValueError, match="is not https"):
        HttpFetch(session=session, base_url=url, admin_key=KEY)
