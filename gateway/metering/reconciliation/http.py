"""How the provider is asked: one GET at a time, over TLS, no further than where it was sent."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from gateway.metering.reconciliation.provider import Page, ProviderError

SECONDS: Final = 60.0
"""How long one page may take."""
MOST_BYTES: Final = 16 << 20
"""How large it may be."""


class HttpFetch:
    """Fetch by aiohttp. The session is the caller's; it should keep no cookies."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        base_url: str,
        admin_key: SecretStr,
        proxy: str | None = None,
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`base_url`: up to and including `/v1`. Raises ValueError when the key would go over a wire unread
        by nobody: without TLS, and not to this machine.
        """
        if not _is_private(base_url):
            raise ValueError(
                f"{base_url} is not https: an admin key is not sent where others can read it on the way."
            )
        self._session = session
        self._base_url = base_url
        self._admin_key = admin_key
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._most_bytes = most_bytes

    async def __call__(self, path: str, query: Sequence[tuple[str, str]]) -> Page:
        try:
            async with self._session.get(
                f"{self._base_url}{path}",
                params=list(query),
                headers={"authorization": f"Bearer {self._admin_key.get_secret_value()}"},
                proxy=self._proxy,
                allow_redirects=False,
                timeout=self._timeout,
            ) as answer:
                body = await self._body(answer)
                return Page(answer.status, body, answer.headers.get("retry-after", ""))
        except TimeoutError:
            raise ProviderError(f"{self._base_url} did not answer in time. Try again later.") from None
        except (aiohttp.ClientError, OSError):
            raise ProviderError(
                f"{self._base_url} cannot be reached. Is it right, and is there a proxy on the way?"
            ) from None

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > self._most_bytes:
                raise ProviderError(f"{self._base_url} answers more than fits. Ask for fewer days.")
        return bytes(body)


def _is_private(base_url: str) -> bool:
    parts = urlsplit(base_url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
