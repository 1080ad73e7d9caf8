"""Connections to upstreams: the only file that knows aiohttp's client. Its faults become ours here.

The session is bare on purpose: no cookies (one team's would reach the next), no redirects (a POST would be sent
again, key included, to wherever the answer says), no decompression (bytes are relayed as they come), no proxy
but the one that is configured.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import aiohttp

from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.core.incoming import HeaderList
from gateway.upstream.targets import Target
from gateway.wire.headers import media_type

_LARGE: Final = 1024 * 1024
"""Bytes of a body beyond which it is written in portions, so that the loop is not held up by one copy."""
_LONGEST_HEADER: Final = 32 * 1024
"""Bytes of one header field of an answer."""


class PooledAnswer:
    """An answer on a connection of the pool. Implements `interfaces.Answer`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def content_type(self) -> str:
        return media_type(self.headers.get("content-type", ""))

    @property
    def length(self) -> int | None:
        value = self.headers.get("content-length", "")
        return int(value) if value.isdecimal() else None

    async def read(self, limit: int) -> bytes:
        portions = []
        size = 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise UpstreamFailed(
                    ErrorCode.UPSTREAM_ERROR, "The upstream's answer is longer than it may be."
                )
            portions.append(data)
        return portions[0] if len(portions) == 1 else b"".join(portions)

    async def chunks(self) -> AsyncIterator[bytes]:
        with _translated(ErrorCode.UPSTREAM_ERROR, "The upstream broke off its answer."):
            readany = self._response.content.readany
            while data := await readany():
                yield data

    def release(self) -> None:
        """Back to the pool when the answer was read to its end, else closed: what is left would come first."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Pool:
    """The process's connections to all upstreams."""

    def __init__(self, *, user_agent: str) -> None:
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=55.0, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"user-agent": self._user_agent},
            skip_auto_headers=("accept", "accept-encoding", "content-type"),
            max_field_size=_LONGEST_HEADER,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        target: Target,
        url: str,
        method: str,
        headers: HeaderList,
        body: bytes | AsyncIterator[bytes],
    ) -> PooledAnswer:
        """Send, and wait for the head of the answer.

        Raises UpstreamFailed: `upstream_unreachable` or `upstream_tls_error` when no byte of the request can have
        arrived, so that another try is safe; `upstream_timeout` or `upstream_error` otherwise.
        """
        if self._session is None:
            raise RuntimeError("the pool is not open")
        with _translated(ErrorCode.UPSTREAM_ERROR, "The upstream closed the connection without an answer."):
            async with asyncio.timeout(target.first_byte_seconds):
                response = await self._session.request(
                    method,
                    url,
                    data=io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE else body,
                    headers=headers,
                    allow_redirects=False,
                    proxy=target.proxy,
                    timeout=aiohttp.ClientTimeout(total=None, connect=target.connect_seconds),
                )
        return PooledAnswer(response)


@contextmanager
def _translated(code: ErrorCode, sentence: str) -> Iterator[None]:
    """aiohttp's and asyncio's errors as ours; `code` and `sentence` for a connection that broke."""
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise UpstreamFailed(
            ErrorCode.UPSTREAM_TLS_ERROR,
            "No TLS session with the upstream: certificate or protocol do not fit.",
        ) from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "The upstream could not be reached.") from error
    except aiohttp.ClientHttpProxyError as error:
        raise UpstreamFailed(
            ErrorCode.UPSTREAM_UNREACHABLE, "The proxy on the way did not let the request through."
        ) from error
    except TimeoutError as error:
        raise UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "The upstream did not answer in time.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamFailed(code, sentence) from error
