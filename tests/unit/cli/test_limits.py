"""`gateway limits show`: asks the running gateway, and says what to do when there is none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import Result

from gateway.limits.left import TeamLimits
from tests.unit.cli.conftest import Installation

TOKEN = "a-token-for-tests-only"
NOTHING = TeamLimits(
    team="search",
    key=None,
    user=None,
    model=None,
    at="2026-11-20T14:03:00+00:00",
    rates=(),
    concurrency=(),
    budgets=(),
    not_shown=0,
)


class Operators:
    """What stands on the operators' port, with the answer that it was told to give."""

    def __init__(self) -> None:
        self.status = 200
        self.body = msgspec.json.encode(NOTHING)
        self.asked: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}

    def problem(self, status: int, detail: str) -> None:
        self.status, self.body = status, msgspec.json.encode({"status": status, "detail": detail})

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == "/admin/limits"
        self.asked.append(dict(request.query))
        self.headers = dict(request.headers)
        return web.Response(status=self.status, body=self.body, headers={"location": "/admin/limits"})


Show = Callable[..., Awaitable[Result]]


@pytest.fixture
def operators() -> Operators:
    return Operators()


@pytest.fixture
async def show(gateway: Installation, operators: Operators) -> AsyncIterator[Show]:
    """The command, before a gateway that runs. It has a loop of its own, and so a thread of its own."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", operators.answer)
    server = TestServer(application)
    await server.start_server()

    async def show(*words: str, **environment: str) -> Result:
        own = {"admin_listen": f"127.0.0.1:{server.port}", "admin_token": TOKEN, **environment}
        return await asyncio.to_thread(gateway, "limits", "show", *words, **own)

    yield show
    await server.close()


class TestAnswers:
    async def test_what_is_left_is_a_page_for_people(self, show: Show) -> None:
        told = await show("--team", "search")
        assert (told.exit_code, told.stdout) == (0, "team search  2026-11-20 14:03 UTC\n")
        assert told.stderr == "Nothing limits it.\n"

    async def test_json_is_the_gateways_answer(self, show: Show) -> None:
        told = await show("--team", "search", "--json")
        assert (told.exit_code, told.stderr) == (0, "")
        assert msgspec.json.decode(told.stdout, type=TeamLimits) == NOTHING

    async def test_the_question_is_narrowed_by_what_is_given(self, show: Show, operators: Operators) -> None:
        await show("--team", "search", "--key", "web", "--user", "a&b=c ü", "--model", "gpt-5")
        assert operators.asked == [{"team": "search", "key": "web", "user": "a&b=c ü", "model": "gpt-5"}]

    async def test_what_is_not_given_is_not_asked(self, show: Show, operators: Operators) -> None:
        await show("--team", "search")
        assert operators.asked == [{"team": "search"}]

    async def test_the_token_goes_along(self, show: Show, operators: Operators) -> None:
        await show("--team", "search")
        assert operators.headers["Authorization"] == f"Bearer {TOKEN}"

    async def test_no_proxy_of_the_environment_sees_it(
        self, show: Show, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert (await show("--team", "search")).exit_code == 0

    async def test_a_team_must_be_named(self, show: Show) -> None:
        assert (await show()).exit_code == 2


class TestNoAnswer:
    async def test_without_a_token_nobody_is_asked(self, show: Show, operators: Operators) -> None:
        told = await show("--team", "search", admin_token="")
        assert (told.exit_code, told.stdout, operators.asked) == (1, "", [])
        assert told.stderr == (
            "✗ GATEWAY_ADMIN_TOKEN is not set. "
            "Set it to that of the running gateway: it answers nobody else.\n"
        )

    async def test_a_gateway_that_does_not_run_is_told_with_what_to_do(self, show: Show) -> None:
        told = await show("--team", "search", admin_listen="127.0.0.1:9")
        assert (told.exit_code, told.stdout) == (1, "")
        assert told.stderr == (
            "✗ No gateway answers at 127.0.0.1:9. Start it with `gateway serve`, "
            "or set GATEWAY_ADMIN_LISTEN to where its operators' port is.\n"
        )

    @pytest.mark.parametrize(
        ("listens", "asked"),
        [("0.0.0.0:9", "127.0.0.1:9"), ("[::]:9", "[::1]:9"), ("127.0.0.1:0", "127.0.0.1:0")],
    )
    async def test_a_gateway_that_listens_everywhere_is_asked_here(
        self, show: Show, listens: str, asked: str
    ) -> None:
        told = await show("--team", "search", admin_listen=listens)
        assert told.stderr.startswith(f"✗ No gateway answers at {asked}.")

    async def test_another_token_is_told(self, show: Show, operators: Operators) -> None:
        operators.problem(401, "Send the operators' token")
        told = await show("--team", "search")
        assert told.exit_code == 1
        assert "has another GATEWAY_ADMIN_TOKEN than this command, or none." in told.stderr

    @pytest.mark.parametrize("status", [400, 404, 503])
    async def test_what_the_gateway_says_is_said(self, show: Show, operators: Operators, status: int) -> None:
        operators.problem(status, "There is no team `serch`. Did you mean [b]`search`[/]?")
        told = await show("--team", "serch")
        assert (told.exit_code, told.stdout) == (1, "")
        assert told.stderr == "✗ There is no team `serch`. Did you mean [b]`search`[/]?\n"

    @pytest.mark.parametrize("status", [200, 302, 404, 500])
    @pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b"\xff"])
    async def test_what_is_no_gateway_is_told(
        self, show: Show, operators: Operators, status: int, body: bytes
    ) -> None:
        operators.status, operators.body = status, body
        told = await show("--team", "search")
        assert (told.exit_code, told.stdout) == (1, "")
        assert "is no gateway" in told.stderr

    async def test_the_token_is_never_shown(self, show: Show, operators: Operators) -> None:
        operators.status, operators.body = 500, b"<html>"
        assert TOKEN not in (await show("--team", "search")).output

    async def test_a_redirect_is_not_followed(self, show: Show, operators: Operators) -> None:
        operators.status = 307
        await show("--team", "search")
        assert len(operators.asked) == 1


def test_a_wrong_setting_is_told(gateway: Installation) -> None:
    told: Any = gateway("limits", "show", "--team", "search", listen="nowhere")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "GATEWAY_LISTEN" in told.stderr
