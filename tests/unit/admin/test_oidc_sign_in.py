"""Signing in by an OpenID provider, on a real socket with TLS: what goes there, and who comes back."""

import asyncio
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from yarl import URL

from gateway.admin.oidc_sign_in import FLOW_SECONDS, Begun, OidcSignIn, SignInRefused, Why
from gateway.core.actor import Actor, Role
from tests.support.certificates import certificate, clients_side, servers_side
from tests.support.clock import ManualClock

KEY = b"a key for the sessions of tests."
ALICE = Actor("entra:alice@example.com", Role.OPERATOR)
SECRET = "canary: se/cret"


@dataclass
class Provider:
    """Gives an ID token for each code; remembers what it was asked."""

    status: int = 200
    answer: bytes = b'{"id_token": "an.id.token", "access_token": "unused"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    verified: list[tuple[str, str]] = field(default_factory=list)
    knows: Actor | None = ALICE
    discovery_fails: Exception | None = None
    discoveries: int = 0

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append(dict(parse_qsl(await request.text())))
        self.credentials.append(request.headers.get("authorization"))
        return web.Response(status=self.status, body=self.answer, headers=self.headers)

    async def elsewhere(self, _: web.Request) -> web.Response:
        return web.Response(body=b'{"id_token": "of.somebody.else"}')

    async def discover(self) -> Mapping[str, str]:
        self.discoveries += 1
        if self.discovery_fails is not None:
            raise self.discovery_fails
        return self.metadata

    async def verify(self, id_token: str, nonce: str) -> Actor | None:
        self.verified.append((id_token, nonce))
        return self.knows


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    standing = Provider()
    application = web.Application()
    application.add_routes([web.post("/token", standing.token), web.get("/elsewhere", standing.elsewhere)])
    server = TestServer(application, host="localhost", scheme="https")
    await server.start_server(ssl=servers_side(certificate(tmp_path)))
    url = f"https://localhost:{server.port}"
    standing.metadata = {"authorization_endpoint": f"{url}/authorize", "token_endpoint": f"{url}/token"}
    yield standing
    await server.close()


