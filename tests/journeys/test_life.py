"""From a process's start to its end, the sudden end included: nothing that runs is lost, nor what it cost."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway.settings.reading import load_settings
from tests.support.command import gateway, run
from tests.support.house import PEPPER, UPSTREAM_KEY, House, house
from tests.support.keys import make_key
from tests.support.policy_files import SHIPPED, write_policies
from tests.support.wire import Wire, connected
from tests.unit.upstream.stand_in import StandIn, chunked, silence, standing_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def head(key: str, *fields: str) -> bytes:
    """The head of a request with this body."""
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: gateway",
        f"api-key: {key}",
        "content-type: application/json",
        f"content-length: {len(BODY)}",
        *fields,
    )
    return "\r\n".join([*lines, "", ""]).encode()


async def begin(wire: Wire, key: str) -> None:
    """Ask, and see the first half of the answer."""
    await wire.send(head(key) + BODY)
    assert (await wire.head())[0] == 200
    assert b"data: 1" in await wire.some(b"\n\n\r\n")


class Half:
    """An upstream that says one half, and the other when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"data: 1\n\n", end=b""))
        await self.go_on.wait()
        writer.write(END)


@dataclass
class Stopping:
    """A house that has been told to stop."""

    house: House
    upstream: Half
    stream: Wire
    """A stream is half-way here."""
    slow: Wire
    """A body is still to come here."""
    idle: Wire
    """One request was answered here."""
    drained: "asyncio.Future[None]"


@asynccontextmanager
async def stopping(folder: Path, *, seconds: float = 10.0) -> AsyncIterator[Stopping]:
    half = Half()
    async with standing_in(half) as upstream, before(folder, upstream, seconds) as house_:
        async with house_.wire() as stream, house_.wire() as slow, house_.wire() as idle:
            await begin(stream, house_.key)
            await slow.send(head(house_.key, "expect: 100-continue"))
            assert await slow.head() == (100, ())
            await idle.send(f"GET /v1/models HTTP/1.1\r\nhost: a\r\napi-key: {house_.key}\r\n\r\n".encode())
            assert (await idle.answer()).status == 200
            drained = asyncio.ensure_future(house_.gateway.listener.drain())
            await asyncio.sleep(0)
            yield Stopping(house_, half, stream, slow, idle, drained)
            half.go_on.set()
        await drained


@asynccontextmanager
async def before(folder: Path, upstream: StandIn, drain_seconds: float) -> AsyncIterator[House]:
    environment = {
        "GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
        "GATEWAY_BOUNDS__DRAIN_SECONDS": str(drain_seconds),
    }
    async with house(folder, policies=write_policies(folder), environment=environment) as opened:
        yield opened


# told to stop


async def test_a_stream_that_runs_is_finished_and_was_its_connections_last(tmp_path: Path) -> None:
    async with stopping(tmp_path) as stopped:
        stopped.upstream.go_on.set()
        assert await stopped.stream.ends() == END
    (line, *_) = await stopped.house.ledger()
    assert line.cause == "served"


async def test_a_request_that_is_still_arriving_is_served(tmp_path: Path) -> None:
    async with stopping(tmp_path) as stopped:
        await stopped.slow.send(BODY)
        stopped.upstream.go_on.set()
        answer = await stopped.slow.answer()
        assert (answer.status, answer.whole, answer.headers["connection"]) == (200, True, "close")


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with stopping(tmp_path) as stopped:
        assert await stopped.idle.ends() == b""


async def test_nobody_new_is_let_in(tmp_path: Path) -> None:
    async with stopping(tmp_path) as stopped:
        with pytest.raises(ConnectionError):
            async with stopped.house.wire():
                pass


async def test_it_is_alive_but_no_longer_ready(tmp_path: Path) -> None:
    async with stopping(tmp_path) as stopped:
        http, operators = stopped.house.http, stopped.house.operators
        async with http.get(f"{operators}/readyz") as ready, http.get(f"{operators}/healthz") as alive:
            assert (ready.status, await ready.json()) == (503, {"status": "draining"})
            assert alive.status == 200


async def test_what_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    async with stopping(tmp_path, seconds=0.1) as stopped:
        rest = await stopped.stream.ends()
        assert b'"code":"draining"' in rest
        assert not rest.endswith(b"0\r\n\r\n")
        (line,) = await stopped.house.ledger()
        assert (line.source, line.status) == ("partial", 200)
        events = [each["event"] for each in await stopped.house.lines()]
        assert "drain_cut_short" in events


async def test_what_has_no_answer_yet_when_time_is_up_is_told_to_come_again(tmp_path: Path) -> None:
    async with (
        standing_in(silence) as upstream,
        before(tmp_path, upstream, 0.1) as house_,
        house_.wire() as wire,
    ):
        await wire.send(head(house_.key) + BODY)
        await upstream.came.get()
        await house_.gateway.listener.drain()
        answer = await wire.answer()
        (line,) = await house_.ledger()
    assert (answer.status, answer.error["code"]) == (503, "draining")
    assert (line.cause, line.source) == ("failed", "partial")


# processes

a_process_takes_its_time = pytest.mark.timeout(240)
"""It is begun anew, on machines that may be busy."""


