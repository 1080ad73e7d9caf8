"""Makes ledger lines of what happened: the one place that knows which fact goes into which column.

What comes from outside (a name that a client chose, an id from an upstream's header, a count from its
answer) is brought within bounds here, so that no line can be refused by the database for what it says.
"""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.attempt import Attempt, Cause
from gateway.core.clock import Clock
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.exchange import Exchange
from gateway.core.usage import Observed, Usage
from gateway.metering.interfaces import Admission, Ledger, PricedBy, Settlement
from gateway.metering.prices.pricing import Charge, charge
from gateway.metering.usage import bounded

_LONGEST = 200
"""Characters of a text that others chose."""

_RETRY_AFTER = 1.0
_UNPRICED: Final = frozenset({PricedBy.NOTHING, PricedBy.CEILING})


def _nobody(model: str, tier: str, priced_by: str) -> None:
    """Who is told of what has no price when nobody wants to know."""


class Recorder:
    """Writes down what every attempt cost: once before it is sent, once when it is over."""

    def __init__(
        self, *, ledger: Ledger, clock: Clock, on_unpriced: Callable[[str, str, str], None] = _nobody
    ) -> None:
        """`on_unpriced`: told the model and the service tier of each attempt that the price book does not
        price, and what was charged instead (`PricedBy`)."""
        self._ledger = ledger
        self._clock = clock
        self._on_unpriced = on_unpriced

    async def admit(
        self, exchange: Exchange, attempt: Attempt, estimate: Usage, estimated_cost: int | None
    ) -> None:
        """Returns when it is on record that the attempt will be made; only then may a byte go upstream.

        `estimate` (within bounds: see `usage.bounded`) and its cost are what it is settled with if this
        process dies. Raises Refused (`metering_unavailable`): what cannot be metered is not sent.
        """
        try:
            await self._ledger.admit(self._admission(exchange, attempt, estimate, estimated_cost))
        except StoreUnavailable as error:
            raise Refused(
                ErrorCode.METERING_UNAVAILABLE,
                "The gateway cannot record usage at the moment, so nothing was sent. Send the request again.",
                retry_after=_RETRY_AFTER,
            ) from error

    def settle(self, exchange: Exchange, attempt: Attempt, usage: Usage, cause: Cause) -> None:
        """Hand over what became of an admitted attempt, whose `usage` and `cost` are then known. Never waits,
        never fails.
        """
        observed = exchange.observed or Observed()
        attempt.usage = usage = bounded(usage)
        charged = _charged(exchange, attempt, usage, observed.service_tier)
        attempt.cost = charged.cost
        if charged.by in _UNPRICED:
            name = exchange.model.name if exchange.model else ""
            self._on_unpriced(name, _text(observed.service_tier) or "", charged.by.value)
        self._ledger.settle(
            Settlement(
                attempt_id=attempt.id,
                settled_at=self._milliseconds(),
                cause=cause,
                status=attempt.status,
                usage=usage,
                cost=charged.cost,
                answered_model=_text(observed.model),
                service_tier=_text(observed.service_tier),
                upstream_request_id=_text(attempt.upstream_request_id),
                priced_by=charged.by,
                price_version=charged.version,
            )
        )

    async def recover(self) -> Sequence[Admission]:
        """Settle what dead processes left unsettled: these attempts. Raises StoreUnavailable."""
        return await self._ledger.recover()

    def _admission(
        self, exchange: Exchange, attempt: Attempt, estimate: Usage, estimated_cost: int | None
    ) -> Admission:
        endpoint, principal, policy = exchange.endpoint, exchange.principal, exchange.policy
        if endpoint is None or principal is None or policy is None:
            raise RuntimeError(
                "an attempt is made only when it is decided who asks, for what, and by which policy"
            )
        attempt.admitted_at = self._milliseconds()
        return Admission(
            attempt_id=attempt.id,
            exchange_id=exchange.id,
            number=attempt.number,
            admitted_at=attempt.admitted_at,
            team=principal.team,
            key_id=principal.key_id,
            subject=principal.subject,
            endpoint=endpoint.name,
            asked_model=_text(exchange.asked_model) or "",
            model=exchange.model.name if exchange.model else "",
            upstream=attempt.upstream,
            policy_version=policy.version,
            stream=exchange.call is not None and exchange.call.stream,
            estimate=estimate,
            estimated_cost=estimated_cost,
            retry_of=exchange.attempts[-1].id if exchange.attempts else None,
        )

    def _milliseconds(self) -> int:
        return int(self._clock.now() * 1000)


def _charged(exchange: Exchange, attempt: Attempt, usage: Usage, tier: str | None) -> Charge:
    """By the price book that was in force when the request arrived, as of the attempt's admission."""
    policy = exchange.policy
    if policy is None:
        raise RuntimeError("an exchange without a policy has no attempts")
    return charge(
        usage,
        exchange.model,
        _endpoint(exchange).meter,
        catalogue=policy.catalogue,
        at=attempt.admitted_at / 1000,
        tier=tier,
        upstream=attempt.upstream,
        unpriced=policy.unpriced,
    )


def _endpoint(exchange: Exchange) -> Endpoint:
    if exchange.endpoint is None:
        raise RuntimeError("an exchange without an endpoint has no attempts")
    return exchange.endpoint


def _text(text: str | None) -> str | None:
    """At most so long, and nothing that is not text: no NUL, no halves of characters."""
    if text is None:
        return None
    text = text[:_LONGEST]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
