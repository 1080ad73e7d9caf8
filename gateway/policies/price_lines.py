"""`prices.yaml`: the price book, in lines. The law: of one model's lines, one at most fits any attempt.

A line says what units cost; for which days, service tier, length of input and upstream it holds, if not for
all. It is read as it stands: nothing is inherited from another line.
"""

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import inf
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.core.policy import Price, Rates
from gateway.policies.counting import microdollars
from gateway.policies.rule import Node

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@._:/+-]{0,127}$")]
Dollars = Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=6)]
InputTokens = Annotated[int, Field(strict=True, ge=1, le=10**9)]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_STANDARD: Final = frozenset({"auto", "default", "standard"})


def _day(text: Any) -> date:
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ValueError("must be a date, such as 2026-12-24")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is a day that no calendar has") from None


def _is_another(tier: str) -> str:
    if tier in _STANDARD:
        raise ValueError("is the standard tier: leave `tier` out")
    return tier


def _midnight(day: date) -> float:
    """Seconds since 1970 with which a day begins, UTC."""
    return datetime.combine(day, time(), UTC).timestamp()


Day = Annotated[
    date, BeforeValidator(_day, json_schema_input_type=Annotated[str, Field(pattern=f"^{_DAY.pattern}$")])
]
Tier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$"), AfterValidator(_is_another)]


class RatesSpelling(Node):
    """US dollars: tokens and characters by the million, images by the piece, audio by the minute."""

    input: Dollars | None = None
    """A million tokens of input."""
    cached_input: Dollars | None = None
    """A million tokens of input that the provider had in its cache; as `input` unless it is said."""
    cache_write: Dollars | None = None
    """A million tokens of input that the provider put into its cache; as `input` unless it is said."""
    audio_input: Dollars | None = None
    """A million tokens of audio that is asked; as `input` unless it is said."""
    image_input: Dollars | None = None
    """A million tokens of images that are asked; as `input` unless it is said."""
    output: Dollars | None = None
    """A million tokens of output, reasoning included."""
    audio_output: Dollars | None = None
    """A million tokens of audio that is answered; as `output` unless it is said."""
    image_output: Dollars | None = None
    """A million tokens of images that are answered; as `output` unless it is said."""
    image: Dollars | None = None
    """One image, where answers tell no tokens."""
    audio_minute: Dollars | None = None
    """A minute of audio, where answers tell no tokens."""
    characters: Dollars | None = None
    """A million characters to be spoken, where answers tell no tokens."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, unit) is not None for unit in RatesSpelling.model_fields):
            raise ValueError("must say what something costs: `input`, `output` ...; 0 is a price")
        return self

    def compiled(self) -> Rates:
        said = {unit: getattr(self, unit) for unit in RatesSpelling.model_fields}
        return Rates(**{unit: microdollars(dollars) for unit, dollars in said.items() if dollars is not None})


class LineSpelling(RatesSpelling):
    """One line of a model."""

    from_: Day | None = Field(None, alias="from")
    """The first day (UTC) on which it holds; always, unless it is said."""
    until: Day | None = None
    """The day (UTC) with which it ends: the first on which it no longer holds."""
    tier: Tier | None = None
    """The service tier that it is for, as answers name it: `flex`, `priority`; the standard one, unless it is
    said."""
    above: InputTokens | None = None
    """Long context: it holds for the whole of an attempt with more input tokens than this."""
    upstream: str | None = None
    """The configured upstream that it is for; any without lines of its own, unless it is said."""

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.from_ and self.until and self.until <= self.from_:
            raise ValueError("`until` must be later than `from`: it is the first day on which it ends")
        return self

    @property
    def kind(self) -> tuple[str, str, int]:
        """For which attempts it holds, but for the days."""
        return self.upstream or "", self.tier or "", self.above or 0

    @property
    def since(self) -> float:
        return _midnight(self.from_) if self.from_ else -inf

    @property
    def end(self) -> float:
        return _midnight(self.until) if self.until else inf

    def price(self) -> Price:
        upstream, tier, above = self.kind
        return Price(
            self.compiled(), since=self.since, until=self.end, tier=tier, above=above, upstream=upstream
        )


def _listed(lines: Any) -> Any:
    return [lines] if isinstance(lines, dict) else lines


Lines = Annotated[
    list[LineSpelling],
    Field(min_length=1, max_length=1_000),
    BeforeValidator(_listed, json_schema_input_type=LineSpelling | list[LineSpelling]),
]


class Prices(Node):
    """`prices.yaml`: what the models of models.yaml cost."""

    ceiling: RatesSpelling | None = None
    """What is charged for what has no price, where a policy says `unpriced: ceiling`."""
    models: dict[ModelName, Lines] = Field(default_factory=dict)
    """The lines of each model: one, or a list."""

    def lines_of(self, model: str) -> tuple[Price, ...]:
        """The more particular first: an upstream's own before those of any, long context before short."""
        lines = [line.price() for line in self.models.get(model, ())]
        return tuple(sorted(lines, key=lambda line: (not line.upstream, -line.above)))


NO_PRICES: Final = Prices()
