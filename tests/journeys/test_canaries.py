"""No secret, no prompt and no answer is found anywhere but where it belongs, whatever happens to a house.

A house lives through all there is: good and bad credentials of every kind, refusals, failing upstreams, the
operators' API, the console, traded tokens, explanations, dry runs; and a gateway of it is killed. Canaries
stand wherever a secret can stand. Then all that the house has said and kept is searched for them: twelve
consecutive characters of any of them, plain, in base64 or in hexadecimal, are a leak.
"""

import asyncio
import json
import logging
import secrets
import signal
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from gateway.admin.operations import OPERATIONS
from gateway.auth.keys.api_keys import new_key
from gateway.auth.tokens.exchange import GRANT_TYPE
from gateway.core.grant import Grant
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.journeys.test_every_endpoint import FORM, form
from tests.support.certificates import certificate, servers_side
from tests.support.command import gateway, run
from tests.support.eventually import eventually
from tests.support.house import Answer, House, hasten, house
from tests.support.issuer import SigningIssuer, StandingIssuer
from tests.support.policy_files import write_policies
from tests.support.postgres import PostgresServer
from tests.support.redis_server import running_redis
from tests.support.wire import WireAnswer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

LEAST: Final = 12
"""Characters of a secret that are a leak."""
CLIENT_ID: Final = "console"
FROM_CONSOLE: Final = {"x-requested-with": "gateway-console", "sec-fetch-site": "same-origin"}
FAULTS: Final = ("500", "401", "429:30", "503_html", "redirect", "cut_body", "cut:3", "stall:3", "hang")
FORM_HEADERS: Final = {"content-type": "application/x-www-form-urlencoded"}
FEW: Final = Grant(requests_per_minute=1)
RULES: Final = """
endpoints: ["*"]
models: ["*"]
filters:
  secrets: {kind: secrets}
  words: {kind: patterns, patterns: ['unspeakable']}
shaping:
  fits-the-window: {guard: context_window}
budgets:
  little: {per: team, dollars: 0.0001, every: month, mode: warn, alert_at: [1, 50]}
"""
IDENTITY: Final = """
issuers:
  acme:
    issuer: %s
    audiences: [openai-gateway]
    ca_file: %s
    team: [{claim: team}]
    roles: [{claim: email, equals: alice@example.com, role: operator}]
    exchange: 10m
"""


# What must not be found.


