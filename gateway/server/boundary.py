"""The only place that makes an error response. What goes wrong anywhere ends here, once, in OpenAI's
shape.
"""

from collections.abc import Awaitable
from typing import Final

import structlog
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway.core.endpoint import Dialect
from gateway.core.errors import ClientLeft, ErrorCode, GatewayError
from gateway.core.exchange import Exchange
from gateway.server.reply import ClientReply
from gateway.wire.error_body import error_body, error_headers, stream_error

_JSON: Final = ("content-type", "application/json")


class Boundary:
    """Stands around the journey."""

    def __init__(self, *, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log

    async def guard(self, exchange: Exchange, reply: ClientReply, journey: Awaitable[None]) -> None:
        """Await the journey; tell the client what went wrong, if anything did."""
        try:
            await journey
        except GatewayError as error:
            await self._tell(exchange, reply, error)
        except ClientLeft:
            reply.drop()
        except Exception as error:
            self._log.error(
                "internal_error", request_id=exchange.id, error=type(error).__name__, exc_info=error
            )
            await self._tell(exchange, reply, internal_error())

    async def _tell(self, exchange: Exchange, reply: ClientReply, error: GatewayError) -> None:
        try:
            if reply.started:
                self._tell_in_band(exchange, reply, error)
            else:
                await reply.send(error.kind.status, [_JSON, *error_headers(error)], error_body(error))
        except ClientLeft:
            reply.drop()

    def _tell_in_band(self, exchange: Exchange, reply: ClientReply, error: GatewayError) -> None:
        """The status is out already: an event in the endpoint's dialect, if it has one, and a visible cut."""
        if not reply.is_event_stream:
            reply.cut()
            return
        dialect = exchange.endpoint.dialect if exchange.endpoint else Dialect.CHAT
        apart = b"" if reply.at_event_end else b"\n\n"
        reply.cut(apart + stream_error(dialect, error))


def internal_error() -> GatewayError:
    """What the client is told of a fault of our own: nothing but where to ask."""
    return GatewayError(
        ErrorCode.INTERNAL_ERROR,
        "The gateway failed. The x-request-id header helps the platform team to find out why.",
    )


def malformed(status: int, error: BaseException | None) -> GatewayError:
    """What is told about bytes that are not HTTP. Never quotes them: the client's key may be among them."""
    if isinstance(error, LineTooLong):
        return GatewayError(ErrorCode.HEADERS_TOO_LARGE, "A header line is longer than 8 KiB.")
    if isinstance(error, HttpProcessingError) and error.message.startswith("Too many headers"):
        return GatewayError(ErrorCode.HEADERS_TOO_LARGE, "More than 100 header fields were sent.")
    if status >= 500:
        return internal_error()
    return GatewayError(ErrorCode.BAD_REQUEST, "The request is not well-formed HTTP/1.1.")
