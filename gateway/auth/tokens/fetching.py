"""Gets what issuers publish: by https and nothing else, from the very address that was named, in bounds.

Every fetch has a session of its own: there is one in ten minutes, and so no cookie, connection or certificate
outlives what it was for.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from gateway.auth.tokens.published import read_discovery
from gateway.core.identity import Issuer

LARGEST: Final = 256 * 1024
"""Bytes of a document."""

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "gateway"}


class NotFetched(ValueError):
    """There is no document. The message is a sentence for operators, and quotes nothing that was sent."""


Fetch = Callable[[Issuer, str], Awaitable[bytes]]
"""The document at an address, with what this issuer wants for it. Raises NotFetched."""


class Fetcher:
    """Keeps nothing from one fetch to the next."""

    def __init__(self, *, deadline: float = 5.0) -> None:
        """`deadline`: seconds that a fetch may take, all in all."""
        self._timeout = aiohttp.ClientTimeout(total=deadline)

    async def fetch(self, issuer: Issuer, url: str) -> bytes:
        """A Fetch."""
        try:
            address = URL(url)
            if address.scheme != "https" or not address.host or address.user is not None:
                raise NotFetched("an address of its documents does not begin with https")
            tls, headers = await asyncio.to_thread(_from_files, issuer, address)
            return await self._got(address, tls, headers)
        except NotFetched:
            raise
        except TimeoutError as error:
            raise NotFetched("it did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotFetched(f"it cannot be reached: {type(error).__name__}") from error

    async def _got(self, address: URL, tls: ssl.SSLContext, headers: dict[str, str]) -> bytes:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                trust_env=False,
                max_line_size=8190,
                max_field_size=8190,
            ) as session,
            session.get(address, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise NotFetched(f"it answered with status {answer.status}")
            return await _whole(answer.content)


async def discovered(fetch: Fetch, issuer: Issuer) -> Mapping[str, str]:
    """What its discovery document tells, of all that are strings. Raises ValueError (NotFetched, too)."""
    url = f"{issuer.url.removesuffix('/')}/.well-known/openid-configuration"
    return read_discovery(issuer.url, await fetch(issuer, url))


async def _whole(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for portion in content.iter_any():
        body += portion
        if len(body) > LARGEST:
            raise NotFetched(f"its document has more than {LARGEST} bytes")
    return bytes(body)


def _from_files(issuer: Issuer, address: URL) -> tuple[ssl.SSLContext, dict[str, str]]:
    """Read anew each time, because both kinds of file are rotated while the gateway runs.

    The token goes to addresses that `identity.yaml` names, and to none that a document names.
    """
    tls = ssl.create_default_context(cafile=issuer.ca_file)
    if issuer.token_file is None or address.origin() not in _named(issuer):
        return tls, _HEADERS
    return tls, {**_HEADERS, "Authorization": f"Bearer {_token(issuer.token_file)}"}


def _named(issuer: Issuer) -> set[URL]:
    return {URL(url).origin() for url in (issuer.url, issuer.jwks_url) if url is not None}


def _token(file: Path) -> str:
    return file.read_text().strip()
