"""Sends a request until there is an answer to relay: attempts, waits between them, what may not be passed on.

Implements `interfaces.Upstreams`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.core.attempt import Attempt
from gateway.core.clock import Clock
from gateway.core.errors import ErrorCode, UpstreamFailed
from gateway.core.ids import new_id
from gateway.core.policy import Model
from gateway.upstream.connection import PooledAnswer
from gateway.upstream.interfaces import Answer, Outgoing
from gateway.upstream.pool import Pool
from gateway.upstream.retry import RetryBudget, retry_after, wait_after_failure, wait_after_status
from gateway.upstream.targets import Target, Targets

Admit = Callable[[Attempt], Awaitable[None]]
Pause = Callable[[float], Awaitable[None]]

_REQUEST_ID: Final = ("x-request-id", "apim-request-id")
_OUR_ID: Final = "x-client-request-id"
"""By which the provider finds a request when it is asked: the client's own word for it, else the attempt's
id, so that its log can be laid beside the ledger."""
_LONGEST_ID: Final = 128
"""Characters of an upstream's request id. It goes into the log and the ledger."""


class Sender:
    """One for the process. Keeps a retry budget for each upstream."""

    def __init__(self, *, pool: Pool, targets: Targets, clock: Clock, pause: Pause = asyncio.sleep) -> None:
        self._pool = pool
        self._targets = targets
        self._clock = clock
        self._pause = pause
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)

    async def send(self, model: Model, outgoing: Outgoing, admit: Admit) -> Answer:
        """See `interfaces.Upstreams`."""
        target = self._targets.find(model.upstream)
        budget = self._budgets[target.name]
        budget.earn()
        number = 0
        while True:
            number += 1
            attempt = Attempt(id=new_id("att", self._clock), upstream=target.name, number=number)
            await admit(attempt)
            try:
                answer = await self._attempt(target, model, outgoing, attempt)
            except UpstreamFailed as failure:
                wait = wait_after_failure(number, failure)
                if wait is None or not budget.spend():
                    raise
            else:
                wait = wait_after_status(number, answer.status, answer.headers)
                if wait is None or not budget.spend():
                    _refuse_unfit(answer)
                    return answer
                answer.release()
            await self._pause(wait)

    async def _attempt(
        self, target: Target, model: Model, outgoing: Outgoing, attempt: Attempt
    ) -> PooledAnswer:
        headers = list(outgoing.headers)
        if not any(name == _OUR_ID for name, _ in headers):
            headers.append((_OUR_ID, attempt.id))
        credential = target.credential()
        if credential is not None:
            headers.append(credential)
        path = target.path(outgoing.path, outgoing.query, model.upstream_model)

        def on_sent() -> None:
            attempt.sent = True

        try:
            answer = await self._pool.request(
                target, path, outgoing.method, headers, outgoing.body(), on_sent=on_sent
            )
        except UpstreamFailed as failure:
            attempt.sent = attempt.sent and failure.code is not ErrorCode.UPSTREAM_UNREACHABLE
            raise
        attempt.status = answer.status
        attempt.upstream_request_id = _request_id(answer.headers)
        return answer


def _request_id(headers: Mapping[str, str]) -> str | None:
    given = next((headers[name] for name in _REQUEST_ID if name in headers), "")
    return given if given.isascii() and 0 < len(given) <= _LONGEST_ID else None


def _refuse_unfit(answer: PooledAnswer) -> None:
    """Raises UpstreamFailed for what is not for clients: our key refused, a redirect, an edge's page."""
    failure = _unfit(answer)
    if failure is not None:
        answer.release()
        raise failure


def _unfit(answer: PooledAnswer) -> UpstreamFailed | None:
    status = answer.status
    if status in (401, 403):
        return UpstreamFailed(
            ErrorCode.UPSTREAM_AUTH_ERROR,
            "The upstream did not accept the gateway's own key. Yours is fine; tell the platform team.",
        )
    if status < 200 or 300 <= status < 400:
        return UpstreamFailed(
            ErrorCode.UPSTREAM_REDIRECT, "The upstream sent the request elsewhere, which is never followed."
        )
    if status < 400 or answer.content_type == "application/json":
        return None
    if status == 429:
        return UpstreamFailed(
            ErrorCode.UPSTREAM_RATE_LIMITED,
            "The upstream is limiting the rate of requests.",
            retry_after=retry_after(answer.headers),
        )
    return UpstreamFailed(ErrorCode.UPSTREAM_ERROR, f"The upstream failed with status {status}.")
