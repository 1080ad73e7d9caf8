"""The simulator on a port of its own: for tests, for `gateway simulate`, for a gateway without a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.simulator.app import create_app
from gateway.simulator.simulator import Simulator

_PATIENCE_SECONDS = 1.0
"""How long answers that are still under way may take once it stops."""


@asynccontextmanager
async def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve until the block is left; gives the base URL for SDKs. Port 0 is any free one."""
    app = create_app(simulator)
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_PATIENCE_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        yield f"http://{host}:{address[1]}/v1"
    finally:
        await runner.cleanup()