@pytest.fixture
async def http(tmp_path: Path, provider: Provider) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=clients_side(tmp_path / "localhost.pem"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make(provider: Provider, http: aiohttp.ClientSession, clock: ManualClock) -> Any:
    def make(**changes: Any) -> OidcSignIn:
        usual: dict[str, Any] = {
            "issuer": "entra",
            "client_id": "console:1",
            "client_secret": SecretStr(SECRET),
            "url": "https://gateway.example.com",
            "key": KEY,
        }
        return OidcSignIn(
            **{**usual, **changes},
            http=http,
            discover=provider.discover,
            verified=provider.verify,
            clock=clock,
        )

    return make


async def refused(sign_in: OidcSignIn, query: Mapping[str, str], cookie: str) -> Why:
    with pytest.raises(SignInRefused) as caught:
        await sign_in.finish(query, cookie)
    return caught.value.why


def back(begun: Begun, **more: str) -> dict[str, str]:
    """The query with which the provider sends the browser back."""
    return {"state": sent(begun.address)["state"], "code": "c", **more}


def sent(address: str) -> dict[str, str]:
    return dict(URL(address).query)


async def test_the_browser_is_sent_to_the_provider_with_all_that_keeps_others_out(
    make: Any, provider: Provider
) -> None:
    begun = await make().begin()
    asked = sent(begun.address)

    assert begun.address.startswith(f"{provider.metadata['authorization_endpoint']}?")
    assert asked["redirect_uri"] == "https://gateway.example.com/console/oidc/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert (asked["client_id"], asked["scope"]) == ("console:1", "openid profile email")
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3


async def test_no_two_sign_ins_share_a_word(make: Any) -> None:
    one, other = [sent((await make().begin()).address) for _ in range(2)]

    assert {one[name] for name in ("state", "nonce", "code_challenge")}.isdisjoint(other.values())


async def test_the_cookie_tells_nothing_that_is_kept_from_others(make: Any, provider: Provider) -> None:
    begun = await make().begin()
    await make().finish(back(begun), begun.cookie)
    secrets = {sent(begun.address)["state"], sent(begun.address)["nonce"], provider.asked[0]["code_verifier"]}
    content = b64decode(begun.cookie.partition(".")[0] + "==", altchars="-_").decode()

    assert [each for each in secrets if each in content or each in begun.cookie] == []


async def test_whoever_comes_back_is_who_the_provider_says(make: Any, provider: Provider) -> None:
    begun = await make().begin()
    actor = await make().finish(back(begun, code="the code"), begun.cookie)

    (asked,) = provider.asked
    challenge = urlsafe_b64encode(sha256(asked["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert actor == ALICE
    assert provider.verified == [("an.id.token", sent(begun.address)["nonce"])]
    assert challenge == sent(begun.address)["code_challenge"]
    assert (asked["grant_type"], asked["code"]) == ("authorization_code", "the code")
    assert asked["redirect_uri"] == sent(begun.address)["redirect_uri"]


async def test_the_clients_secret_is_encoded_as_oauth_wants_it(make: Any, provider: Provider) -> None:
    begun = await make().begin()
    await make().finish(back(begun), begun.cookie)

    (credential,) = provider.credentials
    assert credential is not None
    pair = b64decode(credential.removeprefix("Basic ")).decode()
    assert [unquote(part) for part in pair.split(":")] == ["console:1", SECRET]
    assert "client_id" not in provider.asked[0]


async def test_a_public_client_says_its_id_alone(make: Any, provider: Provider) -> None:
    sign_in = make(client_secret=None)
    begun = await sign_in.begin()
    await sign_in.finish(back(begun), begun.cookie)

    assert provider.credentials == [None]
    assert provider.asked[0]["client_id"] == "console:1"


@pytest.mark.parametrize("state", ["", "another", "é", "\udcff"])
async def test_another_state_is_refused(make: Any, provider: Provider, state: str) -> None:
    begun = await make().begin()

    assert await refused(make(), {"state": state, "code": "c"}, begun.cookie) is Why.FOREIGN
    assert provider.asked == []


@pytest.mark.parametrize("cookie", ["", "forged.cookie", "W10.AAAA"])
async def test_a_sign_in_of_another_browser_is_refused(make: Any, cookie: str) -> None:
    state = sent((await make().begin()).address)["state"]

    assert await refused(make(), {"state": state, "code": "c"}, cookie) is Why.FOREIGN


async def test_the_states_of_two_sign_ins_cannot_be_exchanged(make: Any) -> None:
    one, other = await make().begin(), await make().begin()

    assert await refused(make(), back(one), other.cookie) is Why.FOREIGN


async def test_a_sign_in_ends_after_ten_minutes(make: Any, clock: ManualClock) -> None:
    begun = await make().begin()
    clock.advance(FLOW_SECONDS)

    assert await refused(make(), back(begun), begun.cookie) is Why.LATE


@pytest.mark.parametrize("query", [{"error": "access_denied"}, {"code": ""}, {"code": "c" * 5_000}])
async def test_without_a_code_nobody_is_let_in(make: Any, provider: Provider, query: dict[str, str]) -> None:
    begun = await make().begin()

    assert await refused(make(), {"state": back(begun)["state"], **query}, begun.cookie) is Why.DENIED
    assert provider.asked == []


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (400, b'{"error": "invalid_grant"}', Why.DENIED),
        (500, b"", Why.DENIED),
        (302, b"", Why.DENIED),
        (200, b"no JSON", Why.AWAY),
        (200, b"\xff", Why.AWAY),
        (200, b"{}", Why.AWAY),
        (200, b'{"id_token": ""}', Why.AWAY),
        (200, b'{"id_token": 1}', Why.AWAY),
        (200, b" " * 70_000 + b'{"id_token": "t"}', Why.AWAY),
    ],
)
async def test_an_answer_that_is_none_is_refused(
    make: Any, provider: Provider, status: int, answer: bytes, why: Why
) -> None:
    provider.status, provider.answer = status, answer
    provider.headers = {"location": "/elsewhere"} if status == 302 else {}
    begun = await make().begin()

    assert await refused(make(), back(begun), begun.cookie) is why
    assert len(provider.asked) == 1
    assert provider.verified == []


async def test_who_has_no_role_is_refused(make: Any, provider: Provider) -> None:
    provider.knows = None
    begun = await make().begin()

    assert await refused(make(), back(begun), begun.cookie) is Why.NO_ROLE


@pytest.mark.parametrize("address", ["", "http://login.example.com/authorize", "javascript:alert(1)"])
async def test_a_provider_without_https_is_not_gone_to(make: Any, provider: Provider, address: str) -> None:
    provider.metadata["authorization_endpoint"] = address

    with pytest.raises(SignInRefused) as caught:
        await make().begin()
    assert caught.value.why is Why.AWAY


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), aiohttp.ClientConnectionError("x")])
async def test_a_provider_that_is_not_found_is_away(make: Any, provider: Provider, error: Exception) -> None:
    provider.discovery_fails = error

    with pytest.raises(SignInRefused) as caught:
        await make().begin()
    assert caught.value.why is Why.AWAY


@pytest.mark.parametrize("error", [None, ValueError("it answered with status 503")])
async def test_however_many_sign_in_the_provider_is_asked_once_in_ten_seconds(
    make: Any, provider: Provider, clock: ManualClock, error: Exception | None
) -> None:
    provider.discovery_fails = error
    sign_in = make()
    await asyncio.gather(*[sign_in.begin() for _ in range(20)], return_exceptions=True)
    assert provider.discoveries == 1
    clock.advance(10)
    await asyncio.gather(sign_in.begin(), return_exceptions=True)
    assert provider.discoveries == 2


async def test_a_token_endpoint_that_does_not_listen_is_away(make: Any, provider: Provider) -> None:
    begun = await make().begin()
    provider.metadata["token_endpoint"] = "https://localhost:1/token"

    assert await refused(make(), back(begun), begun.cookie) is Why.AWAY


async def test_an_authorization_endpoint_may_have_parameters_of_its_own(
    make: Any, provider: Provider
) -> None:
    provider.metadata["authorization_endpoint"] += "?tenant=ours"

    assert re.search(r"/authorize\?tenant=ours&response_type=code", (await make().begin()).address)


def test_nothing_of_it_shows_the_secret(make: Any) -> None:
    assert SECRET not in repr(vars(make()))
