"""Budgets as policy files spell them: what may be spent in a day, a week or a month, by the calendar."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Tag, ValidationInfo

from gateway.core.policy import Budget, Increase, Period
from gateway.policies.counting import UNITS, Counting, Scopes, exactly_one_of, microdollars
from gateway.policies.rule import EVERYTHING, OFF_TAG, NamePatterns, Rule, SwitchedOff, kinds_by_verb
from gateway.policies.zones import ZoneName

_BUDGET_UNITS: Final = ("dollars", *UNITS)
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?")

Amount = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Dollars = Annotated[Decimal, Field(gt=0, le=10**9, decimal_places=6)]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]


def _moment(text: Any) -> datetime:
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueError("must be a date, such as 2026-12-24, or a date and time, such as 2026-12-24T18:00")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is a day or a time that no calendar has") from None


def _rising(percents: tuple[int, ...]) -> tuple[int, ...]:
    if list(percents) != sorted(set(percents)):
        raise ValueError("must rise, such as [50, 80, 100]")
    return percents


Moment = Annotated[
    datetime,
    BeforeValidator(_moment, json_schema_input_type=Annotated[str, Field(pattern=f"^{_MOMENT.pattern}$")]),
]
Percents = Annotated[tuple[Percent, ...], AfterValidator(_rising)]


class _Spending(Counting[Amount]):
    model_config = ConfigDict(json_schema_extra=exactly_one_of(*_BUDGET_UNITS))

    dollars: Dollars | None = None
    """So many US dollars, with six decimal places at most. Every model that is counted must have a price."""

    @property
    def amount(self) -> int:
        return super().amount if self.dollars is None else microdollars(self.dollars)


class IncreaseSpelling(_Spending):
    """More, for a time; in its budget's own unit."""

    until: Moment
    """When it ends: a date (as that day begins in the budget's zone), or a date and time (of that zone,
    unless it says an offset or `Z`). One that has ended may stay."""
    reason: Annotated[str, Field(max_length=500)] = ""
    """For people."""

    def compiled(self, zone: ZoneInfo) -> Increase:
        until = self.until if self.until.tzinfo else self.until.replace(tzinfo=zone)
        return Increase(self.amount, int(until.timestamp()))


def _in_its_unit(increase: IncreaseSpelling, info: ValidationInfo) -> IncreaseSpelling:
    own = {unit for unit in _BUDGET_UNITS if info.data.get(unit) is not None}
    if own and own != increase.model_fields_set & set(_BUDGET_UNITS):
        raise ValueError(f"must say how many `{own.pop()}`, as its budget does")
    return increase


class BudgetRule(Rule, _Spending):
    """What may be spent in a day, a week or a month."""

    per: Scopes
    """Whom it counts together, as for limits."""
    every: Period
    """How long it lasts, by the calendar: a `day` from midnight, a `week` from Monday, a `month` from its
    first day."""
    zone: ZoneName = "UTC"
    """The time zone whose calendar it is, by its IANA name, such as `Europe/Berlin`."""
    alert_at: Percents = (80, 100)
    """Percent of the amount at which somebody is told."""
    strict: Annotated[bool, Field(strict=True)] = False
    """Whether the most that a request can cost is held, and not what it is expected to cost: such a budget is
    never overspent. The models that it counts must have `max_output`."""
    increases: list[Annotated[IncreaseSpelling, AfterValidator(_in_its_unit)]] = Field(default_factory=list)
    """More of it, each until a day or a moment. Those that have not ended add up."""
    models: NamePatterns = EVERYTHING
    """The models that it counts. `*` stands for any run of characters."""

    @property
    def pace(self) -> dict[str, Any]:
        """What must be the same wherever it shares a counter with others."""
        return {"every": self.every, "zone": self.zone, "models": self.models}

    def _compiled(self, name: str) -> tuple[Budget, ...]:
        budget = Budget(
            name=name,
            counts=self.counts,
            per=self.per,
            amount=self.amount,
            period=self.every,
            zone=self.zone,
            mode=self.mode,
            models=self.models,
            strict=self.strict,
            alert_at=self.alert_at,
            increases=tuple(increase.compiled(ZoneInfo(self.zone)) for increase in self.increases),
        )
        return (budget,)


BudgetSpelling = Annotated[
    Annotated[BudgetRule, Tag("(budget)")] | Annotated[SwitchedOff, Tag(OFF_TAG)],
    kinds_by_verb(budget=_BUDGET_UNITS),
]
