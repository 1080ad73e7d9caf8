"""A client's request as the journey sees it. Its law: no body is read without a bound on size, time and rate.

aiohttp itself puts no time-out on a body: a stalled POST would stay open for ever.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from gateway.core.errors import ClientLeft, ErrorCode, Refused
from gateway.core.incoming import Certificate, Headers
from gateway.server.connection import ClientConnection


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How a request body may arrive."""

    seconds: float = 30.0
    """From its first byte to its last, for bodies that fit into memory; for others between two portions."""
    bytes_per_second: int = 1024
    """The slowest that is waited for, once `grace` seconds are over."""
    grace: float = 5.0


class ClientRequest:
    """Implements `core.incoming.Incoming` for aiohttp."""

    def __init__(self, request: web.BaseRequest, bounds: BodyBounds) -> None:
        self._request = request
        self._bounds = bounds
        self.method = request.method
        self.path, _, self.query = request.raw_path.partition("?")
        self.version = "{}.{}".format(*request.version)
        self.headers = cast(Headers, request.headers)

    @property
    def peer(self) -> str:
        return self._connection.peer

    @property
    def certificate(self) -> Certificate | None:
        return self._connection.certificate

    @property
    def _connection(self) -> ClientConnection:
        return cast(ClientConnection, self._request.protocol)

    async def read(self, limit: int) -> bytes:
        self._check_announced(limit)
        content = self._request.content
        if content.is_eof():
            data = content.read_nowait(-1) if content.total_bytes else b""
            return self._checked(data, len(data), limit)
        portions = [data async for data in self._portions(limit, self._bounds.seconds)]
        return b"".join(portions)

    async def body(self, limit: int) -> AsyncIterator[bytes]:
        self._check_announced(limit)
        async for data in self._portions(limit, limit / self._bounds.bytes_per_second):
            yield data

    async def _portions(self, limit: int, longest: float) -> AsyncIterator[bytes]:
        await self._invite()
        loop = asyncio.get_running_loop()
        began = now = loop.time()
        received = 0
        content = self._request.content
        try:
            while True:
                patience = began + self._patience(received, longest)
                async with asyncio.timeout_at(min(patience, now + self._bounds.seconds)):
                    data = await content.readany()
                if not data:
                    return
                received += len(data)
                now = loop.time()
                yield self._checked(data, received, limit)
        except TimeoutError:
            raise Refused(
                ErrorCode.REQUEST_TIMEOUT, "The request body did not arrive in time. Send it again."
            ) from None
        except web.RequestPayloadError:
            raise Refused(ErrorCode.BAD_REQUEST, "The request body is not well-formed HTTP/1.1.") from None
        except ConnectionError as error:
            raise ClientLeft("the request body broke off") from error

    def _patience(self, received: int, longest: float) -> float:
        return min(longest, self._bounds.grace + received / self._bounds.bytes_per_second)

    def _check_announced(self, limit: int) -> None:
        announced = self._request.content_length
        if announced is not None:
            self._checked(b"", announced, limit)

    def _checked(self, data: bytes, size: int, limit: int) -> bytes:
        if size > limit:
            raise Refused(
                ErrorCode.REQUEST_TOO_LARGE,
                f"The request body is larger than the {limit:,} bytes that this endpoint takes.",
            )
        return data

    async def _invite(self) -> None:
        """Answer `Expect: 100-continue`, now that the body is wanted."""
        if "expect" in self._request.headers:
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
