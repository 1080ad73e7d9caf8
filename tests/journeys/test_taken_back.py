"""What was taken back stays so at both ports: of those who ask models, and of those who administer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from gateway.auth.tokens.exchange import ACCESS_TOKEN, GRANT_TYPE
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, Answer, House, hasten, house
from tests.support.issuer import StandingIssuer, standing_issuer
from tests.support.policy_files import write_policies
from tests.support.wire import connected

FROM_CONSOLE: Final = {"x-requested-with": "gateway-console", "sec-fetch-site": "same-origin"}
NOBODY: Final = "issuers: {}\n"
ISSUER: Final = """
issuers:
  acme:
    issuer: {url}
    audiences: [openai-gateway]
    ca_file: {ca_file}
    team: [{{claim: team}}]
    roles: [{{claim: role, equals: ops, role: {role}}}]
    exchange: 10m
"""


@dataclass
class Site:
    """A house, and an issuer whose tokens it believes."""

    home: House
    issuer: StandingIssuer
    identity: Path
    """What says so."""

    async def me(self, headers: Mapping[str, str]) -> int:
        """How somebody is answered at the operators' port."""
        return (await self._asked("GET", f"{self.home.operators}/admin/me", headers)).status

    async def models(self, credential: str) -> int:
        """How a client is answered."""
        return (await self._asked("GET", f"{self.home.url}/models", bearer(credential))).status

    async def session(self, token: str) -> dict[str, str]:
        """Of whoever signs in at the console with this token."""
        address = f"{self.home.operators}/console/session"
        answer = await self._asked("POST", address, FROM_CONSOLE, json={"token": token})
        return {"cookie": answer.headers["set-cookie"].partition(";")[0]}

    async def traded(self, token: str) -> str:
        """The key for which it is traded."""
        fields = {"grant_type": GRANT_TYPE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
        address = f"{self.home.url.removesuffix('/v1')}/oauth/token"
        key: str = (await self._asked("POST", address, {}, data=fields)).json()["access_token"]
        return key

    async def revoke(self, kind: str, value: str) -> None:
        address = f"{self.home.operators}/admin/revocations"
        body = {"kind": kind, "value": value}
        assert (await self._asked("POST", address, bearer(ADMIN_TOKEN), json=body)).status == 201

    async def _asked(self, method: str, address: str, headers: Mapping[str, str], **body: Any) -> Answer:
        async with self.home.http.request(method, address, headers=dict(headers), **body) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


def believed(issuer: StandingIssuer, role: str = "operator") -> str:
    """An identity.yaml, and what it makes of `ops`."""
    return ISSUER.format(url=issuer.url, ca_file=issuer.ca_file, role=role)


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def becomes(status: int, ask: Callable[[], Awaitable[int]]) -> None:
    """What is asked again and again is answered so, soon."""

    async def is_so() -> bool:
        return await ask() == status

    await eventually(is_so)


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with standing_issuer(tmp_path) as issuer:
        policies = write_policies(tmp_path, identity=believed(issuer))
        async with house(tmp_path, policies=policies, pause=hasten) as home:
            yield Site(home, issuer, policies / "identity.yaml")


@pytest.mark.parametrize(("kind", "value"), [("user", "alice"), ("issuer", "acme"), ("all", "")])
async def test_whose_tokens_are_revoked_administers_no_more(site: Site, kind: str, value: str) -> None:
    alice, bob = site.issuer.token(role="ops"), site.issuer.token(sub="bob", role="ops")
    session = await site.session(alice)
    assert [await site.me(session), await site.me(bearer(alice))] == [200, 200]

    await site.revoke(kind, value)

    await becomes(401, lambda: site.models(alice))
    assert [await site.me(session), await site.me(bearer(alice))] == [401, 401]
    assert await site.me(bearer(bob)) == (200 if kind == "user" else 401)
    assert await site.me(await site.session(ADMIN_TOKEN)) == 200


async def test_a_team_that_is_revoked_is_still_administered(site: Site) -> None:
    alice = site.issuer.token(role="ops")
    await site.revoke("team", "search")
    await becomes(401, lambda: site.models(alice))
    assert await site.me(bearer(alice)) == 200


@pytest.mark.parametrize("rules", [lambda _: NOBODY, lambda issuer: believed(issuer, "auditor")])
async def test_a_session_ends_with_the_rule_that_gave_its_role(
    site: Site, rules: Callable[[StandingIssuer], str]
) -> None:
    session = await site.session(site.issuer.token(role="ops"))
    assert await site.me(session) == 200
    site.identity.write_text(rules(site.issuer))
    await becomes(401, lambda: site.me(session))


async def test_a_key_that_was_traded_for_ends_with_its_issuer(site: Site) -> None:
    key = await site.traded(site.issuer.token())
    assert await site.models(key) == 200
    site.identity.write_text(NOBODY)
    await becomes(401, lambda: site.models(key))


@pytest.mark.parametrize(
    "head",
    [
        "GET /admin/me HTTP/1.1\r\nauthorization: Bearer {}\0\r\n\r\n",
        "GET /admin/me HTTP/1.1\r\nauthorization : Bearer {}\r\n\r\n",
        "GET /admin/me HTTP/1.1\r\nauthorization: Bearer {}" + "a" * 9_000 + "\r\n\r\n",
    ],
)
async def test_a_head_that_is_not_http_is_not_quoted_at_the_operators_port(
    site: Site, head: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(site.home.gateway.admin_address) as wire:
        await wire.send(head.format(ADMIN_TOKEN).encode())
        answer = await wire.answer()
    assert answer.status in (400, 431)
    told = answer.body + caplog.text.encode() + site.home.log.getvalue()
    assert ADMIN_TOKEN.encode() not in told