def fragments(secret: str) -> Iterator[bytes]:
    """Of twelve bytes each: of the secret, of its base64 and of its hexadecimal, wherever they begin."""
    text = secret.encode()
    for at in range(len(text)):
        yield text[at : at + LEAST]
        yield b64encode(text[at : at + LEAST * 3 // 4])
        yield urlsafe_b64encode(text[at : at + LEAST * 3 // 4])
        yield text[at : at + LEAST // 2].hex().encode()


def secret_part(text: str) -> str:
    """How a key or a token begins is public, and so is a key's id."""
    if text.startswith("gwk_"):
        return text[17:]
    if text.count(".") == 2:
        return text.partition(".")[2]
    return text.removeprefix("gwt_")


class Canaries:
    """By what they are."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._fragments: dict[bytes, str] = {}

    def plant(self, name: str, text: str) -> str:
        """The same text: from now on it is a canary."""
        whole = (each for each in fragments(secret_part(text)) if len(each) == LEAST and b"=" not in each)
        self._fragments.update(dict.fromkeys(whole, name))
        self.names.add(name)
        return text

    def new(self, name: str, pattern: str = "{}") -> str:
        return self.plant(name, pattern.format(secrets.token_hex(24)))

    def found_in(self, said: bytes) -> Mapping[str, bytes]:
        """Where each begins that is there, by their names."""
        found: dict[str, bytes] = {}
        for at in range(len(said) - LEAST + 1):
            name = self._fragments.get(said[at : at + LEAST])
            if name is not None and name not in found:
                found[name] = said[max(0, at - 80) : at + LEAST]
        return found


# What is heard of a house.


class Libraries(logging.Handler):
    """What libraries log, however talkative they are told to be."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))

    def __enter__(self) -> "Libraries":
        self._before = logging.root.level
        logging.root.addHandler(self)
        logging.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self._before)
        logging.root.removeHandler(self)


@dataclass
class Visitor:
    """Asks, and keeps all that was answered, heads and bodies, but for the one secret that an answer shows to
    whom it belongs: a body that answers a client well is the client's, and is not kept."""

    house: House
    canaries: Canaries
    heard: list[bytes] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    async def client(self, method: str, path: str, credential: str, **options: Any) -> Answer:
        """At the clients' port. `path` is the whole one."""
        headers = {"authorization": f"Bearer {credential}", **options.pop("headers", {})}
        url = self.house.url.removesuffix("/v1") + path
        answer = await self._ask(method, url, headers=headers, **options)
        self.keep(answer, b"" if answer.status == 200 else answer.body)
        return answer

    async def chat(self, credential: str, content: str, **members: Any) -> Answer:
        messages = [{"role": "user", "content": content}]
        body = {"model": "gpt-4o-mini", "messages": messages, **members}
        return await self.client("POST", "/v1/chat/completions", credential, json=body)

    async def operator(
        self, method: str, path: str, token: str = "", *, shows: Callable[[Answer], str] = str, **options: Any
    ) -> Answer:
        """At the operators' port. `shows`: what of the answer is the secret that it is to show."""
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        url = self.house.operators + path
        answer = await self._ask(method, url, headers=headers, allow_redirects=False, **options)
        self.keep(answer, answer.body, shows(answer))
        return answer

    async def raw(self, data: bytes) -> WireAnswer:
        async with self.house.wire() as wire:
            await wire.send(data)
            answer = await wire.answer()
        self.keep(answer, b"" if answer.status == 200 and answer.whole else answer.body)
        return answer

    def keep(self, answer: Answer | WireAnswer, body: bytes, shown: str = "") -> None:
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        said = f"{answer.status}\n{head}\n\n".encode() + body + b"\n"
        self.heard.append(said.replace(shown.encode(), b"(shown)") if shown else said)
        self.request_ids.append(answer.headers.get("x-request-id", ""))

    async def _ask(self, method: str, url: str, **options: Any) -> Answer:
        async with self.house.http.request(method, url, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


class Provider(StandingIssuer):
    """An issuer at which people sign in to the console, and to which the gateway tells its alerts."""

    client_secret = ""
    nonce = ""

    @property
    def discovery(self) -> bytes:
        endpoints = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
        return json.dumps(json.loads(super().discovery) | endpoints).encode()

    async def redeem(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == aiohttp.encode_basic_auth(CLIENT_ID, self.client_secret)
        return web.json_response({"id_token": self.id_token, "access_token": "unused"})

    @property
    def id_token(self) -> str:
        return self._id_token

    def signs_in(self, canaries: Canaries) -> None:
        token = self.token(aud=CLIENT_ID, nonce=self.nonce, email="alice@example.com")
        self._id_token = canaries.plant("an ID token", token)


class Alerts:
    """Where events are posted, at an address that is a secret. The first one is refused."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def take(self, request: web.Request) -> web.Response:
        head = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.heard.append(head.encode() + b"\n\n" + await request.read())
        return web.Response(status=200 if len(self.heard) > 1 else 500)


@asynccontextmanager
async def served(app: web.Application, folder: Path | None = None) -> AsyncIterator[str]:
    """Where it is; with TLS when there is a folder for the certificate."""
    server = TestServer(app, host="localhost", scheme="https" if folder else "http")
    tls = {"ssl": servers_side(certificate(folder))} if folder else {}
    await server.start_server(access_log=None, **tls)
    try:
        yield f"{server.scheme}://localhost:{server.port}"
    finally:
        await server.close()


@asynccontextmanager
async def overheard(path: str, password: str) -> AsyncIterator[bytearray]:
    """All that a Redis is told meanwhile."""
    heard = bytearray()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"AUTH {password}\r\nMONITOR\r\n".encode())

    async def listen() -> None:
        while data := await reader.read(1 << 16):
            heard.extend(data)

    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        writer.close()


# What happens to it.


@dataclass(frozen=True)
class Holders:
    """Credentials that are good."""

    admin: str
    viewer: str
    key: str
    rotated: str
    imported: str
    token: str
    traded: str
    revoked: str
    short: str
    """Ends a moment later."""


def made(answer: Answer) -> str:
    """The secret of a key that was made."""
    assert answer.status in (200, 201), answer.body
    secret: str = answer.json()["secret"]
    return secret


async def keys_are_made(visitor: Visitor, admin: str, viewer: str, issuer: Provider) -> Holders:
    """By the operators' API, which is also asked for what it does not do."""
    canaries, ask = visitor.canaries, visitor.operator

    async def make(name: str, **more: Any) -> tuple[str, str]:
        new = {"team": "search", "name": name, **more}
        once = {"idempotency-key": f"make-{name}"}
        answer = await ask("POST", "/admin/keys", admin, json=new, headers=once, shows=made)
        again = await ask("POST", "/admin/keys", admin, json=new, headers=once)
        assert (again.status, again.json()["secret"]) == (201, None)
        other = await ask("POST", "/admin/keys", admin, json={**new, "owner": "user:a"}, headers=once)
        assert other.status in (409, 422)
        return answer.json()["key"]["id"], canaries.plant(f"the key {name}", made(answer))

    key_id, key = await make("web", owner="user:alice", addresses=["127.0.0.0/8"])
    _, short = await make("short", expires_at=int(time.time()) + 2)
    revoked_id, revoked = await make("revoked")
    answer = await ask("POST", f"/admin/keys/{key_id}/rotate", admin, json={}, shows=made)
    rotated = canaries.plant("a rotated key", made(answer))
    assert (await ask("POST", f"/admin/keys/{key_id}/rotate", admin, json={})).status == 422

    imported = canaries.new("an imported key", "sk-imported-{}")
    digest = canaries.plant("the hash of an imported key", sha256(imported.encode()).hexdigest())
    new = {"team": "search", "name": "old", "sha256": digest}
    for status in (201, 422):
        assert (await ask("POST", "/admin/keys/import", admin, json=new)).status == status
    for mistake in ({**new, "sha256": imported}, {**new, "sha256": key}, {**new, "key": imported}):
        assert (await ask("POST", "/admin/keys/import", admin, json=mistake)).status == 422
    for act in ("disable", "enable"):
        assert (await ask("POST", f"/admin/keys/{key_id}/{act}", admin)).status == 200
    gone = {"reason": "found in a repository", "cut_streams": True}
    assert (await ask("POST", f"/admin/keys/{revoked_id}/revoke", admin, json=gone)).status == 200
    token = canaries.plant("a token", issuer.token(email="alice@example.com"))
    asked = {"subject_token": token, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    answer = await visitor.client(
        "POST", "/oauth/token", "", data=urlencode({"grant_type": GRANT_TYPE, **asked}), headers=FORM_HEADERS
    )
    assert answer.status == 200, answer.body
    traded = canaries.plant("a traded key", answer.json()["access_token"])
    return Holders(admin, viewer, key, rotated, imported, token, traded, revoked, short)


async def operators_err(visitor: Visitor, holders: Holders) -> None:
    """Wrong tokens, wrong roles, secrets in wrong places."""
    ask, key = visitor.operator, holders.key
    wrong = visitor.canaries.new("a wrong admin token")
    for token in (wrong, key, holders.admin[:-1], holders.imported, holders.traded):
        assert (await ask("GET", "/admin/keys", token)).status == 401
    assert (await ask("POST", "/admin/keys", holders.viewer, json={"team": "search"})).status == 403
    basic = aiohttp.encode_basic_auth("admin", holders.admin)
    assert (await ask("GET", "/admin/me", headers={"authorization": basic})).status == 401
    assert (await ask("GET", "/admin/me", holders.token)).status == 200
    for path in (f"/admin/keys/{key}", f"/admin/explain/{holders.token}", f"/{key}", f"/admin/teams/{key}"):
        assert (await ask("GET", path, holders.admin)).status == 404
    for query in ({"team": key}, {"state": key}, {"limit": key}, {"after": key}, {"token": holders.admin}):
        await ask("GET", f"/admin/keys?{urlencode(query)}", holders.admin)
    for body in (f'{{"team": "{key}', f'"{key}"', f'{{"team": 1, "name": "{key}"}}', f'{{"key": "{key}"}}'):
        json_body = {"data": body, "headers": {"content-type": "application/json"}}
        assert (await ask("POST", "/admin/keys", holders.admin, **json_body)).status in (400, 422)
    assert (await ask("POST", "/admin/keys", holders.admin, data=key)).status == 415
    long = {"team": "search", "name": key * 9}
    assert (await ask("POST", "/admin/keys", holders.admin, json=long)).status == 422
    taken = {"kind": "team", "value": key}
    assert (await ask("POST", "/admin/revocations", holders.admin, json=taken)).status == 422
    taken = {"kind": "user", "value": "user:nobody", "reason": "has left"}
    assert (await ask("POST", "/admin/revocations", holders.admin, json=taken)).status == 201


async def clients_are_served(visitor: Visitor, holders: Holders) -> None:
    canaries = visitor.canaries
    for name in ("key", "rotated", "imported", "token", "traded"):
        credential = getattr(holders, name)
        prompt = canaries.new(f"the prompt of {name}", "the canary {} sings at dusk")
        answer = await visitor.chat(credential, prompt)
        assert answer.status == 200, (name, answer.body)
        canaries.plant(f"the answer to {name}", answer.json()["choices"][0]["message"]["content"])
        assert (await visitor.chat(credential, prompt, stream=True)).status == 200
        body = {"model": "gpt-4o-mini", "input": prompt, "stream": name == "token"}
        assert (await visitor.client("POST", "/v1/responses", credential, json=body)).status == 200
        assert (await visitor.client("GET", "/v1/models", "", headers={"api-key": credential})).status == 200
    file = canaries.new("a file").encode() * 20
    body_ = form(("model", "whisper-1"), ("prompt", prompt), file=file)
    spoken = {"data": body_, "headers": {"content-type": FORM}}
    assert (await visitor.client("POST", "/v1/audio/transcriptions", holders.key, **spoken)).status == 200


async def clients_are_refused(visitor: Visitor, holders: Holders, issuer: Provider) -> None:
    """For what they are, for what they say, and for how they say it."""
    canaries, key = visitor.canaries, holders.key
    prompt = canaries.new("a refused prompt", "the canary {} sings at noon")
    forger = SigningIssuer(issuer.url)
    bad = {
        "a wrong secret": canaries.plant("a wrong secret", key[:17] + new_key()[1][17:]),
        "an unknown key": canaries.plant("an unknown key", new_key()[1]),
        "a revoked key": holders.revoked,
        "a mistyped key": key[:-1] + ("a" if key[-1] != "a" else "b"),
        "a foreign key": canaries.new("a foreign key", "sk-proj-{}"),
        "a tampered traded key": holders.traded[:-1] + ("A" if holders.traded[-1] != "A" else "E"),
        "an old token": canaries.plant("an old token", issuer.token(iat=1, exp=600)),
        "a forged token": canaries.plant("a forged token", forger.token()),
        "a token without team": canaries.plant("a token without team", issuer.token(team=None)),
        "a token of others": canaries.plant("a token of others", issuer.token(aud="others")),
        "an unsigned token": canaries.plant("an unsigned token", issuer.token()).rpartition(".")[0] + ".AAAA",
    }
    for name, credential in bad.items():
        answer = await visitor.chat(credential, prompt)
        assert answer.status in (401, 403), (name, answer.status)
        for form_ in (urlencode({"grant_type": GRANT_TYPE, "subject_token": credential}), credential):
            traded = await visitor.client("POST", "/oauth/token", "", data=form_, headers=FORM_HEADERS)
            assert traded.status == 400

    async def is_over() -> bool:
        answer = await visitor.chat(holders.short, prompt)
        return answer.status == 401 and answer.error["code"] == "token_expired"

    await eventually(is_over)
    few = await visitor.house.new_key("search", "few", grant=FEW)
    canaries.plant("a key with a limit", few)
    assert [(await visitor.chat(few, prompt)).status for _ in range(3)] == [200, 429, 429]
    for said in (key, holders.token, bad["a foreign key"], "AKIA" + "Q3ZKX7TNW2MB5HYD", "unspeakable"):
        assert (await visitor.chat(key, f"{prompt} {said}")).status == 400
    for members in (
        {"max_tokens": prompt},
        {"model": "gpt-99"},
        {"metadata": {"key": key}},
        {"messages": prompt},
        {"previous_response_id": "resp_a"},
    ):
        await visitor.chat(holders.token, prompt, **members)
    assert (await visitor.chat(key, prompt * 9000)).status == 400
    assert (await visitor.client("POST", "/v1/files", key, json={"purpose": prompt})).status >= 400
    for data in malformed(key, prompt):
        assert (await visitor.raw(data)).status >= 400
    for data in malformed(holders.token, prompt):
        assert (await visitor.raw(data)).status >= 400


def malformed(credential: str, prompt: str) -> list[bytes]:
    """Requests that are none."""
    line = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
    bearer = f"authorization: Bearer {credential}\r\n".encode()
    kind = b"content-type: application/json\r\n"
    name, said = credential.encode(), prompt.encode()
    twice = b'{"a": 1, "a": "%b"}' % said
    return [
        line + b"authorization Bearer " + name + b"\r\n\r\n",
        line + b"authorization: Bearer " + name + b"\x00\r\n\r\n",
        line + b"authorization: Basic " + b64encode(name) + b"\r\n\r\n",
        line + bearer + bearer + kind + b"\r\n",
        line + bearer + b"api-key: other\r\n" + kind + b"\r\n",
        b"POST /v1/" + name + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /v1/models?key=" + name + b" HTTP/9\r\nhost: a\r\n\r\n",
        name + b" /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
        line + bearer + kind + b"content-length: 100\r\n\r\n" + said,
        line + bearer + kind + b"content-length: %d\r\n\r\n" % len(said) + said,
        line + bearer + kind + b"content-length: %d\r\n\r\n" % len(twice) + twice,
        line + bearer + kind + b"transfer-encoding: chunked\r\n\r\n" + said,
        line + bearer + b"x-filler: " + name * 200 + b"\r\n\r\n",
    ]


async def upstreams_fail(visitor: Visitor, key: str) -> None:
    prompt = visitor.canaries.new("a prompt in vain", "the canary {} sings in vain")
    messages = [{"role": "user", "content": prompt}]
    for fault in FAULTS:
        for stream in (False, True):
            chat = {"model": "gpt-4o-mini", "messages": messages, "stream": stream}
            answer = await visitor.house.raw("/chat/completions", {**chat, "metadata": {"simulate": fault}})
            visitor.keep(answer, answer.body if answer.status != 200 else b"")


async def people_sign_in(visitor: Visitor, admin: str, issuer: Provider) -> None:
    """To the console, by a token and by an OpenID provider, and not at all."""
    canaries, ask = visitor.canaries, visitor.operator

    def cookie_in(answer: Answer, name: str = "gateway_session") -> str:
        cookies = dict(each.partition(";")[0].split("=", 1) for each in answer.headers.getall("set-cookie"))
        return canaries.plant(f"the cookie {name}", cookies[name])

    entered = await ask(
        "POST", "/console/session", json={"token": admin}, headers=FROM_CONSOLE, shows=cookie_in
    )
    assert entered.status == 204
    session = {"cookie": f"gateway_session={cookie_in(entered)}"}
    assert (await ask("GET", "/admin/me", headers=session)).json()["name"] == "token:admin"
    assert (await ask("POST", "/admin/keys", headers=session, json={})).status == 403
    assert (await ask("GET", "/console/options", headers=session)).status == 200
    wrong = canaries.new("a wrong token at the console")
    for body in (json.dumps({"token": wrong}), json.dumps({"tokens": wrong}), wrong):
        refused = await ask("POST", "/console/session", data=body, headers=FROM_CONSOLE)
        assert refused.status in (400, 401)
    spoiled = {"cookie": f"gateway_session={cookie_in(entered)[:-1]}"}
    assert (await ask("GET", "/admin/me", headers=spoiled)).status == 401

    begun = await ask("GET", "/console/oidc/start", shows=lambda found: cookie_in(found, "gateway_sign_in"))
    sent = {name: value for name, (value,) in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    flow = {"cookie": f"gateway_sign_in={cookie_in(begun, 'gateway_sign_in')}"}
    issuer.nonce = sent["nonce"]
    issuer.signs_in(canaries)
    code = canaries.new("a code")
    for state, ends in ((sent["state"][:-1], "refused=foreign"), (sent["state"], "/console")):
        query = urlencode({"code": code, "state": state})
        back = await ask(
            "GET",
            f"/console/oidc/callback?{query}",
            headers=flow,
            shows=lambda found: cookie_in(found) if "set-cookie" in found.headers else "",
        )
        assert (back.status, back.headers["location"].endswith(ends)) == (303, True)
    issuer.nonce = "another"
    issuer.signs_in(canaries)
    query = urlencode({"code": code, "state": sent["state"]})
    back = await ask("GET", f"/console/oidc/callback?{query}", headers=flow)
    assert back.headers["location"].endswith("refused=no_role")
    assert (await ask("DELETE", "/console/session", headers={**session, **FROM_CONSOLE})).status == 204


async def decisions_are_explained(visitor: Visitor, admin: str, key: str) -> bytes:
    """Of all that was asked until now, and of what never is."""
    own = Visitor(visitor.house, visitor.canaries)
    asked = [own.operator("GET", f"/admin/explain/{id_}", admin) for id_ in visitor.request_ids if id_]
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200, 404}
    prompt = visitor.canaries.new("a prompt that is not sent", "the canary {} sings to nobody")
    for said in (prompt, f"{prompt} {key}", f"{prompt} unspeakable", prompt * 900):
        chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": said}]}
        for who in ({"key_id": key[4:16]}, {"team": "search", "user": "user:alice"}):
            run_ = {"path": "/v1/chat/completions", "body": chat, **who}
            assert (await own.operator("POST", "/admin/explain", admin, json=run_)).status == 200
    for wrong in ({"key_id": key}, {"path": f"/{key}", "team": "search"}):
        run_ = {"path": "/v1/chat/completions", "body": {}, **wrong}
        await own.operator("POST", "/admin/explain", admin, json=run_)
    assert (await own.operator("GET", "/admin/refusals?limit=200", admin)).status == 200
    return b"\n".join(own.heard)


async def operators_read(visitor: Visitor, admin: str, key: str) -> None:
    """All that there is to read."""
    needed = {"limits": "?team=search", "usage": "?by=team,key,user,model"}
    for operation in OPERATIONS:
        path = operation.path.replace("{team}", "search").replace("{key_id}", key[4:16])
        if operation.method == "GET" and "{" not in path:
            query = "?start_time=0" if operation.reads_query_itself else needed.get(operation.name, "")
            answer = await visitor.operator("GET", path + query, admin)
            assert answer.status == 200, (path, answer.body)


# What is left of it.


@dataclass(frozen=True)
class Lived:
    """A house that was, and what it has said and kept, by places."""

    canaries: Canaries
    places: Mapping[str, bytes]


@dataclass
class Crash:
    """What a killed gateway, and the one that came after it, leave behind."""

    said: list[bytes] = field(default_factory=list)
    processes: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    """Files, as they were at that moment."""


async def listening(process: asyncio.subprocess.Process, crash: Crash) -> str:
    """Where clients connect to it."""
    assert process.stdout is not None
    async for line in process.stdout:
        crash.said.append(line)
        event = json.loads(line)
        if event["event"] == "listening":
            address: str = event["clients"]
            return address
    raise RuntimeError(f"it does not listen: {crash.said}")


async def killed(environment: Mapping[str, str], folder: Path, key: str, prompt: str) -> Crash:
    """A gateway in the middle of its work; and another one settles what it has left."""
    crash = Crash()
    chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], "stream": True}
    ask = {
        "json": {**chat, "metadata": {"simulate": "stall:3"}},
        "headers": {"authorization": f"Bearer {key}"},
    }
    async with gateway("serve", environment=environment) as process:
        address = await listening(process, crash)
        for name in ("cmdline", "comm", "task/*/comm"):
            crash.processes += contents(Path("/proc", str(process.pid)), name)
        async with aiohttp.ClientSession() as http:
            url = f"http://{address}/v1/chat/completions"
            async with http.post(url, json=chat, headers={"api-key": key[:-1]}) as refused:
                assert refused.status == 401
            streams = [await http.post(url, **ask) for _ in range(8)]
            assert {stream.status for stream in streams} == {200}
            process.kill()
            await process.wait()
            crash.left += contents(folder / "journal", "*") + contents(folder, "gateway.db*")
            for stream in streams:
                stream.close()
        crash.said += await process.communicate()
    async with gateway("serve", environment=environment) as process:
        await listening(process, crash)
        process.send_signal(signal.SIGTERM)
        crash.said += await process.communicate()
    return crash


def contents(folder: Path, pattern: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob(pattern)) if file.is_file()]


async def commands(environment: Mapping[str, str], canaries: Canaries) -> Mapping[str, bytes]:
    """What they print: exports, lists, complaints."""
    password = canaries.new("the password of a database that is away")
    away = f"postgresql://gateway:{password}@127.0.0.1:1/away"
    token = canaries.new("an admin token with a space", "a space {}")
    wrong = {"GATEWAY_ADMIN_TOKEN": token, "GATEWAY_REDIS_URL": f"redis://:{password}#@host"}
    asked = {
        "ledger export": (("ledger", "export"), {}),
        "audit export": (("audit", "export"), {}),
        "a list of keys": (("keys", "list", "--json"), {}),
        "a database that is away": (("keys", "list"), {"GATEWAY_DATABASE_URL": away}),
        "wrong settings": (("serve",), wrong),
    }
    told = {}
    for name, (words, changes) in asked.items():
        _, out, err = await run(*words, environment={**environment, **changes})
        told[name] = (out + err).encode()
    return told


def postgres_dump(url: str) -> bytes:
    """Every row of every table."""
    dump = bytearray()
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        tables = cursor.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        for (table,) in tables:
            dump += f"\n{table}\n".encode()
            with cursor.copy(f"COPY {table} TO STDOUT") as rows:
                for row in rows:
                    dump += row
    return bytes(dump)


async def redis_dump(url: str) -> bytes:
    """Every key, and all that it holds."""
    readers: Mapping[bytes, Sequence[object]] = {
        b"string": ("GET",),
        b"hash": ("HGETALL",),
        b"list": ("LRANGE", 0, -1),
        b"set": ("SMEMBERS",),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        b"stream": ("XRANGE", "-", "+"),
    }
    dump = []
    async with Redis.from_url(url, protocol=2) as redis:
        async for key in redis.scan_iter():
            command, *rest = readers[await redis.type(key)]
            dump.append(repr((key, await redis.execute_command(command, key, *rest))))
    return "\n".join(dump).encode()


# The stores on which it stands.


@dataclass(frozen=True)
class Stores:
    """Where a house keeps what it keeps. `dump`: all of it, for when nobody is at them any more."""

    environment: Mapping[str, str]
    dump: Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def a_file(folder: Path, canaries: Canaries, postgres: PostgresServer) -> AsyncIterator[Stores]:
    """SQLite alone."""

    async def dump() -> bytes:
        return b"".join(contents(folder, "gateway.db*"))

    yield Stores({}, dump)


@asynccontextmanager
async def servers(folder: Path, canaries: Canaries, postgres: PostgresServer) -> AsyncIterator[Stores]:
    """PostgreSQL and Redis, each with a password."""
    password = canaries.new("the database's password")
    url = postgres.url(postgres.create()).replace("@", f":{password}@", 1)
    redis_password = canaries.new("the password of Redis")
    with running_redis("--requirepass", redis_password) as redis:
        redis_url = f"unix://:{redis_password}@{redis.path}"
        async with overheard(redis.path, redis_password) as heard:

            async def dump() -> bytes:
                kept = await redis_dump(redis_url), bytes(heard)
                assert min(map(len, kept)) > 1000
                return b"\n".join((*kept, await asyncio.to_thread(postgres_dump, url)))

            yield Stores({"GATEWAY_DATABASE_URL": url, "GATEWAY_REDIS_URL": redis_url}, dump)


STORES: Final = {"SQLite": a_file, "PostgreSQL and Redis": servers}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=STORES)
async def lived(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Lived:
    """A house on these stores."""
    folder, canaries = tmp_path_factory.mktemp("lived"), Canaries()
    async with STORES[request.param](folder, canaries, postgres_server) as stores:
        places = await whole_life(folder, canaries, stores)
        return Lived(canaries, {**places, "the stores": await stores.dump()})


async def whole_life(folder: Path, canaries: Canaries, stores: Stores) -> Mapping[str, bytes]:
    """All that happens; what was said meanwhile."""
    issuer, alerts = Provider(certificate(folder)), Alerts()
    issuer.client_secret = canaries.new("the console's client secret")
    upstream_key = canaries.new("the upstream key", "sk-upstream-{}")
    admin, viewer = canaries.new("the admin token"), canaries.new("a further admin token")
    simulator = Simulator(api_keys=frozenset({upstream_key}), pace=Pace.instant())
    hook = canaries.new("the webhook's address")
    with Libraries() as libraries:
        async with (
            served(issuer_app(issuer), folder) as issuer.url,
            served(alerts_app(alerts)) as alerts_url,
            running(simulator, host="localhost") as upstream,
        ):
            policies = write_policies(folder, RULES, identity=IDENTITY % (issuer.url, issuer.ca_file))
            environment = {
                **stores.environment,
                "GATEWAY_ADMIN_TOKEN": admin,
                "GATEWAY_ADMIN_TOKENS__GRAFANA__TOKEN": viewer,
                "GATEWAY_ALERTS__WEBHOOK_URL": f"{alerts_url}/{hook}",
                "GATEWAY_ALERTS__WEBHOOK_SECRET": canaries.new("the webhook's secret"),
                "GATEWAY_BOUNDS__STREAM_GAP_SECONDS": "0.1",
                "GATEWAY_BOUNDS__BODY_SECONDS": "0.1",
                "GATEWAY_CONSOLE__CLIENT_ID": CLIENT_ID,
                "GATEWAY_CONSOLE__CLIENT_SECRET": issuer.client_secret,
                "GATEWAY_CONSOLE__ISSUER": issuer.name,
                "GATEWAY_CONSOLE__URL": "http://127.0.0.1:9090",
                "GATEWAY_JOURNAL__DIRECTORY": str(folder / "journal"),
                "GATEWAY_KEY_PEPPER": canaries.new("the pepper"),
                "GATEWAY_LOG_LEVEL": "debug",
                "GATEWAY_UPSTREAM__API_KEY": upstream_key,
                "GATEWAY_UPSTREAM__BASE_URL": upstream,
                "GATEWAY_UPSTREAM__FIRST_BYTE_SECONDS": "0.2",
            }
            opened = house(
                folder, policies=policies, simulator=simulator, environment=environment, pause=hasten
            )
            async with opened as house_:
                canaries.plant("the house's key", house_.key)
                visitor = Visitor(house_, canaries)
                holders = await keys_are_made(visitor, admin, viewer, issuer)
                await clients_are_served(visitor, holders)
                await clients_are_refused(visitor, holders, issuer)
                await upstreams_fail(visitor, holders.key)
                await operators_err(visitor, holders)
                await people_sign_in(visitor, admin, issuer)
                explanations = await decisions_are_explained(visitor, admin, holders.rotated)
                await operators_read(visitor, admin, holders.rotated)
                metrics = (await house_.metrics()).encode()
                assert len(await house_.ledger()) > 20
                await eventually(lambda: len(alerts.heard) > 1)
                journals = contents(folder / "journal", "*")
            alone = {**house_.environment, "GATEWAY_BOUNDS__STREAM_GAP_SECONDS": "60"}
            prompt = canaries.new("the last prompt", "the canary {} falls silent")
            crash = await killed(alone, folder, holders.rotated, prompt)
            told = await commands(house_.environment, canaries)
    assert simulator.complaints == []
    heads = (f"{seen.raw_path} {seen.headers}" for seen in simulator.requests)
    return {
        "answers": b"\n".join(visitor.heard),
        "explanations": explanations,
        "metrics": metrics,
        "the log": house_.log.getvalue(),
        "what libraries log": "\n".join(libraries.said).encode(),
        "alerts": b"\n".join(alerts.heard),
        "heads of upstream requests": "\n".join(heads).replace(upstream_key, "(ours)").encode(),
        "journals": b"\n".join(journals),
        "what a killed gateway said": b"\n".join(crash.said),
        "what a killed gateway left": b"\n".join(crash.left),
        "processes": b"\n".join(crash.processes),
        **told,
    }


def issuer_app(issuer: Provider) -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/token_endpoint", issuer.redeem), web.get("/{path:.*}", issuer.take)])
    return app


def alerts_app(alerts: Alerts) -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/{path:.*}", alerts.take)])
    return app


PLACES: Final = (
    *("answers", "explanations", "metrics", "the log", "what libraries log", "alerts", "the stores"),
    *("heads of upstream requests", "journals", "what a killed gateway said", "what a killed gateway left"),
    *("processes", "ledger export", "audit export", "a list of keys", "a database that is away"),
    "wrong settings",
)


@pytest.mark.parametrize("place", PLACES)
async def test_no_canary_is_found_in(lived: Lived, place: str) -> None:
    said = lived.places[place]
    assert len(said) > 50
    assert lived.canaries.found_in(said) == {}


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def in_hexadecimal(text: str) -> str:
    return text.encode().hex()


@pytest.mark.parametrize("spelled", [str, in_base64, in_hexadecimal])
@pytest.mark.parametrize("before", ["", ".", ".."])
async def test_a_piece_of_a_secret_is_found_however_it_is_spelled(
    spelled: Callable[[str], str], before: str
) -> None:
    canaries, (_, key) = Canaries(), new_key()
    canaries.plant("a key", key)
    assert canaries.found_in(f"said: {spelled(before + key[30:42])}.".encode()).keys() == {"a key"}
    assert canaries.found_in(f"said: {spelled(before + key[:16])}.".encode()) == {}
