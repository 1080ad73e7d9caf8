"""The console's own routes: its files, the cookie, and what stands between it and other sites."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse

from gateway.admin.console_page import SECURE_HEADERS, ConsolePage
from gateway.admin.oidc_sign_in import Begun, SignInRefused, Why
from gateway.admin.sessions import COOKIE
from gateway.admin.sign_in import SignIn
from gateway.core.actor import Actor, Role
from tests.repo.tree import GATEWAY
from tests.support.operators import ADMINS, Client, Connect, OperatorsHouse, problem

FROM_CONSOLE = {"x-requested-with": "gateway-console"}
FILES = sorted(path.name for path in (GATEWAY / "admin" / "console").iterdir())
TOKEN = ADMINS["ops"].token.get_secret_value()
OPS = Actor("token:ops", Role.OPERATOR)


class Provider:
    """Stands in the place of an OidcSignIn."""

    issuer = "entra"
    secure = True

    def __init__(self) -> None:
        self.comes_back: Actor | Why = OPS
        self.begins: Begun | Why = Begun("https://login.example.com/authorize?state=s", "sealed-flow")
        self.seen: tuple[Mapping[str, str], str] | None = None

    async def begin(self) -> Begun:
        if isinstance(self.begins, Why):
            raise SignInRefused(self.begins)
        return self.begins

    async def finish(self, query: Mapping[str, str], cookie: str) -> Actor:
        self.seen = (dict(query), cookie)
        if isinstance(self.comes_back, Why):
            raise SignInRefused(self.comes_back)
        return self.comes_back


def furnished(provider: Any = None) -> OperatorsHouse:
    house = OperatorsHouse()
    sign_in = SignIn(tokens=house.admins, on_refused=house.sign_ins.refused)
    house.console = ConsolePage(
        sessions=house.sessions,
        sign_in=sign_in.whose_token,
        oidc=provider,
        audit=house.sign_ins,
        clock=house.clock,
    )
    return house


async def signing_in(client: Client, token: str, **headers: str) -> ClientResponse:
    return await client.post("/console/session", json={"token": token}, headers={**FROM_CONSOLE, **headers})


@pytest.fixture
def connect(aiohttp_client: Any) -> Connect:
    return lambda operators: aiohttp_client(operators.application())


@pytest.fixture
def house() -> OperatorsHouse:
    return furnished()


@pytest.fixture
async def client(house: OperatorsHouse, connect: Connect) -> Client:
    return await connect(house.operators())


async def test_the_root_leads_to_the_console(client: Client) -> None:
    answer = await client.get("/", allow_redirects=False)

    assert (answer.status, answer.headers["location"]) == (303, "/console")


@pytest.mark.parametrize("path", ["/console", *(f"/console/assets/{name}" for name in FILES)])
async def test_every_file_is_served_with_its_type_and_the_policy_of_contents(
    client: Client, path: str
) -> None:
    answer = await client.get(path)

    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert answer.status == 200
    assert answer.content_type == kind.get(path.rpartition(".")[2], "text/html")
    assert {name: answer.headers[name] for name in SECURE_HEADERS} == dict(SECURE_HEADERS)
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_file_that_the_browser_has_is_not_sent_again(client: Client) -> None:
    etag = (await client.get("/console")).headers["etag"]
    again = await client.get("/console", headers={"if-none-match": etag})

    assert (again.status, await again.read(), again.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fconsole_page.py", "%2e%2e%2fsessions.py", ".", "app.js%00", "console"]
)
async def test_nothing_else_can_be_asked_for(client: Client, name: str) -> None:
    assert (await client.get(f"/console/assets/{name}")).status == 404


def test_no_page_holds_a_script_a_style_or_another_host() -> None:
    texts = {path.name: path.read_text() for path in (GATEWAY / "admin" / "console").iterdir()}
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    inline = r"\sstyle=|\son[a-z]+=|<script>|https?://(?!www\.w3\.org/)"
    forbidden = f"{markup}|{inline}"

    assert [name for name, text in texts.items() if re.search(forbidden, text)] == []


async def test_a_good_token_gets_a_cookie_that_scripts_and_other_sites_do_not(
    client: Client, house: OperatorsHouse
) -> None:
    answer = await signing_in(client, TOKEN)
    cookie = answer.cookies[COOKIE]

    assert answer.status == 204
    assert house.sessions.opened(cookie.value) == OPS
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert (cookie["max-age"], cookie["secure"]) == ("28800", "")


async def test_the_cookie_of_a_browser_that_came_by_https_stays_with_https(client: Client) -> None:
    answer = await signing_in(client, TOKEN, **{"x-forwarded-proto": "https"})

    assert answer.cookies[COOKIE]["secure"] is True


async def test_the_cookie_opens_the_api_for_eight_hours(client: Client, house: OperatorsHouse) -> None:
    cookie = (await signing_in(client, TOKEN)).cookies[COOKIE].value
    headers = {"cookie": f"{COOKIE}={cookie}"}

    house.clock.advance(8 * 3600 - 1)
    assert (await (await client.get("/admin/me", headers=headers)).json())["name"] == "token:ops"
    house.clock.advance(1)
    assert (await client.get("/admin/me", headers=headers)).status == 401


async def test_the_options_say_whether_somebody_is_signed_in(client: Client) -> None:
    cookie = (await signing_in(client, TOKEN)).cookies[COOKIE].value
    client.session.cookie_jar.clear()
    before = await (await client.get("/console/options")).json()
    after = await (await client.get("/console/options", headers={"cookie": f"{COOKIE}={cookie}"})).json()

    assert (before, after) == ({"signed_in": False, "oidc": None}, {"signed_in": True, "oidc": None})


@pytest.mark.parametrize("token", ["wrong", "é", "\udcff".encode("utf-8", "surrogateescape").hex(), " "])
async def test_a_wrong_token_is_refused_with_401(client: Client, token: str) -> None:
    answer = await signing_in(client, token)

    assert (await problem(answer))["status"] == 401
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"token": 1}', 400),
        (b'{"token": ""}', 400),
        (b'{"token": "a", "more": 1}', 400),
        (b'{"token": "' + b"a" * 40_000 + b'"}', 413),
    ],
)
async def test_what_is_no_token_is_refused(client: Client, body: bytes, status: int) -> None:
    answer = await client.post("/console/session", data=body, headers=FROM_CONSOLE)

    assert (await problem(answer))["status"] == status


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_another_site_can_sign_nobody_in_or_out(client: Client, method: str) -> None:
    answer = await client.request(method, "/console/session", json={"token": TOKEN})

    assert (await problem(answer))["status"] == 403
    assert COOKIE not in answer.cookies


async def test_signing_out_takes_the_cookie_away(client: Client) -> None:
    await signing_in(client, TOKEN)
    answer = await client.delete("/console/session", headers=FROM_CONSOLE)
    cookie = answer.cookies[COOKIE]

    assert answer.status == 204
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", "0", "/")


async def test_a_role_of_too_many_teams_is_told_so(connect: Connect) -> None:
    house = furnished()
    teams = frozenset(f"team-{number:060}" for number in range(50))
    crowd = replace(ADMINS["search-lead"], teams=teams)
    house.console = ConsolePage(
        sessions=house.sessions,
        sign_in=SignIn(tokens=[crowd], on_refused=house.sign_ins.refused).whose_token,
        oidc=None,
        audit=house.sign_ins,
        clock=house.clock,
    )
    answer = await signing_in(await connect(house.operators()), crowd.token.get_secret_value())

    assert (await problem(answer))["status"] == 403
    assert house.acts == []


@pytest.mark.parametrize("path", ["start", "callback"])
async def test_without_a_provider_nobody_signs_in_by_one(client: Client, path: str) -> None:
    assert (await problem(await client.get(f"/console/oidc/{path}")))["status"] == 404


async def test_a_sign_in_begins_at_the_provider_with_a_short_lived_cookie(connect: Connect) -> None:
    client = await connect(furnished(Provider()).operators())
    answer = await client.get("/console/oidc/start", allow_redirects=False)
    cookie = answer.cookies["gateway_sign_in"]

    assert (answer.status, answer.headers["location"]) == (303, "https://login.example.com/authorize?state=s")
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("sealed-flow", "600", "/console/oidc")
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", True)


async def test_who_comes_back_is_signed_in_at_the_console_and_nowhere_else(connect: Connect) -> None:
    provider = Provider()
    house = furnished(provider)
    client = await connect(house.operators())
    answer = await client.get(
        "/console/oidc/callback?code=c&state=s&next=https://evil.example&redirect_uri=//evil.example",
        headers={"cookie": "gateway_sign_in=sealed-flow"},
        allow_redirects=False,
    )

    assert (answer.status, answer.headers["location"]) == (303, "/console")
    assert house.sessions.opened(answer.cookies[COOKIE].value) == OPS
    assert answer.cookies[COOKIE]["samesite"] == "Strict"
    assert answer.cookies["gateway_sign_in"]["max-age"] == "0"
    assert provider.seen is not None
    assert provider.seen[1] == "sealed-flow"


@pytest.mark.parametrize("why", Why)
async def test_who_is_refused_comes_back_with_the_reason(connect: Connect, why: Why) -> None:
    provider = Provider()
    provider.comes_back = why
    client = await connect(furnished(provider).operators())
    answer = await client.get("/console/oidc/callback?code=c", allow_redirects=False)

    assert (answer.status, answer.headers["location"]) == (303, f"/console#/sign-in?refused={why}")
    assert COOKIE not in answer.cookies


async def test_a_provider_that_is_away_is_told_on_the_sign_in_page(connect: Connect) -> None:
    provider = Provider()
    provider.begins = Why.AWAY
    client = await connect(furnished(provider).operators())
    answer = await client.get("/console/oidc/start", allow_redirects=False)

    assert answer.headers["location"] == "/console#/sign-in?refused=away"


# What is on record


def told(house: OperatorsHouse) -> list[tuple[str, str, str]]:
    return [(act.actor, act.action, act.target) for act in house.acts]


async def test_who_signs_in_is_on_record(client: Client, house: OperatorsHouse) -> None:
    await signing_in(client, TOKEN)

    assert told(house) == [("token:ops", "console.signed_in", "console")]
    assert house.acts[0].details == {"role": "operator", "teams": []}


async def test_who_comes_back_from_the_provider_is_on_record(connect: Connect) -> None:
    house = furnished(Provider())
    client = await connect(house.operators())
    await client.get("/console/oidc/callback?code=c", allow_redirects=False)

    assert told(house) == [("token:ops", "console.signed_in", "console")]


async def test_wrong_tokens_are_counted_and_not_shown(client: Client, house: OperatorsHouse) -> None:
    for token in ("canary-1", "canary-2"):
        await signing_in(client, token)
    await house.tally.flush()

    assert told(house) == [("gateway", "refused", "unknown")]
    assert house.acts[0].details == {
        "code": "unknown_holder",
        "rule": "operators.sign_in",
        "times": 2,
        "replica": "replica_1",
    }


async def test_who_is_refused_by_the_provider_is_counted(connect: Connect) -> None:
    provider = Provider()
    provider.comes_back = Why.NO_ROLE
    house = furnished(provider)
    client = await connect(house.operators())
    await client.get("/console/oidc/callback?code=c", allow_redirects=False)
    await house.tally.flush()

    assert [act.details["code"] for act in house.acts] == ["oidc_no_role"]


def test_the_page_has_a_sentence_for_every_reason() -> None:
    page = (GATEWAY / "admin" / "console" / "sign_in.js").read_text()

    assert [why for why in Why if f"  {why}: " not in page] == []
