"""Limits as policy files spell them: requests or tokens in a time, or requests under way at once."""

from typing import Annotated, Final, Literal

from pydantic import Field, Tag

from gateway.core.policy import Counted, Limit, Scope
from gateway.policies.rule import EVERYTHING, OFF_TAG, NamePatterns, Rule, SwitchedOff, kinds_by_verb

SECONDS: Final = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}

Amount = Annotated[int, Field(strict=True, ge=1, le=10**12)]


class _Limit(Rule):
    per: Scope
    """Whom it counts together: each `key`, the whole `team`, or each `model` of the team by itself."""
    models: NamePatterns = EVERYTHING
    """The models that it counts. `*` stands for any run of characters."""


class _Rate(_Limit):
    every: Literal["second", "minute", "hour", "day"] = "minute"
    """The time in which the amount comes back, bit by bit."""
    burst: Amount | None = None
    """What may be spent at once; the whole amount when it is not said."""

    def _rate(self, name: str, counts: Counted, amount: int) -> tuple[Limit, ...]:
        limit = Limit(
            name=name,
            counts=counts,
            per=(self.per,),
            amount=amount,
            seconds=SECONDS[self.every],
            burst=self.burst or amount,
            mode=self.mode,
            models=self.models,
        )
        return (limit,)


class RequestLimit(_Rate):
    """So many requests in a time."""

    requests: Amount
    """Requests in the time that `every` names."""

    def _compiled(self, name: str) -> tuple[Limit, ...]:
        return self._rate(name, Counted.REQUESTS, self.requests)


class TokenLimit(_Rate):
    """So many tokens in a time, input and output together."""

    tokens: Amount
    """Tokens in the time that `every` names."""

    def _compiled(self, name: str) -> tuple[Limit, ...]:
        return self._rate(name, Counted.TOKENS, self.tokens)


class ConcurrencyLimit(_Limit):
    """So many requests under way at once."""

    concurrent: Amount
    """Requests under way at once; a stream counts until its end."""

    def _compiled(self, name: str) -> tuple[Limit, ...]:
        limit = Limit(
            name=name,
            counts=Counted.CONCURRENT,
            per=(self.per,),
            amount=self.concurrent,
            mode=self.mode,
            models=self.models,
        )
        return (limit,)


LimitSpelling = Annotated[
    Annotated[RequestLimit, Tag("(requests)")]
    | Annotated[TokenLimit, Tag("(tokens)")]
    | Annotated[ConcurrencyLimit, Tag("(concurrent)")]
    | Annotated[SwitchedOff, Tag(OFF_TAG)],
    kinds_by_verb("requests", "tokens", "concurrent"),
]
