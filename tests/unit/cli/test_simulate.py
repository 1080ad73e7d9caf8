"""`gateway simulate`: the look-alike by itself."""

import asyncio
import re
import signal
import socket

import pytest
from typer.testing import CliRunner

from gateway.cli.main import command
from tests.support.command import gateway
from tests.support.wire import connected


async def test_it_says_where_it_is_and_answers_there() -> None:
    async with gateway("simulate", "--port", "0", environment={}) as process, asyncio.timeout(30):
        assert process.stderr is not None
        said = (await process.stderr.readline()).decode()
        found = re.search(r"listens on http://(\S+)/v1\.", said)
        assert found is not None
        async with connected(found[1]) as wire:
            await wire.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-1\r\n\r\n")
            assert (await wire.answer()).status == 200
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        told = CliRunner().invoke(command, ["simulate", "--port", str(taken.getsockname()[1])])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("✗ ")
    assert "address already in use" in told.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    assert CliRunner().invoke(command, ["simulate", "--port", port]).exit_code == 2
