"""What aiohttp calls for every request of a client: makes the exchange, and sends it on its journey."""

from collections.abc import Callable

from aiohttp import web

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange
from gateway.core.ids import new_id
from gateway.core.incoming import HeaderList
from gateway.gate import Gate
from gateway.pipeline import Pipeline
from gateway.server.boundary import Boundary
from gateway.server.incoming import BodyBounds, ClientRequest
from gateway.server.reply import ClientReply

OwnHeaders = Callable[[Exchange], HeaderList]


class Proxy:
    """The handler of the clients' listener."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        boundary: Boundary,
        gate: Gate,
        bounds: BodyBounds,
        write_seconds: float,
        clock: Clock,
        own_headers: OwnHeaders,
    ) -> None:
        """`write_seconds`: how long a client may take nothing of its answer."""
        self._pipeline = pipeline
        self._boundary = boundary
        self._gate = gate
        self._bounds = bounds
        self._write_seconds = write_seconds
        self._clock = clock
        self._own_headers = own_headers

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        exchange = Exchange(
            id=new_id("req", self._clock),
            method=request.method,
            received_at=self._clock.now(),
            started=self._clock.monotonic(),
        )
        reply = ClientReply(
            request,
            lambda: self._own_headers(exchange),
            is_last=lambda: self._gate.draining,
            write_seconds=self._write_seconds,
        )
        incoming = ClientRequest(request, self._bounds)
        await self._boundary.guard(exchange, reply, self._pipeline.run(exchange, incoming, reply))
        return reply.response
