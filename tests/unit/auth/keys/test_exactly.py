"""A pause that ends when it should."""

import asyncio

import pytest

from gateway.auth.keys.exactly import exactly
from gateway.core.clock import SystemClock


@pytest.mark.parametrize("seconds", [0.0005, 0.004])
async def test_it_is_never_too_short(seconds: float) -> None:
    began = SystemClock.monotonic()
    await exactly(seconds)
    assert SystemClock.monotonic() - began >= seconds


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_nothing_is_waited_for_what_is_over(seconds: float) -> None:
    waiting = exactly(seconds)
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_others_go_on_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    await exactly(0.001)
    others.cancel()
    assert turns > 1
