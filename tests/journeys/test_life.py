"""From the start to the end of a process, the sudden end included: nothing that runs is lost, nor what it cost."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway.app import usage_reports
from gateway.core.clock import SystemClock
from gateway.settings import load_settings
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.support.command import gateway, run
from tests.support.eventually import eventually
from tests.support.house import PEPPER, UPSTREAM_KEY, House, hasten, house
from tests.support.policy_files import SHIPPED, write_policies
from tests.unit.upstream.stand_in import StandIn, chunked, silence, standing_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'


class Paused:
    """An upstream that says half, and the rest when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"data: 1\n\n", end=b""))
        await self.go_on.wait()
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


@asynccontextmanager
async def draining(
    folder: Path, upstream: StandIn, drain_seconds: float = 10
) -> AsyncIterator[tuple[House, "asyncio.Task[Any]"]]:
    """A house that is stopped while a stream runs: the stream."""
    environment = {
        "GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
        "GATEWAY_BOUNDS__DRAIN_SECONDS": str(drain_seconds),
    }
    async with house(folder, policies=write_policies(folder), environment=environment) as house_:
        stream = asyncio.ensure_future(house_.chat(stream=True))
        await upstream.came.get()
        ...
        yield house_, stream
