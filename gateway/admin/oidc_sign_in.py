"""Signing in to the console by an OpenID provider: the authorization code flow, with PKCE (S256).

Between the two halves nothing is kept here: a cookie carries a sealed seed, of which state, nonce and code
verifier are derived. So any replica finishes what another began, and nobody learns them from the cookie.
"""

import asyncio
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from math import inf
from typing import Annotated, Any, Final, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from gateway.admin.sessions import Seal
from gateway.core.actor import Actor
from gateway.core.clock import Clock

FLOW_COOKIE: Final = "gateway_sign_in"
FLOW_SECONDS: Final = 600
"""How long somebody may take at the provider."""
CALLBACK: Final = "/console/oidc/callback"

_SCOPE: Final = "openid profile email"
_LONGEST_CODE: Final = 4_096
_LONGEST_ANSWER: Final = 64 * 1024
_KNOWN_SECONDS: Final = 10.0
"""For so long what the provider tells of itself is not asked again: anybody may begin to sign in."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)

Discover = Callable[[], Awaitable[Mapping[str, str]]]
Verified = Callable[[str, str], Awaitable[Actor | None]]


class Secret(Protocol):
    """The client's secret, which does not show itself."""

    def get_secret_value(self) -> str: ...


class Why(StrEnum):
    """Why nobody is signed in: the console has a sentence for each."""

    FOREIGN = "foreign"
    """It was not begun in this browser."""
    LATE = "late"
    DENIED = "denied"
    """The provider says no, or does not take the code that it gave."""
    NO_ROLE = "no_role"
    """The provider's word is not good here, or no rule gives its holder a role."""
    AWAY = "away"
    """The provider cannot be reached, or does not answer as it should."""


class SignInRefused(Exception):
    """Nobody is signed in."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    address: str
    cookie: str


class _Flow(msgspec.Struct, frozen=True, array_like=True):
    seed: str
    until: float


class _TokenAnswer(msgspec.Struct):
    id_token: Annotated[str, msgspec.Meta(min_length=1, max_length=32 * 1024)]


class OidcSignIn:
    """One provider, as one client of it."""

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: Secret | None,
        url: str,
        key: bytes,
        http: aiohttp.ClientSession,
        discover: Discover,
        verified: Verified,
        clock: Clock,
    ) -> None:
        """`issuer`: its name in `identity.yaml`. `client_secret`: None for a public client. `url`: of the
        operators' port as browsers reach it, `https://gateway.example.com`.

        `discover`: the provider's metadata; raises ValueError or aiohttp.ClientError. `verified`: who an
        ID token with this nonce says it is, by our own rules for roles; None for one that is not good, or
        whose holder may not administer. `key`: as for sessions.
        """
        self.issuer = issuer
        self.secure = url.startswith("https:")
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = url.rstrip("/") + CALLBACK
        self._seal = Seal(key, "sign-in.v1")
        self._http = http
        self._discover = discover
        self._verified = verified
        self._clock = clock
        self._turn = asyncio.Lock()
        self._metadata: Mapping[str, str] = {}
        self._known_until = -inf

    async def begin(self) -> Begun:
        """Raises SignInRefused."""
        address = await self._endpoint("authorization_endpoint")
        flow = _Flow(secrets.token_urlsafe(32), self._clock.now() + FLOW_SECONDS)
        content = msgspec.json.encode(flow)
        challenge = sha256(self._seal.derived(content, "verifier").encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": _SCOPE,
            "state": self._seal.derived(content, "state"),
            "nonce": self._seal.derived(content, "nonce"),
            "code_challenge": urlsafe_b64encode(challenge).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in address else "?"
        return Begun(f"{address}{separator}{urlencode(asked)}", self._seal.seal(content))

    async def finish(self, query: Mapping[str, str], cookie: str) -> Actor:
        """Who came back from the provider. Raises SignInRefused."""
        content = self._under_way(cookie)
        state = query.get("state", "").encode("utf-8", "backslashreplace")
        if not hmac.compare_digest(state, self._seal.derived(content, "state").encode()):
            raise SignInRefused(Why.FOREIGN)
        code = query.get("code", "")
        if not code or len(code) > _LONGEST_CODE:
            raise SignInRefused(Why.DENIED)
        id_token = await self._redeemed(code, self._seal.derived(content, "verifier"))
        actor = await self._verified(id_token, self._seal.derived(content, "nonce"))
        if actor is None:
            raise SignInRefused(Why.NO_ROLE)
        return actor

    def _under_way(self, cookie: str) -> bytes:
        content = self._seal.opened(cookie)
        if content is None:
            raise SignInRefused(Why.FOREIGN)
        if msgspec.json.decode(content, type=_Flow).until <= self._clock.now():
            raise SignInRefused(Why.LATE)
        return content

    async def _redeemed(self, code: str, verifier: str) -> str:
        """The ID token for a code."""
        address = await self._endpoint("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        if self._client_secret is None:
            form["client_id"] = self._client_id
        try:
            status, body = await self._posted(address, form)
            answer = msgspec.json.decode(body, type=_TokenAnswer) if status == 200 else None
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            raise SignInRefused(Why.AWAY) from error
        if answer is None:
            raise SignInRefused(Why.DENIED)
        return answer.id_token

    async def _posted(self, address: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        request = self._http.post(
            address, data=form, headers=self._credential(), allow_redirects=False, timeout=_TIMEOUT
        )
        async with request as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _LONGEST_ANSWER:
                    raise aiohttp.ClientPayloadError("The provider's answer is longer than any should be.")
            return answer.status, bytes(body)

    def _credential(self) -> dict[str, str]:
        """RFC 6749 §2.3.1: both are form-encoded before they are put together."""
        if self._client_secret is None:
            return {}
        pair = (self._client_id, self._client_secret.get_secret_value())
        return {"authorization": aiohttp.encode_basic_auth(*(quote(part, safe="") for part in pair))}

    async def _endpoint(self, name: str) -> str:
        async with self._turn:
            if self._clock.monotonic() >= self._known_until:
                self._metadata = await self._discovered()
                self._known_until = self._clock.monotonic() + _KNOWN_SECONDS
        address: Any = self._metadata.get(name)
        if not isinstance(address, str) or not address.startswith("https://"):
            raise SignInRefused(Why.AWAY)
        return address

    async def _discovered(self) -> Mapping[str, str]:
        """Nothing, when the provider is away."""
        try:
            return await self._discover()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
