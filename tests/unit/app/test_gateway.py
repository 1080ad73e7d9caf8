"""The house put together of its settings, and taken apart in the right order."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.app.desks import key_desk
from gateway.app.gateway import Gateway, assembled
from gateway.core.errors import StoreUnavailable
from gateway.policies.problems import BrokenPolicies
from gateway.settings.reading import load_settings
from gateway.settings.tree import Settings
from tests.support.database import usage_reports
from tests.support.eventually import eventually
from tests.support.keys import make_key
from tests.support.policy_files import EVERYTHING, write_models, write_policies
from tests.support.redis_server import running_redis
from tests.support.wire import Wire, WireAnswer, connected
from tests.unit.upstream.stand_in import chunked, raw, standing_in, whole

PEPPER = "a pepper for tests only"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]}
LIMITED = f"{EVERYTHING}limits:\n  few: {{per: team, requests: 10}}\n  slots: {{per: team, concurrent: 5}}\n"


@dataclass
class Site:
    """A folder in which a gateway can be assembled."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def settings(self, **more: str) -> Settings:
        """`more`: by name, without `GATEWAY_`."""
        return load_settings(
            {**self.environment, **{f"GATEWAY_{name.upper()}": value for name, value in more.items()}}
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        tmp_path,
        {
            "GATEWAY_POLICIES_DIR": str(write_policies(tmp_path)),
            "GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
            "GATEWAY_KEY_PEPPER": PEPPER,
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
            "GATEWAY_UPSTREAM__BASE_URL": "http://127.0.0.1:9/v1",
        },
    )


async def assemble(settings: Settings) -> None:
    async with assembled(settings, log_stream=io.BytesIO()):
        pass


async def ask(address: str, request: bytes) -> WireAnswer:
    async with connected(address) as wire:
        await wire.send(request)
        return await wire.answer()


