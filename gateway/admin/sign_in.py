"""Who is at the operators' port. The law: one credential, and a browser's is believed for changes only when
the console itself sent the request.

An `Authorization` header is an admin token or a token of an issuer, and nothing else is looked at then. The
console's cookie is sent by browsers whoever made them: so what changes anything must also come from a page of
this very port, and carry a header that other pages cannot set.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from gateway.admin.interfaces import Sessions
from gateway.admin.problems import Problem
from gateway.admin.sessions import COOKIE
from gateway.core.actor import Actor, Role

CONSOLE: Final = "gateway-console"
"""What the console's requests say in `x-requested-with`."""

UNKNOWN_HOLDER: Final = "unknown_holder"
"""As what a wrong token is counted among refusals."""

TokenActor = Callable[[str], Awaitable[Actor | None]]
"""Who a token of an issuer of `identity.yaml` makes an administrator. May raise StoreUnavailable."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NOBODY: Final = Problem(
    401,
    "Sign in: send an admin token, or a token of an issuer that makes you an administrator, as "
    "`Authorization: Bearer …`; or use the console.",
)
_FOREIGN: Final = Problem(
    403, f"A session may change things from the console alone: same origin, and x-requested-with: {CONSOLE}."
)


class Token(Protocol):
    """A secret that does not show itself."""

    def get_secret_value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A secret by which somebody administers. An empty one lets nobody in."""

    name: str
    token: Token
    role: Role
    teams: frozenset[str] = frozenset()


class SignIn:
    """Finds out who asks."""

    def __init__(
        self,
        *,
        tokens: Sequence[AdminToken],
        token_actor: TokenActor | None = None,
        sessions: Sessions | None = None,
        on_refused: Callable[[str], None],
    ) -> None:
        """None: tokens of issuers, or sessions, let nobody in. `on_refused`: is told UNKNOWN_HOLDER of each
        request that came with something else than a token that lets somebody in."""
        self._tokens = [
            (_digest(secret), Actor(f"token:{token.name}", token.role, token.teams))
            for token in tokens
            if (secret := token.token.get_secret_value())
        ]
        self._token_actor = token_actor
        self._sessions = sessions
        self._on_refused = on_refused

    async def actor(self, request: web.Request) -> Actor:
        """Who asks. Raises Problem (401; 403 for another page's request) and StoreUnavailable."""
        headers = request.headers.getall("authorization", [])
        actor = await self._bearer(headers) if headers else self._session(request)
        if actor is None and headers:
            self._on_refused(UNKNOWN_HOLDER)
        if actor is None:
            raise _again(_NOBODY)
        return actor

    async def whose_token(self, credential: str) -> Actor | None:
        """Whom an admin token, or a token of an issuer, lets in. Raises StoreUnavailable."""
        digest, found = _digest(credential), None
        for known, actor in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, digest):
                found = actor
        if found is None and self._token_actor is not None and credential:
            return await self._token_actor(credential)
        return found

    async def _bearer(self, headers: Sequence[str]) -> Actor | None:
        scheme, _, credential = headers[0].strip().partition(" ")
        if len(headers) > 1 or scheme.lower() != "bearer":
            return None
        return await self.whose_token(credential.strip())

    def _session(self, request: web.Request) -> Actor | None:
        cookie = request.cookies.get(COOKIE)
        actor = self._sessions.opened(cookie) if self._sessions is not None and cookie else None
        if actor is not None and request.method not in _SAFE and not _is_the_consoles(request):
            raise _again(_FOREIGN)
        return actor


def _is_the_consoles(request: web.Request) -> bool:
    """Browsers say from what page a request comes, and no page can say otherwise; older ones, and those that
    do not trust the connection, say no more than its origin."""
    if request.headers.get("x-requested-with") != CONSOLE:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc.lower() == request.host.lower()


def _digest(secret: str) -> bytes:
    """All are of one length then. aiohttp keeps bytes that are not UTF-8 as surrogates."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _again(problem: Problem) -> Problem:
    """A new one: an exception remembers where it was raised."""
    return Problem(problem.status, problem.detail)
