"""The ledger in memory: for tests, and as the plainest statement of what a ledger does."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.core.patterns import matches
from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import Admission, Settlement, UsageRow

_Line = tuple[Admission, Settlement]

_GROUPS: Final[Mapping[str, Callable[[_Line], str]]] = {
    "team": lambda line: line[0].team,
    "model": lambda line: line[0].model,
    "key": lambda line: line[0].key_id,
    "endpoint": lambda line: line[0].endpoint,
    "day": lambda line: datetime.fromtimestamp(line[1].settled_at / 1000, UTC).date().isoformat(),
}

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

    async def admit(self, admission: Admission) -> None:
        self._admissions.setdefault(admission.attempt_id, admission)

    def settle(self, settlement: Settlement) -> None:
        self._settlements.setdefault(settlement.attempt_id, settlement)

    async def recover(self) -> Sequence[Admission]:
        return ()

    async def close(self) -> None:
        """Nothing is ever on its way."""

    async def usage(self, by: Sequence[str], since: int | None, until: int | None) -> Sequence[UsageRow]:
        unknown = [name for name in by if name not in _GROUPS]
        if unknown:
            raise ValueError(f"usage cannot be grouped by {unknown[0]!r}")
        groups: dict[tuple[str, ...], list[Settlement]] = {}
        for attempt_id, settlement in self._settlements.items():
            if (since is None or settlement.settled_at >= since) and (
                until is None or settlement.settled_at < until
            ):
                line = self._admissions[attempt_id], settlement
                groups.setdefault(tuple(_GROUPS[name](line) for name in by), []).append(settlement)
        return [_row(group, groups[group]) for group in sorted(groups)]

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
            (line.exchange_id, end.usage, end.cost)
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


def _row(group: tuple[str, ...], settlements: Sequence[Settlement]) -> UsageRow:
    usages = [settlement.usage for settlement in settlements]
    return UsageRow(
        group=group,
        attempts=len(settlements),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        images=sum(usage.images for usage in usages),
        audio_milliseconds=sum(usage.audio_milliseconds for usage in usages),
        characters=sum(usage.characters for usage in usages),
        cost=sum(settlement.cost or 0 for settlement in settlements),
        unpriced=sum(settlement.cost is None for settlement in settlements),
        estimated=sum(
            usage.source is not UsageSource.PROVIDER
            and usage.total_tokens + usage.images + usage.audio_milliseconds + usage.characters > 0
            for usage in usages
        ),
    )
