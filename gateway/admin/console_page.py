"""The console on the operators' port: static files, and the cookie by which a browser stays signed in.

The files ask the operators' API for everything else, with that cookie. Nothing is fetched from elsewhere, no
script stands in a page, and no other site may show the console, or send for it.
"""

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from aiohttp import web

from gateway.admin.oidc_sign_in import CALLBACK, FLOW_COOKIE, FLOW_SECONDS, OidcSignIn, SignInRefused
from gateway.admin.problems import Problem, answer
from gateway.admin.sessions import COOKIE, SESSION_SECONDS, Sessions, TooLong
from gateway.admin.sign_in import CONSOLE, UNKNOWN_HOLDER
from gateway.audit.sign_ins import SignIns
from gateway.core.actor import Actor
from gateway.core.clock import Clock

_LONGEST: Final = 32 * 1024
"""Bytes of a sign-in."""

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *[f"{what}-src 'self'" for what in ("script", "style", "img", "connect")],
        *[f"{what} 'none'" for what in ("frame-ancestors", "base-uri")],
        "form-action 'self'",
    ]
)

SECURE_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
)

SignIn = Callable[[str], Awaitable[Actor | None]]


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    content_type: str
    etag: str


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=16 * 1024)]


class ConsolePage:
    """The handlers. What they refuse they raise as Problem."""

    def __init__(
        self, *, sessions: Sessions, sign_in: SignIn, oidc: OidcSignIn | None, audit: SignIns, clock: Clock
    ) -> None:
        """`sign_in`: whose token this is; None for nobody's, after as much work as for any other. Its
        StoreUnavailable passes.
        """
        self._sessions = sessions
        self._sign_in = sign_in
        self._oidc = oidc
        self._audit = audit
        self._clock = clock
        self._assets = _read_assets()

    def routes(self) -> list[web.RouteDef]:
        """What the operators' listener is to serve."""
        return [
            web.get("/", self._home),
            web.get("/console", self._index),
            web.get("/console/assets/{name}", self._asset),
            web.get("/console/options", self._options),
            web.post("/console/session", self._begin),
            web.delete("/console/session", self._end),
            web.get("/console/oidc/start", self._start),
            web.get(CALLBACK, self._callback),
        ]

    async def _home(self, _: web.Request) -> web.Response:
        return _redirected("/console")

    async def _index(self, request: web.Request) -> web.Response:
        return self._served(request, "index.html")

    async def _asset(self, request: web.Request) -> web.Response:
        return self._served(request, request.match_info["name"])

    def _served(self, request: web.Request, name: str) -> web.Response:
        asset = self._assets.get(name)
        if asset is None:
            raise Problem(404, "There is nothing at this path.")
        headers = {**SECURE_HEADERS, "cache-control": "no-cache", "etag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return web.Response(status=304, headers=headers)
        headers["content-type"] = asset.content_type
        return web.Response(body=asset.body, headers=headers)

    async def _options(self, request: web.Request) -> web.Response:
        """Whether somebody is signed in, and how one can."""
        actor = self._sessions.opened(request.cookies.get(COOKIE, ""))
        return answer({"signed_in": actor is not None, "oidc": self._oidc.issuer if self._oidc else None})

    async def _begin(self, request: web.Request) -> web.Response:
        """`{"token": "…"}`: signs in whoever has it."""
        _check_origin(request)
        actor = await self._sign_in(await _token_in(request))
        if actor is None:
            self._audit.refused(UNKNOWN_HOLDER)
            raise Problem(401, "This token opens nothing here.", field="token")
        response = web.Response(status=204, headers=_NOT_KEPT)
        self._let_in(response, actor, secure=_is_secure(request))
        return response

    async def _end(self, request: web.Request) -> web.Response:
        _check_origin(request)
        response = web.Response(status=204, headers=_NOT_KEPT)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=_is_secure(request))
        return response

    async def _start(self, _: web.Request) -> web.Response:
        """Sends the browser to the provider."""
        oidc = self._provider()
        try:
            begun = await oidc.begin()
        except SignInRefused as refused:
            return _refused(refused)
        response = _redirected(begun.address)
        response.set_cookie(
            FLOW_COOKIE,
            begun.cookie,
            max_age=FLOW_SECONDS,
            path=_FLOW_PATH,
            httponly=True,
            samesite="Lax",
            secure=oidc.secure,
        )
        return response

    async def _callback(self, request: web.Request) -> web.Response:
        """The browser is back. It goes on to the console, signed in or with the reason why not, and nowhere
        else: no part of the address says where.
        """
        oidc = self._provider()
        try:
            actor = await oidc.finish(request.query, request.cookies.get(FLOW_COOKIE, ""))
        except SignInRefused as refused:
            self._audit.refused(f"oidc_{refused.why}")
            return _refused(refused)
        response = _redirected("/console")
        self._let_in(response, actor, secure=oidc.secure)
        response.del_cookie(FLOW_COOKIE, path=_FLOW_PATH, httponly=True, samesite="Lax", secure=oidc.secure)
        return response

    def _provider(self) -> OidcSignIn:
        if self._oidc is None:
            raise Problem(404, "No provider is set up for signing in.")
        return self._oidc

    def _let_in(self, response: web.Response, actor: Actor, *, secure: bool) -> None:
        try:
            cookie = self._sessions.seal(actor, self._clock.now() + SESSION_SECONDS)
        except TooLong:
            raise Problem(403, "This role has more teams than a session holds.") from None
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=secure,
        )
        self._audit.signed_in(actor)


_FLOW_PATH: Final = "/console/oidc"
_NOT_KEPT: Final = MappingProxyType({**SECURE_HEADERS, "cache-control": "no-store"})


def _read_assets() -> Mapping[str, _Asset]:
    """Every file of the console by its name: nothing else can be asked for."""
    found = [file for file in files("gateway.admin").joinpath("console").iterdir() if file.is_file()]
    return MappingProxyType({file.name: _asset(file.name, file.read_bytes()) for file in found})


def _asset(name: str, body: bytes) -> _Asset:
    tag = urlsafe_b64encode(sha256(body).digest()[:12]).decode("ascii")
    return _Asset(body, _TYPES[name.rpartition(".")[2]], f'"{tag}"')


def _check_origin(request: web.Request) -> None:
    """No form can send this header, and no other site may: nobody is signed in, or out, unawares."""
    if request.headers.get("x-requested-with") != CONSOLE:
        raise Problem(403, f"Only the console may ask this, with x-requested-with: {CONSOLE}.")


async def _token_in(request: web.Request) -> str:
    if (request.content_length or 0) > _LONGEST:
        raise Problem(413, f"No token is that long: {_LONGEST // 1024} KiB at most.")
    try:
        return msgspec.json.decode(await request.read(), type=_SignIn).token
    except msgspec.DecodeError:
        raise Problem(400, 'Send {"token": "…"}.', field="token") from None


def _is_secure(request: web.Request) -> bool:
    """Whether the browser came by https, here or to what stands before us. Whoever lies about it gets a
    cookie that its own browser keeps back, and nothing else.
    """
    return request.secure or request.headers.get("x-forwarded-proto") == "https"


def _refused(refused: SignInRefused) -> web.Response:
    """A browser has come by a link, so it is shown a page: the sign-in page, which says why."""
    return _redirected(f"/console#/sign-in?refused={refused.why}")


def _redirected(address: str) -> web.Response:
    return web.Response(status=303, headers={**_NOT_KEPT, "location": address})
