"""The ledger in memory: for tests, and as the plainest statement of what a ledger does."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import add
from types import MappingProxyType
from typing import Final

from gateway.core.patterns import matches
from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import GROUPS, NARROWING, Adjustment, Admission, Settlement, UsageRow

_Line = tuple[Admission, Settlement]

_GROUPS: Final[Mapping[str, Callable[[_Line], str]]] = {
    "team": lambda line: line[0].team,
    "user": lambda line: line[0].subject,
    "key": lambda line: line[0].key_id,
    "model": lambda line: line[0].model,
    "endpoint": lambda line: line[0].endpoint,
    "upstream": lambda line: line[0].upstream,
    "tier": lambda line: line[1].service_tier or "",
    "day": lambda line: _settled_at(line).date().isoformat(),
    "month": lambda line: f"{_settled_at(line):%Y-%m}",
}

_MEASURES: Final = tuple(field.name for field in fields(UsageRow) if field.name != "group")

_Spent = tuple[Usage, int | None]

_UNITS: Final[Mapping[Counted, Callable[[Usage, int | None], int]]] = {
    Counted.TOKENS: lambda usage, _: usage.total_tokens,
    Counted.INPUT_TOKENS: lambda usage, _: usage.input_tokens,
    Counted.OUTPUT_TOKENS: lambda usage, _: usage.output_tokens,
    Counted.IMAGES: lambda usage, _: usage.images,
    Counted.AUDIO_SECONDS: lambda usage, _: -(-usage.audio_milliseconds // 1000),
    Counted.DOLLARS: lambda _, cost: cost or 0,
}
"""What an attempt spends, in the units that have sums. Requests are counted."""


class MemoryLedger:
    """A Ledger, its UsageReports, and the books that budgets are loaded from. Nothing of it outlives the
    process, so there is nothing to recover."""

    def __init__(self) -> None:
        self._admissions: dict[str, Admission] = {}
        self._settlements: dict[str, Settlement] = {}
        self._adjustments: dict[str, Adjustment] = {}

    async def admit(self, admission: Admission) -> None:
        self._admissions.setdefault(admission.attempt_id, admission)

    def settle(self, settlement: Settlement) -> None:
        self._settlements.setdefault(settlement.attempt_id, settlement)

    def adjust(self, adjustment: Adjustment) -> None:
        """Write a correction. It is one, however often it is written."""
        self._adjustments.setdefault(adjustment.id, adjustment)

    async def recover(self) -> Sequence[Admission]:
        return ()

    async def flush(self) -> None:
        """Nothing is ever on its way."""

    async def close(self) -> None:
        """Nothing is ever on its way."""

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        _check(by, GROUPS)
        _check(only, NARROWING)
        groups: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for line in self._lines():
            at = line[1].settled_at
            if (since is None or at >= since) and (until is None or at < until) and _is_of(only, line):
                sums = groups[tuple(_GROUPS[name](line) for name in by)]
                sums.update(_measures(line))
                for adjustment in self._corrections(line[1]):
                    sums.update(_corrected(adjustment))
        return [
            UsageRow(group, **{name: groups[group][name] for name in _MEASURES}) for group in sorted(groups)
        ]

    def _lines(self) -> Iterator[_Line]:
        for attempt_id, settlement in self._settlements.items():
            yield self._admissions[attempt_id], settlement

    def _corrections(self, settlement: Settlement) -> Iterator[Adjustment]:
        return (each for each in self._adjustments.values() if each.attempt_id == settlement.attempt_id)

    async def unsettled(self) -> Sequence[Admission]:
        return [admission for key, admission in self._admissions.items() if key not in self._settlements]

    async def spending(self, query: SpendingQuery) -> Spending:
        """As `SqlBooks.spending`."""
        since, until = query.since * 1000, query.until * 1000
        lines = [
            (admission, self._settlements.get(attempt_id))
            for attempt_id, admission in self._admissions.items()
            if _is_about(query, admission)
        ]
        under_way = _by_exchange(
            (line.exchange_id, line.estimate, line.estimated_cost) for line, end in lines if not end
        )
        settled = _by_exchange(
            (line.exchange_id, *self._spent(end))
            for line, end in lines
            if end and since <= end.settled_at < until
        )
        if query.counts is Counted.REQUESTS:
            spent = len(settled.keys() - under_way.keys())
            return Spending(spent, tuple(UnderWay(each, 1) for each in under_way))
        count = _UNITS[query.counts]
        sums = {each: sum(count(usage, cost) for usage, cost in spents) for each, spents in under_way.items()}
        spent = sum(count(usage, cost) for spents in settled.values() for usage, cost in spents)
        return Spending(spent, tuple(UnderWay(*each) for each in sums.items()))

    def _spent(self, settlement: Settlement) -> _Spent:
        """What a settlement says, corrected."""
        usage, cost = settlement.usage, settlement.cost
        for each in self._corrections(settlement):
            usage = Usage(each.usage.source, *map(add, usage[1:], each.usage[1:]))
            cost = (cost or 0) + each.cost
        return usage, cost


def _is_about(query: SpendingQuery, admission: Admission) -> bool:
    asked = query.team, query.subject, query.key_id, query.model
    found = admission.team, admission.subject, admission.key_id, admission.model
    return matches(query.models, admission.model) and all(
        wanted is None or wanted == value for wanted, value in zip(asked, found, strict=True)
    )


def _by_exchange(spents: Iterable[tuple[str, Usage, int | None]]) -> Mapping[str, Sequence[_Spent]]:
    exchanges: dict[str, list[_Spent]] = {}
    for exchange_id, usage, cost in spents:
        exchanges.setdefault(exchange_id, []).append((usage, cost))
    return exchanges


def _check(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no `{name}` in a usage report, only {', '.join(known)}")


def _is_of(only: Mapping[str, str], line: _Line) -> bool:
    return all(_GROUPS[name](line) == value for name, value in only.items())


def _measures(line: _Line) -> Mapping[str, int]:
    admission, settlement = line
    usage = settlement.usage
    used = usage.total_tokens + usage.images + usage.audio_milliseconds + usage.characters > 0
    return {
        **_units(usage),
        "attempts": 1,
        "requests": int(admission.number == 1),
        "cost": settlement.cost or 0,
        "unpriced": int(settlement.cost is None),
        "estimated": int(usage.source is not UsageSource.PROVIDER and used),
    }


def _corrected(adjustment: Adjustment) -> Mapping[str, int]:
    sums = {name: getattr(adjustment, name) for name in ("cost", "unpriced", "estimated")}
    return {**_units(adjustment.usage), **sums}


def _units(usage: Usage) -> Mapping[str, int]:
    return {name: value for name, value in usage._asdict().items() if name != "source"}


def _settled_at(line: _Line) -> datetime:
    return datetime.fromtimestamp(line[1].settled_at / 1000, UTC)
