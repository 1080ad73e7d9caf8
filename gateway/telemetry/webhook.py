"""Events for whoever is to be woken: JSON, posted to one address, signed as Standard Webhooks has it.

Nobody waits for it. Events wait in a bounded queue; each is tried three times, each try has a deadline, and
what cannot be delivered is counted and forgotten: the log and the metrics have told of it already. The
address may hold a secret (those of chat rooms do), so neither it nor an error that quotes it is logged.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import msgspec
import structlog

from gateway.core.clock import Clock
from gateway.core.ids import new_id
from gateway.telemetry.metrics import Metrics

Pause = Callable[[float], Awaitable[None]]

_PAUSES: Final = (1.0, 5.0)
"""Seconds before the second try, and before the third."""


class Address(Protocol):
    """A URL that does not show itself."""

    def get_secret_value(self) -> str: ...


class _Event(NamedTuple):
    id: str
    body: bytes


class Webhook:
    """Where events go. `run` must be kept going."""

    def __init__(
        self,
        *,
        url: Address,
        key: bytes | None,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        clock: Clock,
        pause: Pause = asyncio.sleep,
        deadline: float = 5.0,
        most: int = 1_000,
    ) -> None:
        """`key`: signs events; None: they are not signed. `deadline`: seconds for one try. `most`: events
        that wait; beyond it the oldest is dropped."""
        self._url = url
        self._key = key
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._pause = pause
        self._deadline = deadline
        self._events: asyncio.Queue[_Event] = asyncio.Queue(most)
        self._away = False

    def put(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell of this soon. Never waits, and never fails because of whoever is told."""
        if self._events.full():
            self._events.get_nowait()
            self._metrics.webhook("dropped")
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        body = msgspec.json.encode({"event": event, "at": at, **fields})
        self._events.put_nowait(_Event(new_id("evt", self._clock), body))

    async def run(self) -> None:
        """Deliver, in order. Never returns; to be run in the background."""
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._deadline),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=1, force_close=True),
            auto_decompress=False,
            trust_env=False,
        )
        async with session:
            while True:
                await self._deliver(session, await self._events.get())

    async def _deliver(self, session: aiohttp.ClientSession, event: _Event) -> None:
        trouble = await self._tried(session, event)
        for seconds in _PAUSES:
            if trouble is None:
                break
            await self._pause(seconds)
            trouble = await self._tried(session, event)
        self._metrics.webhook("failed" if trouble else "delivered")
        self._tell(trouble)

    async def _tried(self, session: aiohttp.ClientSession, event: _Event) -> str | None:
        """What went wrong with one try: a kind of error or a status, and no word of the address or answer."""
        try:
            async with session.post(
                self._url.get_secret_value(),
                data=event.body,
                headers=self._headers(event),
                allow_redirects=False,
            ) as answer:
                return None if 200 <= answer.status < 300 else f"status {answer.status}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__

    def _headers(self, event: _Event) -> dict[str, str]:
        timestamp = str(int(self._clock.now()))
        headers = {
            "content-type": "application/json",
            "user-agent": "openai-gateway",
            "webhook-id": event.id,
            "webhook-timestamp": timestamp,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, event.id, timestamp, event.body)
        return headers

    def _tell(self, trouble: str | None) -> None:
        if self._away == (trouble is not None):
            return
        self._away = trouble is not None
        self._metrics.degraded("webhook", self._away)
        if trouble is None:
            self._log.warning("webhook_back")
        else:
            self._log.warning("webhook_away", why=trouble)


def signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
