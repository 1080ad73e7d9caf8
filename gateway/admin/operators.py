"""The operators' HTTP surface. Health and metrics are open to whoever reaches the port; `/admin` wants the token.

Neither health check calls a store: a slow Redis must not make an orchestrator kill a gateway that copes without it.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec
from aiohttp import web

from gateway.metering.interfaces import UsageReports
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DEFAULT_DAYS: Final = 30


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
        token: Token | None,
        is_ready: Callable[[], bool],
        policy_version: Callable[[], str],
    ) -> None:
        self._metrics = metrics
        self._reports = reports
        self._token = token
        self._is_ready = is_ready
        self._policy_version = policy_version

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._scrape),
                web.get("/admin/usage", self._usage),
                web.get("/admin/policy", self._policy),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/admin") and not self._may_enter(request):
            return _problem(401, "Send the operators' token: Authorization: Bearer $GATEWAY_ADMIN_TOKEN.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, error.text or error.reason)

    def _may_enter(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token.get_secret_value().encode())

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        ready = self._is_ready()
        return web.json_response(
            {"status": "ready" if ready else "draining"}, status=200 if ready else 503
        )

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def _policy(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self._policy_version()})

    async def _usage(self, request: web.Request) -> web.Response:
        """`?by=team,model&days=30`: sums of the ledger, as `gateway usage --format json` prints them."""
        by = tuple(request.query.get("by", "team").split(","))
        days = request.query.get("days", str(_DEFAULT_DAYS))
        if not days.isdecimal():
            raise web.HTTPBadRequest(text="days must be a whole number")
        since = datetime.now(UTC) - timedelta(days=int(days))
        try:
            rows = await self._reports.usage(by, int(since.timestamp() * 1000), None)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        body = msgspec.json.encode({"by": by, "rows": rows})
        return web.Response(body=body, content_type="application/json")


def _problem(status: int, detail: str) -> web.Response:
    """RFC 9457 problem details."""
    return web.json_response(
        {"title": "refused" if status < 500 else "failed", "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
