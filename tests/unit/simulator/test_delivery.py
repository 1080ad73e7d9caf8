from typing import Any

from aiohttp import ClientSession

from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


async def waits(body: dict[str, Any]) -> list[float]:
    """How long the simulator would have slept for a chat request, at one token a second."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(first_token_seconds=0.25, tokens_per_second=1, sleep=sleep)
    async with running(Simulator(pace=pace)) as url, ClientSession() as session:
        answer = await session.post(url + "/chat/completions", json=body)
        await answer.read()
    return slept


async def test_a_whole_answer_takes_as_long_as_all_its_tokens(hello: dict[str, Any]) -> None:
    assert await waits(hello | {"max_tokens": 5}) == [0.25, 5]


async def test_a_stream_waits_for_each_token(hello: dict[str, Any]) -> None:
    assert await waits(hello | {"max_tokens": 5, "stream": True}) == [0.25, 1, 1, 1, 1, 1]


async def test_a_slow_drip_waits_for_each_byte(hello: dict[str, Any]) -> None:
    body = hello | {"max_tokens": 1, "metadata": {"simulate": "slow_drip"}}

    assert len(await waits(body)) > 300


async def test_a_whole_answer_has_a_length_but_a_stream_is_chunked(send: Any, hello: dict[str, Any]) -> None:
    whole = await send("chat/completions", hello)
    stream = await send("chat/completions", hello | {"stream": True})

    assert whole.headers["content-length"] == str(len(whole.body))
    assert stream.headers["transfer-encoding"] == "chunked"
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
