"""The operators' HTTP surface. Health and metrics are open to all who reach the port; `/admin` and `/v1` want
somebody who may administer; the console lets people sign in.

Neither health check calls a store: a slow Redis must not make an orchestrator kill a gateway that copes
without it. What goes wrong is told as problem details (RFC 9457), and only here.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from gateway.admin.asking import LARGEST_BODY, read_asked, repeat_key
from gateway.admin.interfaces import Asked, Handler, Kept, KeyReused, Page, Repeats, Routes, UnderWay
from gateway.admin.operations import OPERATIONS, PATH_PARAMETERS, Operation
from gateway.admin.problems import Problem, answer, problem_answer
from gateway.admin.roles import check_role
from gateway.admin.shapes import MadeKey
from gateway.admin.sign_in import SignIn
from gateway.auth.interfaces import KeyRefused, NameTaken
from gateway.core.actor import Actor
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.core.ids import new_id
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics
from gateway.wire.error_body import error_body, error_headers

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GUARDED: Final = ("/admin", "/v1/")
_ACTOR: Final = web.RequestKey("actor", Actor)
_REQUEST_ID: Final = "x-request-id"

_SENTENCES: Final = {
    404: "There is nothing at this path.",
    405: "This path does not take that method.",
    413: f"The body is larger than {LARGEST_BODY // 1024} KiB.",
}
"""In the place of what the HTTP server itself says."""


class Operators:
    """Serves every operation of the table, and what is open."""

    def __init__(
        self,
        *,
        pages: Sequence[Page],
        sign_in: SignIn,
        repeats: Repeats,
        metrics: Metrics,
        is_ready: Callable[[], bool],
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
        console: Routes | None = None,
    ) -> None:
        """`pages`: together they have a handler for each operation; else this is a ValueError. `is_ready`:
        False while the gateway drains.
        """
        self._handlers = {name: each for page in pages for name, each in page.handlers().items()}
        self._sign_in = sign_in
        self._repeats = repeats
        self._metrics = metrics
        self._is_ready = is_ready
        self._clock = clock
        self._log = log
        self._console = console
        if self._handlers.keys() != {operation.name for operation in OPERATIONS}:
            raise ValueError("the pages do not fit the table of operations")

    def application(self) -> web.Application:
        """What the operators' listener serves."""
        application = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        application.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._scrape),
                *(self._route(operation) for operation in OPERATIONS),
                *(self._console.routes() if self._console else ()),
            ]
        )
        return application

    def _route(self, operation: Operation) -> web.RouteDef:
        route = web.get if operation.method == "GET" else web.post
        return route(_pattern(operation.path), partial(self._serve, operation))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        """Lets in who may come in, and puts into words what goes wrong."""
        request_id = new_id("req", self._clock)
        try:
            if request.path.startswith(_GUARDED):
                request[_ACTOR] = await self._sign_in.actor(request)
            response = await handler(request)
        except web.HTTPException as error:
            response = _refusal(error, request_id)
        except GatewayError as error:
            headers = [("content-type", "application/json"), *error_headers(error)]
            response = web.Response(body=error_body(error), status=error.kind.status, headers=headers)
        except Exception as error:
            response = problem_answer(_worded(error) or self._failed(error, request_id), request_id)
        response.headers[_REQUEST_ID] = request_id
        return response

    async def _serve(self, operation: Operation, request: web.Request) -> web.Response:
        actor = request[_ACTOR]
        check_role(actor, operation.roles)
        key = repeat_key(request) if operation.changes else None
        asked = await read_asked(operation, actor, request)
        act = self._handlers[operation.name]
        if key is None:
            return answer(await act(asked), status=operation.status)
        return await self._once(key, operation.status, act, asked, _hash(request, asked))

    async def _once(self, key: str, status: int, act: Handler, asked: Asked, hash_: bytes) -> web.Response:
        """Do it, unless it was done before: then say again what was said, without the secret."""
        name = asked.actor.name
        kept = await self._repeats.begin(name, key, hash_)
        if kept is not None:
            replayed = answer(msgspec.Raw(kept.answer.encode()), status=kept.status)
            replayed.headers["idempotent-replayed"] = "true"
            return replayed
        try:
            value = await act(asked)
        except BaseException:
            with suppress(StoreUnavailable):
                await self._repeats.forget(name, key)
            raise
        with suppress(StoreUnavailable):  # it is done, and its secret is told now or never
            await self._repeats.keep(name, key, Kept(status, msgspec.json.encode(_bare(value)).decode()))
        return answer(value, status=status)

    def _failed(self, error: Exception, request_id: str) -> Problem:
        self._log.error("internal_error", request_id=request_id, error=type(error).__name__, exc_info=error)
        return Problem(500, "The gateway failed. The request id helps to find out why.")

    async def _health(self, _: web.Request) -> web.Response:
        return answer({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return answer({"status": "ready"})
        return answer({"status": "draining"}, status=503)

    async def _scrape(self, _: web.Request) -> web.Response:
        """Rendered in a thread: thousands of series would hold up every stream for as long."""
        text = await asyncio.to_thread(self._metrics.render)
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE})


def _pattern(path: str) -> str:
    """With what the parts of a path look like: what cannot be a name leads nowhere."""
    return re.sub(r"{(\w+)}", lambda found: f"{{{found[1]}:{PATH_PARAMETERS[found[1]].pattern}}}", path)


def _hash(request: web.Request, asked: Asked) -> bytes:
    """By which a request is known again."""
    head = f"{request.method} {request.path_qs}\n"
    return hashlib.sha256(head.encode("utf-8", "surrogateescape") + asked.raw_body).digest()


def _bare(value: Any) -> Any:
    """An answer as it may be kept."""
    return msgspec.structs.replace(value, secret=None) if isinstance(value, MadeKey) else value


def _worded(error: Exception) -> Problem | None:
    """What the rest of the house raises, as a problem; None for a fault of ours."""
    match error:
        case Problem():
            return error
        case KeyRefused():
            return Problem(422, str(error), field=error.field)
        case NameTaken():
            return Problem(409, str(error), field="name")
        case UnderWay():
            return Problem(409, "The same request is under way.", field="idempotency-key")
        case KeyReused():
            return Problem(
                422,
                "This idempotency key was that of another request.",
                field="idempotency-key",
                code="idempotency_key_reuse",
            )
        case StoreUnavailable():
            return Problem(503, "The database is away, or too slow. Try again.")
        case _:
            return None


def _refusal(error: web.HTTPException, request_id: str) -> web.Response:
    """The server's own, and the console's, whose sentence is kept."""
    if error.status < 400:
        raise error
    text = error.text or ""
    own = bool(text) and not text.startswith((f"{error.status}: ", "Maximum request body size"))
    problem = Problem(error.status, text if own else _SENTENCES.get(error.status, error.reason))
    response = problem_answer(problem, request_id)
    if "allow" in error.headers:
        response.headers["allow"] = error.headers["allow"]
    return response
