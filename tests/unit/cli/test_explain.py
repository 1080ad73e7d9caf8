"""`gateway explain`: asks the running gateway about a request, real or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from gateway.cli.main import command
from gateway.explaining.explanation import Explanation
from tests.unit.cli.conftest import Installation

TOKEN = "a-token-for-tests-only"
TOLD = Explanation(
    request_id="req_1",
    at=1_795_000_000.0,
    replica="a",
    method="POST",
    endpoint="chat_completions",
    status=401,
    outcome="refused",
    owner="client",
    code="invalid_api_key",
    message="Incorrect API key provided.",
    team="",
    key_id="",
    key_name="",
    subject="",
    credential="",
    model="",
    upstream="",
    policy_version="",
    policy_in_force=True,
    decisions=[],
    counters=[],
)


class Operators:
    """What stands on the operators' port, with the answer that it was told to give."""

    def __init__(self) -> None:
        self.status = 200
        self.body = msgspec.json.encode(TOLD)
        self.asked: list[tuple[str, str, bytes]] = []
        self.token = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, await request.read()))
        self.token = request.headers["authorization"]
        return web.Response(status=self.status, body=self.body)


Explain = Callable[..., Awaitable[Result]]


@pytest.fixture
def operators() -> Operators:
    return Operators()


@pytest.fixture
async def server(operators: Operators) -> AsyncIterator[TestServer]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", operators.answer)
    server = TestServer(application)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
def explain(gateway: Installation, server: TestServer) -> Explain:
    """The command, before a gateway that runs. It has a loop of its own, and so a thread of its own."""

    async def explain(*words: str, **environment: str) -> Result:
        own = {"admin_listen": f"127.0.0.1:{server.port}", "admin_token": TOKEN, **environment}
        return await asyncio.to_thread(gateway, "explain", *words, **own)

    return explain


async def test_a_request_is_explained_to_people(explain: Explain, operators: Operators) -> None:
    told = await explain("req_1")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines()[:2] == [
        "refused  401 invalid_api_key  (client)  req_1  2026-11-18 11:06:40 UTC",
        "Incorrect API key provided.",
    ]
    assert operators.asked == [("GET", "/admin/explain/req_1", b"")]
    assert operators.token == f"Bearer {TOKEN}"


async def test_json_is_the_gateways_answer(explain: Explain) -> None:
    told = await explain("req_1", "--json")
    assert msgspec.json.decode(told.stdout, type=Explanation) == TOLD


async def test_an_id_stays_within_its_path(explain: Explain, operators: Operators) -> None:
    await explain("../keys?team=a#b")
    assert operators.asked == [("GET", "/admin/explain/..%2Fkeys%3Fteam%3Da%23b", b"")]


async def test_a_request_that_nobody_remembers_is_told(explain: Explain, operators: Operators) -> None:
    operators.status, operators.body = 404, b'{"detail": "No replica remembers it."}'
    told = await explain("req_1")
    assert (told.exit_code, told.stdout, told.stderr) == (1, "", "✗ No replica remembers it.\n")


async def test_another_gateway_can_be_asked(
    explain: Explain, server: TestServer, operators: Operators
) -> None:
    told = await explain("req_1", "--url", f"http://127.0.0.1:{server.port}/", admin_listen="127.0.0.1:9")
    assert (told.exit_code, len(operators.asked)) == (0, 1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "http://[", "ftp://127.0.0.1"])
async def test_a_place_where_no_gateway_is_is_told(explain: Explain, url: str) -> None:
    told = await explain("req_1", "--url", url)
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == (
        f"✗ No gateway answers at {url.removeprefix('http://')}. "
        "Say with --url where its operators' port is.\n"
    )


# Dry runs.


async def dry_run(explain: Explain, *words: str) -> Result:
    return await explain("--dry-run", *words)


def asked(operators: Operators) -> Any:
    ((method, path, body),) = operators.asked
    assert (method, path) == ("POST", "/admin/explain")
    return msgspec.json.decode(body)


async def test_a_dry_run_by_a_key(explain: Explain, operators: Operators, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"model": "gpt-5"}')
    told = await dry_run(explain, "--key", "k1", "--body", str(tmp_path / "body.json"))
    assert told.exit_code == 0
    assert asked(operators) == {
        "key_id": "k1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "body": {"model": "gpt-5"},
    }


async def test_a_dry_run_by_a_user_of_a_team(explain: Explain, operators: Operators) -> None:
    words = ("--team", "search", "--user", "alice", "--method", "GET", "--path", "/v1/models")
    await dry_run(explain, *words)
    assert asked(operators) == {
        "team": "search",
        "user": "alice",
        "method": "GET",
        "path": "/v1/models",
    }


async def test_a_method_can_be_written_in_small_letters(explain: Explain, operators: Operators) -> None:
    await dry_run(explain, "--team", "search", "--method", "get", "--path", "/v1/models")
    assert asked(operators)["method"] == "GET"


async def test_the_body_goes_as_it_is(explain: Explain, operators: Operators, tmp_path: Path) -> None:
    body = '{"n":1.50, "n":2, "text":"\\u00fc"}'
    (tmp_path / "body.json").write_text(body)
    await dry_run(explain, "--key", "k1", "--body", str(tmp_path / "body.json"))
    assert body.encode() in operators.asked[0][2]


def test_the_body_can_come_from_standard_input(gateway: Installation) -> None:
    told = CliRunner().invoke(
        command, ["explain", "--dry-run", "--key", "k1", "--body", "-"], input="{", env=gateway.environment
    )
    assert told.exit_code == 1
    assert told.stderr.startswith("✗ The body is no JSON: ")


async def test_a_body_that_is_no_json_is_not_sent(
    explain: Explain, operators: Operators, tmp_path: Path
) -> None:
    (tmp_path / "body.json").write_text("{'model': 1}")
    told = await dry_run(explain, "--key", "k1", "--body", str(tmp_path / "body.json"))
    assert (told.exit_code, operators.asked) == (1, [])
    assert told.stderr.startswith("✗ The body is no JSON: ")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("req_1", "--dry-run", "--key", "k1"),
        ("--dry-run", "--key", "k1", "--body", "/nowhere"),
        ("--dry-run",),
        ("--dry-run", "--user", "alice"),
        ("--dry-run", "--key", "k1", "--team", "search"),
        ("--dry-run", "--key", "gwk_a_whole_key_or_so"),
        ("--dry-run", "--team", "search", "--method", "PUT"),
    ],
    ids=["nothing", "both", "no file", "nobody", "no team", "two callers", "no id", "no method"],
)
async def test_a_question_that_is_none_is_not_asked(
    explain: Explain, operators: Operators, words: tuple[str, ...]
) -> None:
    assert (await explain(*words)).exit_code == 2
    assert operators.asked == []
