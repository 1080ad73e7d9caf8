"""The journey of a request through the simulator, in `serve` and `_decide`. Every request ends in the log."""

import asyncio
import time

from aiohttp import web

from gateway.simulator import endpoints, organization
from gateway.simulator.answer import Answer, Stop
from gateway.simulator.ask import Ask, read_body
from gateway.simulator.bill import Purchase
from gateway.simulator.delivery import Delivery
from gateway.simulator.errors import Refusal, azure_error, error, incorrect_key
from gateway.simulator.faults import named
from gateway.simulator.headers import openai_headers
from gateway.simulator.log import Completion, SeenRequest
from gateway.simulator.simulator import Simulator

LARGEST_BODY = 64 << 20
PROJECT = "proj_simulator"
"""Whose a request is that does not say so."""
_ADMIN_KEY = "sk-admin-"


def create_app(simulator: Simulator) -> web.Application:
    """To be served with `handler_cancellation`, as `server.running` does: who leaves, shows at once."""
    closing = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve(simulator, request, closing)

    async def close(_: web.Application) -> None:
        closing.set()

    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_route("*", "/{path:.*}", handle)
    app.on_shutdown.append(close)
    return app


async def serve(simulator: Simulator, request: web.Request, closing: asyncio.Event) -> web.StreamResponse:
    """One request, from its arrival to the end of its answer."""
    began = time.perf_counter()
    seen = SeenRequest(method=request.method, raw_path=request.raw_path, headers=request.headers)
    delivery = Delivery(request=request, seen=seen, pace=simulator.pace, closing=closing)
    try:
        try:
            await _read(simulator, request, seen)
            answer = _decide(simulator, seen)
            await simulator.pace.think()
        except Refusal as refusal:
            answer = refusal.answer
        elapsed = round((time.perf_counter() - began) * 1000)
        headers = openai_headers(seen, processing_ms=elapsed, sticky_cookie=simulator.sticky_cookie)
        return await delivery.send(answer, headers)
    except ConnectionError:
        seen.end(Completion.CLIENT_LEFT)
        return web.Response()
    except asyncio.CancelledError:
        seen.end(Completion.CUT if closing.is_set() else Completion.CLIENT_LEFT)
        raise
    finally:
        _bill(simulator, seen)


def _bill(simulator: Simulator, seen: SeenRequest) -> None:
    """What was generated is billed, whether its client has it or left."""
    if seen.purchase is not None:
        simulator.account.add(seen.purchase, at=simulator.clock(), generated=seen.generated_tokens)


async def _read(simulator: Simulator, request: web.Request, seen: SeenRequest) -> None:
    try:
        seen.body = await request.read()
    except web.HTTPRequestEntityTooLarge as reason:
        raise Refusal(error(413, "Request too large.")) from reason
    finally:
        simulator.log.add(seen)


def _decide(simulator: Simulator, seen: SeenRequest) -> Answer:
    """Complain, find the endpoint, check the key, understand, answer, and spoil the answer if so ordered."""
    _complain(simulator, seen)
    if seen.raw_path.startswith(organization.PREFIX):
        _authenticate_administrator(simulator, seen)
        return organization.answer(simulator.account, seen.method, seen.raw_path, now=simulator.clock())
    place = endpoints.locate(seen.method, seen.raw_path)
    _authenticate(simulator, seen, azure=place.azure)
    body, files = read_body(seen.body, seen.headers.get("content-type", ""))
    model = place.model or str(body.get("model") or place.endpoint.model or "")
    ask = Ask(model=model, body=body, files=files, created=int(simulator.clock()), azure=place.azure)
    endpoints.check(place.endpoint, ask)
    answer = place.endpoint.answer(ask)
    asked = ask.fault()
    fault = named(asked) if asked else simulator.faults.take()
    spoiled = fault.spoil(answer) if fault else answer
    if spoiled.bill is not None and spoiled.manner.stop is not Stop.HANG:
        seen.purchase = Purchase(
            kind=place.endpoint.kind,
            model=ask.model,
            project=seen.headers.get("openai-project", PROJECT),
            bill=spoiled.bill,
            planned=answer.tokens,
            tier=ask.tier,
            source=place.endpoint.source,
        )
    return spoiled


def _complain(simulator: Simulator, seen: SeenRequest) -> None:
    azure = endpoints.is_azure(seen.raw_path)
    complaints = list(simulator.opinions.complaints(seen.headers.items(), azure=azure))
    if complaints:
        simulator.complain(complaints)
        message = f"A gateway must not forward this: {'; '.join(complaints)}"
        raise Refusal(error(418, message, code="leaked_header"))


def _authenticate_administrator(simulator: Simulator, seen: SeenRequest) -> None:
    """Raises Refusal (401) for a key that is not an administrator's."""
    key = seen.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Refusal(error(401, "You didn't provide an API key in an Authorization header."))
    if simulator.admin_keys is None and key.startswith(_ADMIN_KEY):
        return
    if key not in (simulator.admin_keys or ()):
        raise Refusal(incorrect_key(key))


def _authenticate(simulator: Simulator, seen: SeenRequest, *, azure: bool) -> None:
    """Raises Refusal (401) for a missing or wrong key."""
    if simulator.api_keys is None:
        return
    key = seen.headers.get("authorization", "").removeprefix("Bearer ")
    key = seen.headers.get("api-key", key) if azure else key
    if key in simulator.api_keys:
        return
    if azure:
        raise Refusal(azure_error(401, "401", "Access denied due to invalid subscription key."))
    if not key:
        raise Refusal(error(401, "You didn't provide an API key in an Authorization header."))
    raise Refusal(incorrect_key(key))
