"""Streams that outgrow what is held for them, and streams whose credential is revoked.

Nothing is done while bytes pass: one tick a second looks at all of them, and those that come near what they
hold ask together for more. A stream ends when it has used up what it holds and an enforced budget has no more
for it, or when its credential is taken back by a revocation that says so; never because a store is away.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from gateway.auth.interfaces import Revocations
from gateway.core.call import Call
from gateway.core.decision import Deny
from gateway.core.endpoint import Meter
from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.exchange import Exchange
from gateway.core.policy import Budget, Counted, Model, Rates, Unpriced
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.limits.amounts import Amounts
from gateway.limits.estimate import most_output
from gateway.limits.interfaces import Demand
from gateway.limits.reservation import Reservation, Reservations
from gateway.limits.verdict import used_up
from gateway.metering.prices.pricing import asked_tier, cost, line_for
from gateway.relay import StreamWatch
from gateway.telemetry.metrics import Metrics
from gateway.wire.usage_reader import AnswerReader

MARGIN: Final = 128
"""Tokens before the end of what it holds at which a stream asks for more; or as many as it generates in two
seconds, if those are more."""
STEP: Final = 256
"""Tokens that it asks for at least, unless it may have fewer."""
REVOKED: Final = "auth.revocation"
"""The rule that ends them, for the log."""

_AT_A_TIME: Final = 64
"""Streams that are looked at in one turn of the loop."""
_GROWING: Final = frozenset({Counted.TOKENS, Counted.OUTPUT_TOKENS, Counted.DOLLARS})


@dataclass(slots=True, eq=False, kw_only=True)
class _Stream:
    """One stream on its way."""

    others: dict[str, "_Stream"]
    exchange: Exchange
    held: Reservation
    reader: AnswerReader
    rates: Rates
    """By which more of the answer is expected to cost."""
    grows: bool
    """Whether any limit counts what it generates."""
    most: int | None
    """Tokens that it may generate; None when nobody bounds them."""
    generated: int = 0
    """Tokens, as of the last look."""
    lately: int = 0
    """Those of the second before it."""

    def __enter__(self) -> Self:
        self.others[self.exchange.id] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.others.pop(self.exchange.id, None)

    def comes_near(self) -> bool:
        """Look whether it will soon have generated what is held for it. Counts only when that seems so."""
        before = self.generated
        self._see(self.reader.generated_about(), before)
        if not self._is_near() or self._room() == 0:
            return False
        self._see(self.reader.generated_tokens(), before)
        return self._is_near()

    def more(self) -> Amounts:
        """What it should hold beyond what it holds."""
        held = self.held.held.output_tokens
        step = max(0, self.generated - held) + max(STEP, held // 2, 2 * self.lately)
        room = self._room()
        tokens = step if room is None else min(step, room)
        usage = Usage(UsageSource.ESTIMATED, output_tokens=tokens)
        dollars = cost(usage, self.rates, Meter.TOKENS) or 0
        return Amounts(tokens=tokens, output_tokens=tokens, dollars=dollars)

    def has_used_up(self) -> bool:
        """Whether what it holds will be gone before the next look."""
        return self.generated + self.lately >= self.held.held.output_tokens

    def _see(self, generated: int, before: int) -> None:
        self.generated, self.lately = generated, max(0, generated - before)

    def _is_near(self) -> bool:
        return self.generated + max(MARGIN, 2 * self.lately) >= self.held.held.output_tokens

    def _room(self) -> int | None:
        """Tokens that it may still ask for; None when nobody bounds them."""
        return None if self.most is None else max(0, self.most - self.held.held.output_tokens)


class Oversight:
    """Looks after all streams of the process."""

    def __init__(
        self,
        *,
        reservations: Reservations,
        revocations: Revocations,
        watch: StreamWatch,
        metrics: Metrics,
    ) -> None:
        self._reservations = reservations
        self._revocations = revocations
        self._watch = watch
        self._metrics = metrics
        self._streams: dict[str, _Stream] = {}
        """By exchange id."""

    def over(
        self, exchange: Exchange, held: Reservation, reader: AnswerReader, call: Call, model: Model
    ) -> _Stream:
        """Look after an event stream while the block lasts."""
        return _Stream(
            others=self._streams,
            exchange=exchange,
            held=held,
            reader=reader,
            rates=_expected_rates(exchange, held, call, model),
            grows=call.endpoint.meter is Meter.TOKENS and _can_outgrow(held),
            most=most_output(call, model),
        )

    def check(self, principal: Principal) -> None:
        """For who has taken time since it was let in. Raises Refused for a credential that was taken back
        meanwhile: nothing is to be begun with it any more."""
        if self._revocations.covers(principal) is not None:
            raise _revoked()

    async def tick(self) -> None:
        """Look at every stream once. To be called about every second."""
        streams = list(self._streams.values())
        self.cut_revoked()
        await self._extend(await _near_their_end([stream for stream in streams if stream.grows]))

    def cut_revoked(self) -> None:
        """End the streams whose credentials were taken back, and they with them. To be called at once when
        anything was; a tick finds those that have begun meanwhile."""
        for stream in list(self._streams.values()):
            principal = stream.exchange.principal
            revocation = principal and self._revocations.covers(principal)
            if revocation and revocation.cut_streams:
                self._watch.end(stream.exchange.id, _revoked())

    async def _extend(self, growing: Sequence[_Stream]) -> None:
        if not growing:
            return
        try:
            exhausted = await self._reservations.extend([(stream.held, stream.more()) for stream in growing])
        except StoreUnavailable:
            return  # settling will tell; until then they hold what they hold
        for stream, demand in zip(growing, exhausted, strict=True):
            if demand is not None and stream.has_used_up():
                self._cut(stream, demand)

    def _cut(self, stream: _Stream, demand: Demand) -> None:
        rule = f"budgets.{demand.limit.name}"
        deny = Deny(ErrorCode.INSUFFICIENT_QUOTA, used_up(demand, 0), rule)
        if stream.exchange.policy is not None:
            self._metrics.decided(stream.exchange.policy.team, deny)
        self._watch.end(stream.exchange.id, Refused(deny.code, deny.reason, rule=rule))


async def _near_their_end(streams: Sequence[_Stream]) -> Sequence[_Stream]:
    """Those that should hold more. To count what a stream generated takes some 20 microseconds, so others get
    their turn now and again."""
    near: list[_Stream] = []
    for number, stream in enumerate(streams, 1):
        if stream.comes_near():
            near.append(stream)
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    return near


def _revoked() -> Refused:
    return Refused(ErrorCode.INVALID_API_KEY, "The credential of this request was revoked.", rule=REVOKED)


def _expected_rates(exchange: Exchange, held: Reservation, call: Call, model: Model) -> Rates:
    """As what was held at first was reckoned. Nothing is held for what has no price."""
    line, policy = (
        line_for(model, exchange.received_at, asked_tier(call), held.held.input_tokens),
        exchange.policy,
    )
    if line is not None:
        return line.rates
    ceiling = policy.catalogue.ceiling if policy and policy.unpriced is Unpriced.CEILING else None
    return ceiling or Rates()


def _can_outgrow(held: Reservation) -> bool:
    """Whether a limit counts what is generated. Strict budgets hold the most from the beginning."""
    demands = held.hold.demands if held.hold else ()
    return any(
        demand.limit.counts in _GROWING and not (isinstance(demand.limit, Budget) and demand.limit.strict)
        for demand in demands
    )
