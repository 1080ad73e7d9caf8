from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar

from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


async def test_an_answer_has_openais_headers(send: Any, hello: dict[str, Any], simulator: Simulator) -> None:
    headers = (await send("chat/completions", hello)).headers

    assert headers["x-request-id"] == simulator.requests[0].request_id
    assert headers["openai-organization"] == "simulated-org"
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdecimal()
    assert headers["x-ratelimit-reset-requests"] == "6ms"
    assert headers["x-ratelimit-reset-tokens"] == "1m12.5s"
    assert "__cf_bm=" in headers["set-cookie"]


async def test_a_stream_has_the_same_headers(send: Any, hello: dict[str, Any]) -> None:
    whole = await send("chat/completions", hello)
    stream = await send("chat/completions", hello | {"stream": True})

    assert set(whole.headers) - {"Content-Length"} == set(stream.headers) - {"Transfer-Encoding"}


@pytest.mark.parametrize(("sticky", "statuses"), [(False, [200, 200]), (True, [200, 418])])
async def test_a_sticky_cookie_shows_who_keeps_a_cookie_jar(sticky: bool, statuses: list[int]) -> None:
    simulator = Simulator(pace=Pace.instant(), sticky_cookie=sticky)
    jar = CookieJar(unsafe=True)
    async with running(simulator) as url, ClientSession(cookie_jar=jar) as session:
        seen = [(await session.get(url + "/models")).status for _ in range(2)]

    assert seen == statuses
