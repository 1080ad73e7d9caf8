"""A process that knows of no other."""

import asyncio

import pytest

from gateway.signals.alone import AloneSignals
from gateway.signals.interfaces import MOST_BYTES
from tests.support.log import Log


@pytest.mark.parametrize("enough", [None, 1, 5])
async def test_nobody_else_is_waited_for(enough: int | None) -> None:
    signals = AloneSignals(log=Log().logger)
    signals.answer("explain", lambda question: b"own")
    async with asyncio.timeout(1):
        assert await signals.ask("explain", b"?", seconds=3600, enough=enough) == [b"own"]


async def test_what_is_too_long_is_not_heard() -> None:
    signals, heard = AloneSignals(log=Log().logger), list[bytes]()
    signals.on("keys", heard.append)
    signals.answer("explain", lambda question: b"own")
    await signals.tell("keys", bytes(MOST_BYTES + 1))
    assert await signals.ask("explain", bytes(MOST_BYTES + 1)) == []
    assert heard == []


async def test_it_runs_until_it_is_ended() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await AloneSignals(log=Log().logger).run()
