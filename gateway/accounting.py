"""What an exchange cost: each attempt's two ledger lines, and the settlement of what was reserved.

Its law: an attempt that was admitted is settled, once, whatever happened to it, and settling never waits. The
provider's own count is believed unless something speaks against it; where there is none, ours is used and
says so. Limits are charged what the ledger says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from gateway.core.attempt import Attempt, Cause
from gateway.core.call import Call
from gateway.core.clock import Clock
from gateway.core.endpoint import Dialect, Meter
from gateway.core.errors import ClientLeft, ErrorCode, GatewayError, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.core.policy import Model
from gateway.core.usage import Doubt, Observed, Usage, UsageSource
from gateway.expectation import Expected
from gateway.limits.amounts import Amounts, amounts_of
from gateway.limits.estimate import TypicalOutputs, most_output, most_read, unseen_reasoning
from gateway.limits.reservation import Reservation
from gateway.metering.recorder import Recorder
from gateway.metering.usage import ALLOWED_MORE, doubt
from gateway.telemetry.metrics import Metrics
from gateway.wire.tokens import Tokenizer
from gateway.wire.usage_reader import AnswerReader

Admit = Callable[[Attempt], Awaitable[None]]

CUTS: Final[Mapping[ErrorCode, Cause]] = {
    ErrorCode.INSUFFICIENT_QUOTA: Cause.BUDGET_CUT,
    ErrorCode.INVALID_API_KEY: Cause.REVOKED,
}
"""Refusals that can strike an exchange after it was sent: it is cut then, which is nobody's fault."""

_ANSWERS_WITH_TEXT: Final = frozenset({Dialect.CHAT, Dialect.RESPONSES})
_NOTHING: Final = Usage(UsageSource.ESTIMATED)
_NOT_BILLED: Final = Usage(UsageSource.PROVIDER)
"""What an attempt costs that the provider answered with an error."""


def _nobody(upstream: str, doubt: Doubt) -> None:
    """Who is told of doubtful usage when nobody wants to know."""


