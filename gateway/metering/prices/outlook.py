"""What the price book holds at one moment, what has no price then, and what is about to change."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import Final

import msgspec

from gateway.core.policy import Catalogue, Model, Price, Rates
from gateway.metering.prices.pricing import line_for

DAYS: Final = 30
"""How far it looks ahead."""
_DAY: Final = 86_400.0

_Kind = tuple[str, str, int]
"""For which attempts a line holds, but for the days: upstream, tier, above."""


class Line(msgspec.Struct, frozen=True):
    """One line that holds, in micro-dollars: tokens and characters by the million, images by the piece, audio
    by the minute. What it does not price is left out.
    """

    tier: str
    """Empty: the standard one."""
    above: int
    upstream: str
    """Empty: any without lines of its own."""
    rates: dict[str, int]
    since: str | None
    """The first day, UTC; None: always."""
    until: str | None
    """The first day on which it no longer holds; None: nobody knows an end."""


class ModelPrices(msgspec.Struct, frozen=True):
    """A model, and its lines that hold: none when nothing is known of what it costs."""

    model: str
    lines: tuple[Line, ...]
    next_change: str | None
    """The next day on which one of its lines begins or ends, however far away."""


class Gap(msgspec.Struct, frozen=True):
    """Days on which a tier that the book has lines for has no price."""

    model: str
    tier: str
    since: str
    until: str | None


class Change(msgspec.Struct, frozen=True):
    """A price that another takes the place of. None: there is none."""

    day: str
    model: str
    tier: str
    above: int
    upstream: str
    before: dict[str, int] | None
    after: dict[str, int] | None


class Outlook(msgspec.Struct, frozen=True):
    """All of it. Days are `2026-12-24`, in UTC."""

    at: str
    price_version: str
    ceiling: dict[str, int] | None
    models: tuple[ModelPrices, ...]
    without_price: tuple[str, ...]
    """Models of the catalogue that have no price in the standard tier."""
    gaps: tuple[Gap, ...]
    """That begin within the next days, or are there."""
    changes: tuple[Change, ...]
    """Of the next days, in their order."""


def outlook(catalogue: Catalogue, at: float, days: int = DAYS) -> Outlook:
    """The book as it holds at this moment (seconds since 1970), and for so many days ahead."""
    models = [*catalogue.models.values()]
    end = at + days * _DAY
    changes = [change for model in models for change in _changes(model, at, end)]
    return Outlook(
        at=_day(at) or "",
        price_version=catalogue.price_version,
        ceiling=_priced(catalogue.ceiling) if catalogue.ceiling else None,
        models=tuple(_held(model, at) for model in models),
        without_price=tuple(model.name for model in models if line_for(model, at) is None),
        gaps=tuple(gap for model in models for gap in _gaps(model, at, end)),
        changes=tuple(sorted(changes, key=lambda change: change.day)),
    )


def _held(model: Model, at: float) -> ModelPrices:
    held = [line for line in model.prices if line.since <= at < line.until]
    later = [moment for moment in _moments(model) if moment > at]
    return ModelPrices(
        model=model.name,
        lines=tuple(_line(line) for line in sorted(held, key=_in_order)),
        next_change=_day(min(later)) if later else None,
    )


def _gaps(model: Model, at: float, end: float) -> Iterator[Gap]:
    """A model that the book does not name at all has none: it is without a price."""
    moments = [at, *sorted(moment for moment in _moments(model) if moment > at)]
    for tier in sorted({line.tier for line in model.prices}):
        since: float | None = None
        for moment in moments:
            priced = line_for(model, moment, tier) is not None
            if priced and since is not None:
                yield Gap(model.name, tier, _day(since) or "", _day(moment))
            since = None if priced else moment if since is None and moment <= end else since
        if since is not None:
            yield Gap(model.name, tier, _day(since) or "", None)


def _changes(model: Model, at: float, end: float) -> Iterator[Change]:
    for moment in sorted({moment for moment in _moments(model) if at < moment <= end}):
        for kind in sorted({_kind(line) for line in model.prices}):
            before, after = _of_kind(model, kind, moment - 1), _of_kind(model, kind, moment)
            if before != after:
                upstream, tier, above = kind
                yield Change(_day(moment) or "", model.name, tier, above, upstream, before, after)


def _of_kind(model: Model, kind: _Kind, at: float) -> dict[str, int] | None:
    held = (line for line in model.prices if _kind(line) == kind and line.since <= at < line.until)
    return next((_priced(line.rates) for line in held), None)


def _moments(model: Model) -> set[float]:
    """When its lines begin and end."""
    return {moment for line in model.prices for moment in (line.since, line.until) if isfinite(moment)}


def _kind(line: Price) -> _Kind:
    return line.upstream, line.tier, line.above


def _in_order(line: Price) -> tuple[str, str, int]:
    """As people read them: the standard tier first, short context before long."""
    return line.tier, line.upstream, line.above


def _line(line: Price) -> Line:
    return Line(
        tier=line.tier,
        above=line.above,
        upstream=line.upstream,
        rates=_priced(line.rates),
        since=_day(line.since),
        until=_day(line.until),
    )


def _priced(rates: Rates) -> dict[str, int]:
    return {unit: price for unit, price in asdict(rates).items() if price is not None}


def _day(moment: float) -> str | None:
    return datetime.fromtimestamp(moment, UTC).date().isoformat() if isfinite(moment) else None


def units_of(lines: Sequence[Line]) -> list[str]:
    """The units that any of these lines prices, in the order of `Rates`."""
    return [unit for unit in Rates.__dataclass_fields__ if any(unit in line.rates for line in lines)]
