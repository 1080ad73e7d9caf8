"""The operators' HTTP surface. Health and metrics are open to all who reach the port; `/admin` and `/v1` want
a token.

Neither health check calls a store: a slow Redis must not make an orchestrator kill a gateway that copes
without it. What goes wrong is told as problem details (RFC 9457).
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from gateway.admin.limits_page import LimitsPage
from gateway.admin.organization_page import OrganizationPage
from gateway.admin.usage_page import usage_answer
from gateway.core.errors import StoreUnavailable
from gateway.metering.interfaces import UsageReports
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GUARDED: Final = ("/admin", "/v1/")

_SENTENCES: Final = {
    404: "There is nothing at this path.",
    405: "This path does not take that method.",
}
"""In the place of what the HTTP server itself says."""


class Token(Protocol):
    """The operators' credential, which does not show itself."""

    def get_secret_value(self) -> str: ...


class Operators:
    """Handlers of the operators' listener."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        reports: UsageReports,
        limits: LimitsPage,
        organization: OrganizationPage,
        token: Token | None,
        is_ready: Callable[[], bool],
        policy_version: Callable[[], str],
    ) -> None:
        """`token`: None closes `/admin`. `is_ready`: False while the gateway drains."""
        self._metrics = metrics
        self._reports = reports
        self._limits = limits
        self._organization = organization
        self._token = token
        self._is_ready = is_ready
        self._policy_version = policy_version

    def application(self) -> web.Application:
        """What the operators' listener serves."""
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._scrape),
                web.get("/admin/usage", self._usage),
                web.get("/admin/policy", self._policy),
                web.get("/admin/limits", self._left),
                *self._organization.routes(),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_GUARDED) and not self._may_enter(request):
            return _problem(401, "Send the operators' token: Authorization: Bearer $GATEWAY_ADMIN_TOKEN.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            problem = _problem(error.status, _said(error))
            if "allow" in error.headers:
                problem.headers["allow"] = error.headers["allow"]
            return problem
        except StoreUnavailable:
            return _problem(503, "The ledger is away. Try again.")

    def _may_enter(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        token = self._token.get_secret_value()
        return bool(token) and hmac.compare_digest(_bytes(given.strip()), _bytes(token))

    async def _health(self, _: web.Request) -> web.Response:
        return _answer({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return _answer({"status": "ready"})
        return _answer({"status": "draining"}, status=503)

    async def _scrape(self, _: web.Request) -> web.Response:
        """Rendered in a thread: thousands of series would hold up every stream for as long."""
        text = await asyncio.to_thread(self._metrics.render)
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE})

    async def _policy(self, _: web.Request) -> web.Response:
        return _answer({"version": self._policy_version()})

    async def _left(self, request: web.Request) -> web.Response:
        """`?team=search&key=…&user=…&model=…`: what is left of limits and budgets, and who holds it."""
        return _answer(await self._limits.answer(request.query))

    async def _usage(self, request: web.Request) -> web.Response:
        """`?by=team,model&since=2026-10&until=2026-11&team=…`: sums of the ledger."""
        return _answer(await usage_answer(self._reports, request.query, now=time.time()))


def _said(error: web.HTTPException) -> str:
    """The sentence of whoever raised it; the server has none of its own but the status."""
    text = error.text or ""
    own = text and not text.startswith(f"{error.status}: ")
    return text if own else _SENTENCES.get(error.status, error.reason)


def _bytes(text: str) -> bytes:
    """As it came over the wire: aiohttp keeps bytes that are not UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _answer(value: Any, *, status: int = 200, content_type: str = "application/json") -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=content_type)


def _problem(status: int, detail: str) -> web.Response:
    problem = {"title": "refused" if status < 500 else "failed", "status": status, "detail": detail}
    response = _answer(problem, status=status, content_type="application/problem+json")
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response