def settings_of(folder: Path, **more: str) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_POLICIES_DIR": str(SHIPPED),
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
        "GATEWAY_KEY_PEPPER": PEPPER,
        "GATEWAY_BOUNDS__AUTHENTICATION_SECONDS": "10",
        **more,
    }


async def a_key(environment: Mapping[str, str]) -> str:
    return await make_key(load_settings(environment), "search", "process")


async def told(process: asyncio.subprocess.Process, mark: str) -> list[str]:
    """What it says on standard output up to the line with the mark."""
    assert process.stdout is not None
    lines = [""]
    async with asyncio.timeout(120):
        while mark not in lines[-1]:
            line = await process.stdout.readline()
            if not line:
                raise EOFError("".join(lines))
            lines.append(line.decode())
    return lines


async def listening(process: asyncio.subprocess.Process) -> str:
    """Where clients can connect."""
    *_, line = await told(process, '"event":"listening"')
    address: str = msgspec.json.decode(line)["clients"]
    return address


@a_process_takes_its_time
async def test_a_process_that_is_told_to_stop_finishes_what_it_does(tmp_path: Path) -> None:
    half = Half()
    async with standing_in(half) as upstream:
        address = f"http://127.0.0.1:{upstream.port}/v1"
        environment = settings_of(tmp_path, GATEWAY_UPSTREAM__BASE_URL=address)
        key = await a_key(environment)
        async with gateway("serve", environment=environment) as process:
            async with connected(await listening(process)) as wire:
                await begin(wire, key)
                process.send_signal(signal.SIGTERM)
                await told(process, '"event":"draining"')
                half.go_on.set()
                assert await wire.ends() == END
            assert await process.wait() == 0


@a_process_takes_its_time
async def test_what_a_killed_process_had_begun_is_in_the_ledger_after_the_next_start(tmp_path: Path) -> None:
    async with standing_in(silence) as upstream:
        address = f"http://127.0.0.1:{upstream.port}/v1"
        environment = settings_of(tmp_path, GATEWAY_UPSTREAM__BASE_URL=address)
        key = await a_key(environment)
        async with (
            gateway("serve", environment=environment) as process,
            connected(await listening(process)) as wire,
        ):
            await wire.send(head(key) + BODY)
            await upstream.came.get()
            process.kill()
            await process.wait()
    async with house(tmp_path) as house_:
        (line,) = await house_.ledger()
        assert (line.cause, line.source, line.status) == ("crash", "estimated", None)
        assert line.input_tokens > 0
        assert line.output_tokens > 0
        assert line.cost > 0
        assert [each["count"] for each in await house_.lines() if each["event"] == "attempts_recovered"] == [
            1
        ]


@a_process_takes_its_time
async def test_a_gateway_that_is_set_up_wrongly_does_not_start_and_names_every_mistake(
    tmp_path: Path,
) -> None:
    policies = write_policies(
        tmp_path, "endpoints: ['*']\nmodles: ['*']\n", support="limits: {a: {per: cat}}"
    )
    settings = settings_of(tmp_path, GATEWAY_LISTEN="nowhere", GATEWAY_LOG_LEVEL="loud", GATEWAY_PEPER="x")
    rules = settings_of(tmp_path, GATEWAY_POLICIES_DIR=str(policies))
    (status, out, err), (other_status, other_out, other_err) = await asyncio.gather(
        run("serve", environment=settings), run("serve", environment=rules)
    )
    assert (status, out, other_status, other_out) == (1, "", 1, "")
    for mistake in ("GATEWAY_LISTEN", "GATEWAY_LOG_LEVEL", "GATEWAY_PEPER"):
        assert mistake in err
    for mistake in ("organization.yaml:2", "modles", "teams/support.yaml:2"):
        assert mistake in other_err


@a_process_takes_its_time
async def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with standing_in() as somebody:
        taken = settings_of(tmp_path, GATEWAY_LISTEN=f"127.0.0.1:{somebody.port}")
        status, _, err = await run("serve", environment=taken)
    assert (status, "Traceback" in err) == (1, False)
    assert "cannot listen" in err


@a_process_takes_its_time
async def test_the_first_start_prints_what_to_paste_and_the_second_shows_no_key_again(tmp_path: Path) -> None:
    environment = settings_of(tmp_path)
    del environment["GATEWAY_UPSTREAM__API_KEY"], environment["GATEWAY_KEY_PEPPER"]
    async with gateway("serve", "--welcome", environment=environment) as process:
        lines = await told(process, "Ctrl-C")
        exports = dict(
            line.strip().removeprefix("export ").split("=", 1) for line in lines if line[:7] == "export "
        )
        answer = await chat(exports["OPENAI_BASE_URL"], exports["OPENAI_API_KEY"])
        assert answer["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    async with gateway("serve", "--welcome", environment=environment) as process:
        lines = await told(process, "Ctrl-C")
        assert not any("gwk_" in line or line.startswith("export OPENAI_API_KEY") for line in lines)
        address = re.search(r"listens on (http://[\w.:]+)", "".join(lines))
        assert address is not None
        assert await chat(f"{address[1]}/v1", exports["OPENAI_API_KEY"])


async def chat(url: str, key: str) -> Any:
    body = {"model": "gpt-4o-mini", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/chat/completions", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200
        return await answer.json()
