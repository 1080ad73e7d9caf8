import asyncio
from typing import Any

import aiohttp
import pytest

from gateway.simulator.log import Completion
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


async def test_each_server_has_its_own_port() -> None:
    simulator = Simulator(pace=Pace.instant())
    async with running(simulator) as one, running(simulator) as other:
        assert one != other
        assert one.startswith("http://127.0.0.1:")
        assert one.endswith("/v1")


async def test_a_hanging_answer_does_not_hold_up_the_end(hello: dict[str, Any]) -> None:
    simulator = Simulator(pace=Pace.instant())
    async with aiohttp.ClientSession() as session:
        async with running(simulator) as url:
            body = hello | {"metadata": {"simulate": "hang"}}
            asking = asyncio.create_task(session.post(url + "/chat/completions", json=body))
            seen = await simulator.arrival()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking

    assert seen.completion is Completion.CUT