async def operators_say(gateway: Gateway, path: str) -> tuple[int, Any]:
    answer = await ask(gateway.admin_address, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return answer.status, msgspec.json.decode(answer.body)


async def new_key(settings: Settings, team: str = "search", name: str = "web") -> str:
    return await make_key(settings, team, name)


def chat(key: str, **members: Any) -> bytes:
    body = msgspec.json.encode({**CHAT, **members})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def lines(log: io.BytesIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in log.getvalue().splitlines()]


ANSWER = msgspec.json.encode({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})


# The beginning.


async def test_clients_and_operators_each_have_their_door(site: Site) -> None:
    async with assembled(site.settings(), log_stream=io.BytesIO()) as gateway:
        clients = await ask(gateway.address, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert clients.error["code"] == "invalid_api_key"
        assert (await operators_say(gateway, "/readyz"))[0] == 200
        assert gateway.address != gateway.admin_address


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/admin/usage"])
async def test_what_is_the_operators_is_not_for_clients(site: Site, path: str) -> None:
    async with assembled(site.settings(), log_stream=io.BytesIO()) as gateway:
        answer = await ask(gateway.address, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert (answer.status, answer.error["code"]) == (404, "unknown_endpoint")


async def test_where_it_listens_is_in_the_log(site: Site) -> None:
    log = io.BytesIO()
    async with assembled(site.settings(), log_stream=log) as gateway:
        where = gateway.address, gateway.admin_address
    (line,) = [line for line in lines(log) if line["event"] == "listening"]
    assert (line["clients"], line["operators"]) == where
    assert len(line["policy_version"]) == 12


async def test_a_request_goes_all_the_way(site: Site) -> None:
    async with standing_in(whole(ANSWER)) as upstream:
        settings = site.settings(
            upstream__base_url=f"http://127.0.0.1:{upstream.port}/v1", upstream__api_key="sk-1"
        )
        key = await new_key(settings)
        async with assembled(settings, log_stream=io.BytesIO()) as gateway:
            answer = await ask(gateway.address, chat(key))
        assert (answer.status, answer.body) == (200, ANSWER)
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-1"


async def test_a_model_goes_to_the_upstream_that_the_catalogue_names(site: Site) -> None:
    write_models(
        site.folder / "policies", "models:\n  gpt-4o-mini: {upstream: azure, upstream_model: mini-eu}\n"
    )
    async with standing_in(whole(ANSWER)) as upstream:
        settings = site.settings(
            upstreams__azure__kind="azure",
            upstreams__azure__base_url=f"http://127.0.0.1:{upstream.port}",
            upstreams__azure__api_key="azure-key",
            upstreams__azure__api_version="2024-10-21",
        )
        key = await new_key(settings)
        async with assembled(settings, log_stream=io.BytesIO()) as gateway:
            assert (await ask(gateway.address, chat(key))).status == 200
        (request,) = upstream.requests
        assert request.line.startswith(
            "POST /openai/deployments/mini-eu/chat/completions?api-version=2024-10-21 "
        )
        assert request.headers["api-key"] == "azure-key"


# What stops it before it listens.


@asynccontextmanager
async def ports_that_must_stay_free() -> AsyncIterator[tuple[int, int]]:
    """Two ports; afterwards nobody is on either."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    yield ports
    for port in ports:
        with pytest.raises(OSError):  # noqa: PT011 - refused
            await asyncio.open_connection("127.0.0.1", port)


async def test_broken_policies_stop_it_before_it_listens(site: Site) -> None:
    (site.folder / "policies" / "organization.yaml").write_text("nonsense: 1\n")
    async with ports_that_must_stay_free() as (clients, operators):
        settings = site.settings(listen=f"127.0.0.1:{clients}", admin_listen=f"127.0.0.1:{operators}")
        with pytest.raises(BrokenPolicies) as broken:
            await assemble(settings)
    assert [problem.file for problem in broken.value.problems] == ["organization.yaml"]


async def test_a_database_that_is_away_stops_it_before_it_listens(site: Site) -> None:
    async with ports_that_must_stay_free() as (clients, operators):
        settings = site.settings(
            listen=f"127.0.0.1:{clients}",
            admin_listen=f"127.0.0.1:{operators}",
            database_url=f"sqlite:///{site.folder}/policies",
        )
        with pytest.raises(StoreUnavailable):
            await assemble(settings)


async def test_a_shared_database_without_a_pepper_stops_it_and_names_the_setting(site: Site) -> None:
    del site.environment["GATEWAY_KEY_PEPPER"]
    settings = site.settings(database_url="postgresql://127.0.0.1:9/gateway")
    with pytest.raises(ValueError, match="GATEWAY_KEY_PEPPER is not set"):
        await assemble(settings)


@pytest.mark.parametrize("whose", ["listen", "admin_listen"])
async def test_a_port_that_is_taken_stops_it(site: Site, whose: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = site.settings(**{whose: f"127.0.0.1:{taken.getsockname()[1]}"})
        with pytest.raises(OSError, match="address already in use"):
            await assemble(settings)


async def test_a_beginning_that_failed_leaves_nothing_open(site: Site) -> None:
    async with ports_that_must_stay_free() as (operators, _):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            settings = site.settings(
                listen=f"127.0.0.1:{taken.getsockname()[1]}", admin_listen=f"127.0.0.1:{operators}"
            )
            with pytest.raises(OSError, match="address already in use"):
                await assemble(settings)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


# The pepper.


async def test_an_installation_without_a_pepper_makes_its_own_beside_its_database(site: Site) -> None:
    del site.environment["GATEWAY_KEY_PEPPER"]
    settings = site.settings(database_url=f"sqlite:///{site.folder}/var/gateway.db")
    key = await new_key(settings)
    assert len((site.folder / "var" / "pepper").read_text()) == 64
    async with assembled(settings, log_stream=io.BytesIO()) as gateway:
        assert (await ask(gateway.address, models(key))).status == 200


async def test_another_pepper_than_that_of_the_keys_is_noticed_at_the_start(site: Site) -> None:
    await new_key(site.settings())
    other = site.settings(key_pepper="another pepper for tests")
    with pytest.raises(ValueError, match="made with another pepper"):
        async with assembled(other, log_stream=io.BytesIO()):
            pass


def models(key: str) -> bytes:
    return f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode()


async def test_a_configured_pepper_is_kept_nowhere(site: Site) -> None:
    await new_key(site.settings())
    assert not (site.folder / "pepper").exists()


# The stop.


class Held:
    """An upstream that begins a stream, and ends it when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw(chunked(b'data: {"choices":[]}\n\n', end=b""))(reader, writer)
        await self.go_on.wait()
        rest = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))


class Stopping:
    """A gateway with one stream under way, which is being stopped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = io.BytesIO()
        self.streaming = asyncio.Event()
        self.stop = asyncio.Event()
        self.gateway: Gateway | None = None

    async def run(self) -> None:
        async with assembled(self.settings, log_stream=self.log) as gateway:
            self.gateway = gateway
            await self.stop.wait()


@asynccontextmanager
async def stopping(
    site: Site, **more: str
) -> AsyncIterator[tuple[Stopping, Held, Wire, "asyncio.Task[None]"]]:
    held = Held()
    async with standing_in(held) as upstream:
        settings = site.settings(upstream__base_url=f"http://127.0.0.1:{upstream.port}/v1", **more)
        key = await new_key(settings)
        house = Stopping(settings)
        running = asyncio.create_task(house.run())
        gateway = await eventually(lambda: house.gateway)
        async with connected(gateway.address) as wire:
            await wire.send(chat(key, stream=True))
            await wire.some(b"\n\n")
            house.stop.set()
            yield house, held, wire, running
            await asyncio.wait_for(running, 10)
            held.go_on.set()


async def test_a_stop_waits_for_what_still_runs(site: Site) -> None:
    async with stopping(site) as (_, held, wire, running):
        await asyncio.sleep(0)
        assert not running.done()
        held.go_on.set()
        assert b"[DONE]" in await wire.ends()


async def test_operators_see_the_drain(site: Site) -> None:
    async with stopping(site) as (house, held, _, _):
        gateway = house.gateway
        assert gateway is not None
        await eventually(lambda: "draining" in house.log.getvalue().decode() or gateway.sink.flush())
        assert await operators_say(gateway, "/readyz") == (503, {"status": "draining"})
        held.go_on.set()


async def test_what_ended_last_is_in_the_ledger_when_the_stop_is_over(site: Site) -> None:
    async with stopping(site) as (house, held, _, running):
        held.go_on.set()
        await running
        async with usage_reports(house.settings) as reports:
            (row,) = await reports.usage(["team"], None, None)
            assert (row.attempts, row.input_tokens, row.output_tokens) == (1, 9, 3)
            assert await reports.unsettled() == []


async def test_what_ended_last_is_in_the_log_when_the_stop_is_over(site: Site) -> None:
    async with stopping(site) as (house, held, _, running):
        held.go_on.set()
        await running
        events = [line["event"] for line in lines(house.log)]
    assert events == ["listening", "draining", "exchange"]


async def test_what_is_still_open_after_the_drain_is_told_and_settled(site: Site) -> None:
    async with stopping(site, bounds__drain_seconds="0.05") as (house, _, wire, running):
        assert b'"code":"draining"' in await wire.ends()
        await running
        async with usage_reports(house.settings) as reports:
            assert await reports.unsettled() == []


async def test_redis_is_left_when_all_that_was_held_is_given_back(site: Site) -> None:
    write_policies(site.folder, LIMITED)
    with running_redis() as redis:
        client = Redis.from_url(redis.url)
        async with stopping(site, redis_url=redis.url) as (house, held, _, running):
            assert await slots(client) == 1
            held.go_on.set()
            await running
            assert await slots(client) == 0
            assert len(await client.client_list()) == 1  # our own
        assert "redis_away" not in house.log.getvalue().decode()
        await client.aclose()


async def slots(client: Redis) -> int:
    """Slots that are taken."""
    (key, *_) = [*await client.keys("*slots*"), None]
    return 0 if key is None else int(await client.zcard(key))


async def test_the_upstream_is_left_when_the_stop_is_over(site: Site) -> None:
    async with standing_in(whole(ANSWER)) as upstream:
        settings = site.settings(upstream__base_url=f"http://127.0.0.1:{upstream.port}/v1")
        key = await new_key(settings)
        async with assembled(settings, log_stream=io.BytesIO()) as gateway:
            await ask(gateway.address, chat(key))
            assert upstream.left.empty()
        await asyncio.wait_for(upstream.left.get(), 10)


async def test_nothing_runs_on_after_the_stop(site: Site) -> None:
    await assemble(site.settings())
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_gateway_can_be_assembled_again_where_one_was(site: Site) -> None:
    key = await new_key(site.settings())
    for _ in range(2):
        async with assembled(site.settings(), log_stream=io.BytesIO()) as gateway:
            assert (await ask(gateway.address, models(key))).status == 200


# The small parts that commands need.


async def test_the_desk_knows_the_teams_of_the_policies(site: Site) -> None:
    write_policies(site.folder, ads="")
    async with key_desk(site.settings()) as desk:
        assert desk.teams == {"ads", "search"}


async def test_the_desk_needs_policies_that_are_whole(site: Site) -> None:
    (site.folder / "policies" / "organization.yaml").write_text("nonsense: 1\n")
    with pytest.raises(BrokenPolicies):
        await new_key(site.settings())
