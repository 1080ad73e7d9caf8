"""`gateway serve`: until a signal says that it is enough."""

import asyncio
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.support import command
from tests.support.wire import connected
from tests.unit.cli.conftest import Installation
from tests.unit.upstream.stand_in import silence, standing_in

Environment = dict[str, str]


@pytest.fixture
def environment(gateway: Installation) -> Environment:
    return gateway.environment


@asynccontextmanager
async def serving(environment: Environment) -> AsyncIterator[tuple[Process, str]]:
    """The command in a process of its own, and where clients connect."""
    async with command.gateway("serve", environment=environment) as process, asyncio.timeout(30):
        assert process.stdout is not None
        async for line in process.stdout:
            if b'"listening"' in line:
                yield process, msgspec.json.decode(line)["clients"]
                return
        raise AssertionError("it never listened")


async def ended(process: Process) -> int:
    async with asyncio.timeout(30):
        return await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_it_cleanly(environment: Environment, number: signal.Signals) -> None:
    async with serving(environment) as (process, _):
        process.send_signal(number)
        assert await ended(process) == 0


async def test_a_second_signal_hurries_it(environment: Environment) -> None:
    _, key, _ = await command.run(
        "keys", "create", "--team", "search", "--name", "web", environment=environment
    )
    async with standing_in(silence) as upstream:
        environment["GATEWAY_UPSTREAM__BASE_URL"] = f"http://127.0.0.1:{upstream.port}/v1"
        async with serving(environment) as (process, address), connected(address) as wire:
            body = b'{"model": "gpt-4o-mini", "messages": []}'
            await wire.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
                % (key.strip().encode(), len(body), body)
            )
            await upstream.came.get()
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert b"Once more to hurry" in await process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert (await wire.answer()).error["code"] == "draining"
            assert await ended(process) == 0


def test_a_port_that_is_taken_is_a_sentence(gateway: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        told = gateway("serve", listen=f"127.0.0.1:{taken.getsockname()[1]}")
    assert told.exit_code == 1
    assert told.stderr.startswith("✗ cannot listen: ")
    assert "address already in use" in told.stderr


def test_every_mistake_is_told_before_it_listens(gateway: Installation) -> None:
    (gateway.policies / "organization.yaml").write_text("nonsense: 1\nodd: 2\n")
    told = gateway("serve")
    assert (told.exit_code, told.stdout) == (1, "")
    assert [line.split(" ")[1] for line in told.stderr.splitlines()] == [
        f"{gateway.policies}/organization.yaml:1:",
        f"{gateway.policies}/organization.yaml:2:",
    ]
