"""`gateway serve`: the gateway itself. Ctrl-C or SIGTERM drains and stops it; a second one hurries."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
import uvloop
from pydantic import SecretStr

from gateway.app.gateway import Gateway, assembled
from gateway.cli.console import explained, say, settings_or_exit
from gateway.cli.welcome import greet, takes_the_simulator, with_admin_token
from gateway.settings.tree import Settings
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator


def serve(
    welcome: Annotated[
        bool,
        typer.Option(
            "--welcome",
            help="For a first look: stand before the simulator when no upstream key is set, "
            "make a first team key, and print what to paste.",
        ),
    ] = False,
) -> None:
    """Serve clients and operators until told to stop."""
    settings = settings_or_exit()
    with explained(settings):
        uvloop.run(_serve(settings, welcome=welcome))


async def _serve(settings: Settings, *, welcome: bool) -> None:
    if not welcome:
        async with assembled(settings) as gateway:
            await _stopped(gateway)
        return
    simulated = takes_the_simulator(settings)
    opened = with_admin_token(settings)
    made_token = opened.admin_token if settings.admin_token is None else None
    async with _with_upstream(opened) as ready, assembled(ready) as gateway:
        await greet(ready, gateway.address, gateway.admin_address, simulated=simulated, made_token=made_token)
        await _stopped(gateway)


async def _stopped(gateway: Gateway) -> None:
    """Until a signal asks for the end; a second one while the gateway drains cuts that short."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            gateway.listener.hurry()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    await asked.wait()
    say("Stopping: waiting for what still runs. Once more to hurry.")
    await gateway.listener.drain()


@asynccontextmanager
async def _with_upstream(settings: Settings) -> AsyncIterator[Settings]:
    """The settings, before a simulator of our own when no upstream was given."""
    if not takes_the_simulator(settings):
        yield settings
        return
    async with running(Simulator()) as base_url:
        upstream = settings.upstream.model_copy(
            update={"base_url": base_url, "api_key": SecretStr("simulated")}
        )
        yield settings.model_copy(update={"upstream": upstream})
