"""What an exchange cost: each attempt's two ledger lines, and the settlement of what was reserved.

Its law: an attempt that was admitted is settled, once, whatever happened to it, and settling never waits. The
provider's own count is believed; where there is none, ours is used and says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.core.attempt import Attempt, Cause
from gateway.core.call import Call, Form
from gateway.core.clock import Clock
from gateway.core.endpoint import Meter
from gateway.core.errors import ClientLeft, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.core.policy import Model
from gateway.core.usage import Usage, UsageSource
from gateway.limits.estimate import output_tokens
from gateway.limits.reservation import Reservation
from gateway.metering.recorder import Recorder
from gateway.metering.usage import estimate
from gateway.telemetry.metrics import Metrics
from gateway.wire.tokens import Tokenizer, roughly

Admit = Callable[[Attempt], Awaitable[None]]

_NOTHING: Final = Usage(UsageSource.ESTIMATED)
_NOT_BILLED: Final = Usage(UsageSource.PROVIDER)
"""What an attempt costs that the provider answered with an error."""


class Accounting:
    """Keeps the books of exchanges while they travel."""

    def __init__(self, *, recorder: Recorder, tokenizer: Tokenizer, metrics: Metrics, clock: Clock) -> None:
        self._recorder = recorder
        self._tokenizer = tokenizer
        self._metrics = metrics
        self._clock = clock

    def admission(self, exchange: Exchange, expected: Usage) -> Admit:
        """To be awaited before each attempt's first byte. Raises Refused (`metering_unavailable`).

        `expected` is what the attempt is settled with if this process dies.
        """

        async def admit(attempt: Attempt) -> None:
            await self._recorder.admit(exchange, attempt, expected)
            if exchange.attempts:
                before = exchange.attempts[-1]
                usage = _NOTHING if before.status is None else _NOT_BILLED
                self._settle_attempt(exchange, before, usage, Cause.UPSTREAM_FAILED)
            else:
                self._metrics.sent_after(self._clock.monotonic() - exchange.started)
            exchange.attempts.append(attempt)

        return admit

    @contextmanager
    def of(self, exchange: Exchange, held: Reservation, call: Call, model: Model) -> Iterator[None]:
        """Whatever happens inside is settled when it is over."""
        cause = Cause.SERVED
        try:
            yield
        except (ClientLeft, asyncio.CancelledError):
            cause = Cause.CLIENT_LEFT
            raise
        except UpstreamFailed:
            cause = Cause.UPSTREAM_FAILED
            raise
        except BaseException:
            cause = Cause.FAILED
            raise
        finally:
            self._settle(exchange, held, call, model, cause)

    def _settle(self, exchange: Exchange, held: Reservation, call: Call, model: Model, cause: Cause) -> None:
        if not exchange.attempts:
            held.release()
            return
        attempt = exchange.attempts[-1]
        usage = exchange.usage = self._usage(exchange, attempt, call, model, cause)
        exchange.cost = self._settle_attempt(exchange, attempt, usage, cause)
        if any(each.sent for each in exchange.attempts):
            held.settle(usage.total_tokens)
        else:
            held.release()

    def _settle_attempt(self, exchange: Exchange, attempt: Attempt, usage: Usage, cause: Cause) -> int | None:
        cost = self._recorder.settle(exchange, attempt, usage, cause)
        self._metrics.attempted(attempt)
        if attempt.sent and exchange.policy is not None and exchange.model is not None:
            self._metrics.metered(exchange.policy.team, exchange.model.name, usage, cost)
        return cost

    def _usage(self, exchange: Exchange, attempt: Attempt, call: Call, model: Model, cause: Cause) -> Usage:
        """The provider's count, or ours of what was asked and of what had passed."""
        observed = exchange.observed
        if observed is not None and observed.usage is not None:
            return observed.usage
        if attempt.status is not None and attempt.status >= 400:
            return _NOT_BILLED
        if not attempt.sent:
            return _NOTHING
        whole = cause is Cause.SERVED and observed is not None and observed.finished
        source = UsageSource.ESTIMATED if whole else UsageSource.PARTIAL
        if call.endpoint.meter is not Meter.TOKENS:
            return _other_units(call, source)
        unread = whole and not exchange.generated  # compressed, say: it is taken for a typical one
        return Usage(
            source,
            input_tokens=self._tokenizer.total(call.texts, model.encoding),
            output_tokens=output_tokens(call) if unread else exchange.generated,
        )


def expected_usage(call: Call) -> Usage:
    """What the call will probably use, before it is sent."""
    if call.endpoint.meter is not Meter.TOKENS:
        return _other_units(call, UsageSource.ESTIMATED)
    return Usage(UsageSource.ESTIMATED, input_tokens=roughly(call.texts), output_tokens=output_tokens(call))


def _other_units(call: Call, source: UsageSource) -> Usage:
    """What the endpoint is billed by when it is not tokens, as far as the request tells."""
    text = call.get("input")
    return estimate(
        call.endpoint.meter,
        source=source,
        images=_whole(call.get("n"), default=1),
        characters=len(text) if isinstance(text, str) else 0,
        audio_bytes=sum(size for _, size in call.body.files) if isinstance(call.body, Form) else 0,
    )


def _whole(value: object, *, default: int) -> int:
    """A count as JSON or a form spells it."""
    return int(text) if (text := str(value)).isdecimal() else default
