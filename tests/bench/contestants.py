"""Who is measured: nginx, the bare relay, the gateway with its limits in memory and in Redis; each a plain
process before the same fake upstream."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.cores import pinned
from tests.bench.payloads import UPSTREAM_KEY

GATEWAY: Final = "gateway"
GATEWAY_REDIS: Final = "gateway, Redis"
BARE: Final = "bare relay"
NGINX: Final = "nginx"

_POLICIES: Final = Path(__file__).parent / "policies"
_START_SECONDS: Final = 20
_STOP_SECONDS: Final = 15

_NGINX_CONF: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream openai {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://openai;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {key}";
    }}
  }}
}}
"""


class Place(NamedTuple):
    """Where a contestant runs: an empty folder, a free port, the upstream's port, and where its Redis is."""

    folder: Path
    port: int
    upstream_port: int
    redis: str = ""


class Plan(NamedTuple):
    """How a contestant is started, and what its clients authenticate with."""

    command: list[str]
    client_key: str = "sk-client-of-the-bench"
    environment: Mapping[str, str] = {}


class Running(NamedTuple):
    """A contestant that answers."""

    pid: int
    port: int
    client_key: str
    redis: str = ""


class BenchFailed(Exception):
    """The measuring itself went wrong, or a contestant answered wrongly."""


def nginx_program() -> str | None:
    """nginx's path; Debian keeps it where a plain user's PATH does not look."""
    return shutil.which(
        "nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )


async def _nginx(place: Place) -> Plan:
    values = {
        "folder": place.folder,
        "port": place.port,
        "upstream": place.upstream_port,
        "key": UPSTREAM_KEY,
    }
    (place.folder / "nginx.conf").write_text(_NGINX_CONF.format(**values))
    errors = str(place.folder / "error.log")
    return Plan([nginx_program() or "nginx", "-p", str(place.folder), "-c", "nginx.conf", "-e", errors])


async def _bare_relay(place: Place) -> Plan:
    upstream = f"http://127.0.0.1:{place.upstream_port}"
    return Plan([sys.executable, "-m", "tests.bench.bare_relay", str(place.port), upstream])


async def _gateway(place: Place) -> Plan:
    environment = {
        "GATEWAY_LISTEN": f"127.0.0.1:{place.port}",
        "GATEWAY_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "GATEWAY_POLICIES_DIR": str(_POLICIES),
        "GATEWAY_DATABASE_URL": f"sqlite:///{place.folder}/gateway.db",
        "GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{place.upstream_port}/v1",
        "GATEWAY_UPSTREAM__API_KEY": UPSTREAM_KEY,
        "GATEWAY_KEY_PEPPER": "the pepper of the bench",
        "GATEWAY_REDIS_URL": place.redis,
    }
    gateway = [sys.executable, "-m", "gateway"]
    create = [*gateway, "keys", "create", "--team", "bench", "--name", "bench"]
    key = (await output_of(create, environment)).strip()
    return Plan([*gateway, "serve"], key, environment)


CONTESTANTS: Final[dict[str, Callable[[Place], Awaitable[Plan]]]] = {
    NGINX: _nginx,
    BARE: _bare_relay,
    GATEWAY: _gateway,
    GATEWAY_REDIS: _gateway,
}


async def output_of(command: list[str], environment: Mapping[str, str] = {}) -> str:
    """What a command prints. Raises BenchFailed, with what it said, when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=_environment(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise BenchFailed(f"{' '.join(command[:5])} failed: {complained.decode()[-2000:]}")
    return said.decode()


@asynccontextmanager
async def started(name: str, place: Place, core: int) -> AsyncIterator[Running]:
    """The contestant, alone on `core`, while the context lasts. Its log is kept in the place's folder."""
    plan = await CONTESTANTS[name](place)
    log = place.folder / "log"
    with log.open("wb") as sink, pinned(core):
        process = await asyncio.create_subprocess_exec(
            *plan.command, env=_environment(plan.environment), stdout=sink, stderr=sink
        )
    try:
        await _listens(name, process, place.port, log)
        yield Running(process.pid, place.port, plan.client_key, place.redis)
    finally:
        await _stop(process)


async def _listens(name: str, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    """Wait until the port answers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
    raise BenchFailed(f"{name} did not start: {log.read_text()[-2000:]}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Ours without the settings of whoever runs the bench, and the contestant's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")} | dict(own)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
