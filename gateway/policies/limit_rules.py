"""Limits as policy files spell them: so much in a time, or requests under way at once."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, Tag

from gateway.core.policy import Counted, Limit
from gateway.policies.counting import UNITS, Counting, Scopes, exactly_one_of
from gateway.policies.rule import EVERYTHING, OFF_TAG, NamePatterns, Rule, SwitchedOff, kinds_by_verb

SECONDS: Final = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}

Amount = Annotated[int, Field(strict=True, ge=1, le=10**9)]
"""Up to where buckets are exact."""


class _Limit(Rule):
    per: Scopes
    """Whom it counts together: `key`, `user`, `team`, `model` (of the team) or `organization`. Several narrow
    each other: `[user, model]` counts each user on each model."""
    models: NamePatterns = EVERYTHING
    """The models that it counts. `*` stands for any run of characters."""


class RateLimit(_Limit, Counting[Amount]):
    """So much in a time, which comes back bit by bit."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of(*UNITS))

    every: Literal["second", "minute", "hour", "day"] = "minute"
    """The time in which the amount comes back, bit by bit."""
    burst: Amount | None = None
    """What may be spent at once; the whole amount when it is not said."""

    @property
    def pace(self) -> dict[str, Any]:
        """What must be the same wherever it shares a counter with others."""
        return {self.counts: self.amount, "every": self.every}

    def _compiled(self, name: str) -> tuple[Limit, ...]:
        limit = Limit(
            name=name,
            counts=self.counts,
            per=self.per,
            amount=self.amount,
            seconds=SECONDS[self.every],
            burst=self.burst or self.amount,
            mode=self.mode,
            models=self.models,
        )
        return (limit,)


class ConcurrencyLimit(_Limit):
    """So many requests under way at once."""

    concurrent: Amount
    """Requests under way at once; a stream counts until its end."""

    @property
    def counts(self) -> Counted:
        return Counted.CONCURRENT

    @property
    def pace(self) -> dict[str, Any]:
        """Slots are there or taken, whoever looks."""
        return {}

    def _compiled(self, name: str) -> tuple[Limit, ...]:
        limit = Limit(
            name=name,
            counts=self.counts,
            per=self.per,
            amount=self.concurrent,
            mode=self.mode,
            models=self.models,
        )
        return (limit,)


LimitSpelling = Annotated[
    Annotated[RateLimit, Tag("(rate)")]
    | Annotated[ConcurrencyLimit, Tag("(concurrent)")]
    | Annotated[SwitchedOff, Tag(OFF_TAG)],
    kinds_by_verb("concurrent", rate=UNITS),
]
