import asyncio
from typing import Any

from gateway.simulator.simulator import Simulator


async def test_a_test_can_wait_for_a_request_and_for_its_end(
    send: Any, hello: dict[str, Any], simulator: Simulator
) -> None:
    asking = asyncio.create_task(send("chat/completions", hello))
    seen = await simulator.arrival(1)
    await seen.ended.wait()

    assert (await asking).headers["x-request-id"] == seen.request_id
    assert simulator.requests == [seen]


async def test_nothing_is_complained_of_when_the_sdk_is_the_client(sdk: Any, simulator: Simulator) -> None:
    await sdk.models.list()
    await sdk.responses.create(input="Hi")

    assert simulator.complaints == []
    assert repr(simulator) == "<Simulator: 2 requests, 0 complaints>"