class Accounting:
    """Keeps the books of exchanges while they travel."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        outputs: TypicalOutputs,
        tokenizer: Tokenizer,
        metrics: Metrics,
        clock: Clock,
        on_doubt: Callable[[str, Doubt], None] = _nobody,
    ) -> None:
        """`outputs`: told what answers really had. `on_doubt`: told the upstream whose count is not believed,
        and why."""
        self._recorder = recorder
        self._outputs = outputs
        self._tokenizer = tokenizer
        self._metrics = metrics
        self._clock = clock
        self._on_doubt = on_doubt

    def admission(self, exchange: Exchange, expected: Expected) -> Admit:
        """To be awaited before each attempt's first byte. Raises Refused (`metering_unavailable`), and
        ClientLeft: for a client that is gone nothing is tried again.

        `expected` is what the attempt is settled with if this process dies.
        """

        async def admit(attempt: Attempt) -> None:
            if exchange.client_left:
                raise ClientLeft("before it was tried again")
            await self._recorder.admit(exchange, attempt, expected.usage, expected.cost)
            if exchange.attempts:
                before = exchange.attempts[-1]
                usage = _NOTHING if before.status is None else _NOT_BILLED
                self._settle_attempt(exchange, before, usage, Cause.UPSTREAM_FAILED)
            else:
                self._metrics.sent_after(self._clock.monotonic() - exchange.started)
            exchange.attempts.append(attempt)

        return admit

    @contextmanager
    def of(
        self, exchange: Exchange, held: Reservation, call: Call, model: Model, expected: Expected
    ) -> Iterator[None]:
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
        except GatewayError as error:
            cause = CUTS.get(error.code, Cause.FAILED)
            raise
        except BaseException:
            cause = Cause.FAILED
            raise
        finally:
            cause = Cause.CLIENT_LEFT if exchange.client_left else cause
            self._settle(exchange, held, call, model, expected, cause)

    def observe(self, exchange: Exchange, reader: AnswerReader, call: Call, model: Model) -> None:
        """Take down what the side reader saw of the last attempt's answer, as far as it is over."""
        observed, attempt = reader.observed(), exchange.attempts[-1]
        doubt = observed.doubt
        if attempt.status is not None and attempt.status < 400:
            doubt = doubt or _doubt(observed, reader, call, model)
        if doubt is not None:
            observed = replace(observed, usage=None, doubt=doubt)
            self._on_doubt(attempt.upstream, doubt)
        if observed.usage is None:
            exchange.generated = reader.generated_tokens()
            exchange.thought_aloud = reader.thought_aloud()
        exchange.observed = observed

    def _settle(
        self,
        exchange: Exchange,
        held: Reservation,
        call: Call,
        model: Model,
        expected: Expected,
        cause: Cause,
    ) -> None:
        if not exchange.attempts:
            held.release()
            return
        attempt = exchange.attempts[-1]
        usage = self._usage(exchange, attempt, held, call, model, expected, cause)
        self._settle_attempt(exchange, attempt, usage, cause)
        exchange.usage, exchange.cost = attempt.usage, attempt.cost
        if any(each.sent for each in exchange.attempts):
            held.settle(_spent(exchange.attempts))
        else:
            held.release()
        if cause is Cause.SERVED:
            self._learn(exchange, call, model, usage)

    def _settle_attempt(self, exchange: Exchange, attempt: Attempt, usage: Usage, cause: Cause) -> None:
        self._recorder.settle(exchange, attempt, usage, cause)
        self._metrics.attempted(attempt)
        if attempt.sent and exchange.policy is not None and exchange.model is not None:
            self._metrics.metered(exchange.policy.team, exchange.model.name, usage, attempt.cost)

    def _usage(
        self,
        exchange: Exchange,
        attempt: Attempt,
        held: Reservation,
        call: Call,
        model: Model,
        expected: Expected,
        cause: Cause,
    ) -> Usage:
        """The provider's count, or ours of what was asked and of what had passed, and of what nobody saw."""
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
            return expected.usage._replace(source=source)
        unread = whole and not exchange.generated  # compressed, say: it is taken for a typical one
        answered = expected.usage.output_tokens if unread else exchange.generated
        most = most_output(call, model)  # the provider's own vocabulary may have needed fewer
        answered = answered if most is None else min(answered, most)
        unseen = 0 if unread else self._unseen(exchange, held, call, model, answered, most)
        return Usage(
            source,
            input_tokens=self._tokenizer.total(call.texts, model.encoding),
            output_tokens=answered + unseen,
            reasoning_tokens=unseen,
        )

    def _unseen(
        self, exchange: Exchange, held: Reservation, call: Call, model: Model, passed: int, most: int | None
    ) -> int:
        """Tokens of hidden reasoning, as far as they are to be supposed."""
        if exchange.principal is None or exchange.thought_aloud:
            return 0
        return unseen_reasoning(
            self._outputs.reasoning_of(exchange.principal, model, call),
            passed=passed,
            seconds=self._clock.monotonic() - exchange.started,
            reserved=held.held.output_tokens,
            most=most,
        )

    def _learn(self, exchange: Exchange, call: Call, model: Model, usage: Usage) -> None:
        """What an answer had that came whole, unless that was only supposed."""
        observed = exchange.observed
        is_known = observed is not None and observed.finished and (observed.usage or exchange.generated)
        if is_known and usage.output_tokens > 0 and exchange.principal is not None:
            told = usage.reasoning_tokens if usage.source is UsageSource.PROVIDER else None
            self._outputs.learn(exchange.principal, model, call, usage.output_tokens, told)


def _doubt(observed: Observed, reader: AnswerReader, call: Call, model: Model) -> Doubt | None:
    """What speaks against what a good answer told of its usage. With an error in it, there need be none.

    What is only asked of counts that are unusual is only found out for those.
    """
    usage = observed.usage
    told = usage or _NOTHING
    has_text = call.endpoint.dialect in _ANSWERS_WITH_TEXT
    return doubt(
        usage,
        meter=call.endpoint.meter,
        whole=observed.finished and observed.error is None,
        asked=not told.input_tokens and any(call.texts),
        answered=has_text and not told.output_tokens and reader.generated_tokens() > 0,
        most_input=most_read(call, model) if told.input_tokens > (model.context_window or 0) else None,
        most_output=most_output(call, model) if has_text and told.output_tokens > ALLOWED_MORE else None,
    )


def _spent(attempts: Sequence[Attempt]) -> Amounts:
    """By one request, in all its attempts."""
    spent = [amounts_of(attempt.usage, attempt.cost) for attempt in attempts if attempt.usage is not None]
    if len(spent) == 1:
        return spent[0]
    return Amounts(*map(sum, zip(*spent, strict=True)))._replace(requests=1, concurrent=1)
