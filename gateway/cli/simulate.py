"""`gateway simulate`: an OpenAI look-alike of its own, for trying and breaking things."""

import asyncio
from typing import Annotated

import typer

from gateway.cli.console import fail, say
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


def simulate(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8090,
) -> None:
    """Run the simulator: the API of OpenAI with pretended answers. No key, no money."""
    try:
        asyncio.run(_simulate(port))
    except KeyboardInterrupt:
        say("Stopped.")
    except OSError as error:
        fail([str(error.strerror or error)])


async def _simulate(port: int) -> None:
    async with running(Simulator(), port=port) as base_url:
        say(f"The simulator listens on {base_url}. Ctrl-C stops it.")
        await asyncio.Event().wait()
