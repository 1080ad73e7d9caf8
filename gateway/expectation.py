"""What an exchange is expected to spend, and the most that it can: reckoned once, before anything is held.

What is reserved, what goes on record with the admission and what is settled by if nobody knows better are the
same numbers.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.core.call import Call, Form
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Meter
from gateway.core.errors import ErrorCode
from gateway.core.patterns import matches
from gateway.core.policy import Budget, Counted, Model, Policy, Rates, Unpriced
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.limits.amounts import Amounts, amounts_of
from gateway.limits.estimate import TypicalOutputs, cap_of, expected_output, most_input, most_output
from gateway.metering.prices.bounds import has_token_prices, highest_cost, possible_rates
from gateway.metering.prices.pricing import asked_tier, charge, has_price, line_for
from gateway.metering.usage import bounded, estimate
from gateway.wire.tokens import Tokenizer, roughly

_CERTAIN: Final = frozenset({Counted.REQUESTS, Counted.IMAGES})
"""What is known exactly beforehand."""
_SPARSEST_AUDIO: Final = 8
"""A file of 8 kbit/s, which is the least that MP3 has, lasts so much longer than is expected of its size."""


class Expected(NamedTuple):
    """What one exchange will probably spend."""

    usage: Usage
    cost: int | None
    """Micro-dollars; None is unpriced."""
    amounts: Amounts
    bound: Amounts | None = None
    """The most that it can spend; reckoned for strict budgets alone."""
    denials: tuple[Deny, ...] = ()
    """Of a policy that refuses what has no price; of strict budgets, when there is no most."""


class Expectations:
    """Says beforehand what exchanges spend."""

    def __init__(self, *, outputs: TypicalOutputs, tokenizer: Tokenizer) -> None:
        self._outputs = outputs
        self._tokenizer = tokenizer

    def of(self, principal: Principal, policy: Policy, call: Call, model: Model, at: float) -> Expected:
        """`call` as it will be sent, `at` a moment in seconds since 1970: the prices of then hold."""
        usage, tier = bounded(self._usage(principal, call, model)), asked_tier(call)
        cost, _, _ = charge(
            usage,
            model,
            call.endpoint.meter,
            catalogue=policy.catalogue,
            at=at,
            tier=tier,
            unpriced=policy.unpriced,
        )
        amounts = amounts_of(usage, cost)
        denials = _unpriced(call, model, at, tier) if policy.unpriced is Unpriced.REFUSE else ()
        strict = _strict(policy.budgets, model) if policy.budgets else None
        if not strict:
            return Expected(usage, cost, amounts, denials=denials)
        most = _most(usage, call, model, possible_rates(model, policy, at), self._tokenizer)
        if most is None:
            denials += tuple(_boundless(budget, call) for budget in strict)
            return Expected(usage, cost, amounts, denials=denials)
        rates = possible_rates(model, policy, at, most.input_tokens)
        bound = amounts_of(most, highest_cost(most, rates, call.endpoint.meter))
        return Expected(usage, cost, amounts, bound, denials)

    def _usage(self, principal: Principal, call: Call, model: Model) -> Usage:
        if call.endpoint.meter is not Meter.TOKENS:
            return _other_units(call)
        typical = self._outputs.of(principal, model, call)
        return Usage(
            UsageSource.ESTIMATED,
            input_tokens=roughly(call.texts),
            output_tokens=expected_output(call, model, typical),
        )


def _unpriced(call: Call, model: Model, at: float, tier: str | None) -> tuple[Deny, ...]:
    """A Deny (`model_not_allowed`) for what would be sent without a price. Free endpoints need none."""
    if call.endpoint.meter is Meter.FREE:
        return ()
    for asked in (None, tier):
        line = line_for(model, at, asked)
        if line is None or not has_price(line.rates, call.endpoint.meter):
            return (_no_price(model, None if asked is None else "service_tier"),)
    return ()


def _no_price(model: Model, tier: str | None) -> Deny:
    if tier is None:
        what, instead = "", "Use another model, or ask"
    else:
        what, instead = " in the service tier that you ask for", "Leave `service_tier` out, or ask"
    reason = (
        f"The model `{model.name}` has no price{what}, and your team may use only what has one. {instead} "
        "whoever runs the gateway to add it to the price book."
    )
    return Deny(ErrorCode.MODEL_NOT_ALLOWED, reason, "unpriced", param=tier or "model")


def _other_units(call: Call) -> Usage:
    """What the endpoint is billed by when it is not tokens, as far as the request tells."""
    text = call.get("input")
    return estimate(
        call.endpoint.meter,
        images=_whole(call.get("n"), default=1),
        characters=len(text) if isinstance(text, str) else 0,
        audio_bytes=sum(size for _, size in call.body.files) if isinstance(call.body, Form) else 0,
    )


def _strict(budgets: Iterable[Budget], model: Model) -> list[Budget]:
    """The budgets that hold the most that such an exchange can spend."""
    return [
        budget
        for budget in budgets
        if budget.strict
        and budget.counts not in _CERTAIN
        and budget.mode is not Mode.OFF
        and matches(budget.models, model.name)
    ]


def _most(
    expected: Usage, call: Call, model: Model, rates: Sequence[Rates], tokenizer: Tokenizer
) -> Usage | None:
    """The most of every unit; None when one has no bound. Models that are billed by tokens where the endpoint
    counts something else may take all that they can."""
    asked: int | None = 0
    answered: int | None = 0
    if call.endpoint.meter is Meter.TOKENS:
        asked, answered = most_input(call, model, tokenizer), most_output(call, model)
    elif call.endpoint.meter is not Meter.FREE and has_token_prices(rates):
        asked, answered = model.context_window, model.max_output
    if asked is None or answered is None:
        return None
    most = expected._replace(
        input_tokens=asked,
        output_tokens=answered * max(1, expected.images),
        audio_milliseconds=expected.audio_milliseconds * _SPARSEST_AUDIO,
    )
    return bounded(most)


def _boundless(budget: Budget, call: Call) -> Deny:
    reason = (
        f"The budget `{budget.name}` is strict: it has to be known what a request can cost at most, and of "
        f"this one it is not. Send `{cap_of(call)}`, and no tools or content that only the provider sees."
    )
    rule = f"budgets.{budget.name}"
    return Deny(ErrorCode.REQUEST_EXCEEDS_LIMIT, reason, rule, budget.mode, param=cap_of(call))


def _whole(value: object, *, default: int) -> int:
    """A count as JSON or a form spells it."""
    return int(text) if (text := str(value)).isdecimal() else default
