"""One client connection: who is at its other end, and what goes wrong on it.

Overrides what aiohttp's own handler would say or log by itself: a malformed header makes it quote the
offending line, the client's key included, before any code of ours runs.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from cryptography import x509

from gateway.core.errors import GatewayError
from gateway.core.incoming import Certificate
from gateway.server.boundary import malformed
from gateway.wire.error_body import error_body, error_headers

OnMalformed = Callable[[GatewayError], str]
"""Told of bytes that are not HTTP; gives the request id under which that was logged."""


class ClientConnection(RequestHandler):
    """Adds a deadline for the head of a request, and our own answer to what is not HTTP."""

    __slots__ = ("_certificate", "_head_deadline", "_head_seconds", "_on_malformed")

    def __init__(
        self, manager: web.Server, *, head_seconds: float, on_malformed: OnMalformed, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._head_seconds = head_seconds
        self._on_malformed = on_malformed
        self._head_deadline: asyncio.TimerHandle | None = None
        self._certificate: Certificate | None = None

    @property
    def peer(self) -> str:
        """The address at the other end; empty when there is none any more, or none that has an address."""
        name = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def certificate(self) -> Certificate | None:
        """The client's, if it showed one; read once, when somebody asks for it."""
        if self._certificate is None and self.transport is not None:
            tls = self.transport.get_extra_info("ssl_object")
            shown = tls.getpeercert(binary_form=True) if tls is not None else None
            self._certificate = certificate_of(shown) if shown else None
        return self._certificate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Who connects is expected to say something: the first head's clock starts."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes that do not complete a head start its clock; a whole head stops it."""
        super().data_received(data)
        request = self._current_request
        if request is not None and self._messages and not request.content.is_eof():
            # Only an error can follow a body that is not over. aiohttp tells nobody who waits for the rest.
            request.content.set_exception(web.RequestPayloadError())
        if not self._messages and self._current_request is None:
            self._expect_head()
        elif self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _expect_head(self) -> None:
        if self._head_deadline is None:
            self._head_deadline = self._loop.call_later(self._head_seconds, self.force_close)

    def close_if_idle(self) -> None:
        """End it, unless a request is under way: that one may still be arriving, and be answered."""
        if self._is_idle:
            self.force_close()

    @property
    def _is_idle(self) -> bool:
        """Whether the next head is waited for."""
        return self._waiter is not None and not self._waiter.done()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's own errors in our shape, with nothing of the request in them."""
        error = malformed(status, exc)
        request_id = self._on_malformed(error)
        response = web.Response(
            status=error.kind.status,
            headers=[
                ("content-type", "application/json"),
                ("x-request-id", request_id),
                ("server", "gateway"),
                *error_headers(error),
            ],
            body=error_body(error),
        )
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What aiohttp would log here quotes requests. The journey has logged what there is to say."""


class ClientServer(web.Server):
    """aiohttp's low-level server with our connections."""

    def close_idle(self) -> None:
        """End the connections on which nothing is asked at the moment."""
        for connection in self.connections:
            cast(ClientConnection, connection).close_if_idle()

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, loop=self._loop, **self._kwargs)


def certificate_of(der: bytes) -> Certificate | None:
    """What a certificate that was verified says of its owner; None for one that cannot be read."""
    try:
        read = x509.load_der_x509_certificate(der)
        issued_at = max(0, int(read.not_valid_before_utc.timestamp()))  # revocations begin in 1970
        return Certificate(read.subject.rfc4514_string(), _uris(read), issued_at)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def _uris(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
