"""What an exchange is expected to spend, and the most that it can: reckoned once, before anything is held.

What is reserved, what goes on record with the admission and what is settled by if nobody knows better are the
same numbers.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.core.call import Call, Form
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Meter
from gateway.core.errors import ErrorCode
from gateway.core.patterns import matches
from gateway.core.policy import Budget, Counted, Model, Policy, Price
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.limits.amounts import Amounts, amounts_of
from gateway.limits.estimate import TypicalOutputs, cap_of, expected_output, most_input, most_output
from gateway.metering.prices.pricing import cost
from gateway.metering.usage import bounded, estimate
from gateway.wire.tokens import Tokenizer, roughly

_CERTAIN: Final = frozenset({Counted.REQUESTS, Counted.IMAGES})
"""What is known exactly beforehand."""
_SPARSEST_AUDIO: Final = 8
"""A file of 8 kbit/s, which is the least that MP3 has, lasts so much longer than is expected of its size."""
_NO_PRICE: Final = Price()


class Expected(NamedTuple):
    """What one exchange will probably spend."""

    usage: Usage
    cost: int | None
    """Micro-dollars; None is unpriced."""
    amounts: Amounts
    bound: Amounts | None = None
    """The most that it can spend; reckoned for strict budgets alone."""
    denials: tuple[Deny, ...] = ()
    """Of strict budgets, when there is no most."""


class Expectations:
    """Says beforehand what exchanges spend."""

    def __init__(self, *, outputs: TypicalOutputs, tokenizer: Tokenizer) -> None:
        self._outputs = outputs
        self._tokenizer = tokenizer

    def of(self, principal: Principal, policy: Policy, call: Call, model: Model) -> Expected:
        """`call` as it will be sent."""
        usage = bounded(self._usage(principal, call, model))
        price = cost(usage, model.price, call.endpoint.meter)
        amounts = amounts_of(usage, price)
        strict = _strict(policy.budgets, model) if policy.budgets else None
        if not strict:
            return Expected(usage, price, amounts)
        most = _most(usage, call, model, self._tokenizer)
        if most is None:
            denials = tuple(_boundless(budget, call) for budget in strict)
            return Expected(usage, price, amounts, denials=denials)
        return Expected(usage, price, amounts, amounts_of(most, _highest_cost(most, call, model)))

    def _usage(self, principal: Principal, call: Call, model: Model) -> Usage:
        if call.endpoint.meter is not Meter.TOKENS:
            return _other_units(call)
        typical = self._outputs.of(principal, model, call)
        return Usage(
            UsageSource.ESTIMATED,
            input_tokens=roughly(call.texts),
            output_tokens=expected_output(call, model, typical),
        )


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


def _most(expected: Usage, call: Call, model: Model, tokenizer: Tokenizer) -> Usage | None:
    """The most of every unit; None when one has no bound. Models that are billed by tokens where the endpoint
    counts something else may take all that they can."""
    asked: int | None = 0
    answered: int | None = 0
    if call.endpoint.meter is Meter.TOKENS:
        asked, answered = most_input(call, model, tokenizer), most_output(call, model)
    elif call.endpoint.meter is not Meter.FREE and _has_token_prices(model.price or _NO_PRICE):
        asked, answered = model.context_window, model.max_output
    if asked is None or answered is None:
        return None
    most = expected._replace(
        input_tokens=asked,
        output_tokens=answered * max(1, expected.images),
        audio_milliseconds=expected.audio_milliseconds * _SPARSEST_AUDIO,
    )
    return bounded(most)


def _highest_cost(most: Usage, call: Call, model: Model) -> int:
    """Whatever it is billed by, and of whatever kind its tokens turn out to be."""
    price = _dearest(model.price or _NO_PRICE)
    units = most._replace(input_tokens=0, output_tokens=0)
    return max(cost(each, price, call.endpoint.meter) or 0 for each in (most, units))


def _has_token_prices(price: Price) -> bool:
    return price.input is not None or price.output is not None


def _dearest(price: Price) -> Price:
    """Of each side the highest price."""
    asked = (price.input, price.cached_input, price.audio_input, price.image_input)
    answered = (price.output, price.audio_output, price.image_output)
    return Price(
        input=max((each for each in asked if each is not None), default=None),
        output=max((each for each in answered if each is not None), default=None),
        image=price.image,
        audio_minute=price.audio_minute,
        characters=price.characters,
    )


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
