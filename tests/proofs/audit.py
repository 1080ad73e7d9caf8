"""What the provider saw against what the ledger says, attempt by attempt."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, func, select

from gateway.core.usage import Usage
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, CHARGES, DAILY, SETTLEMENTS, UNDER_WAY
from gateway.simulator.log import Completion, SeenRequest

UNITS: Final = tuple(name for name in Usage._fields if name != "source")
COARSEST: Final = 4
"""Tokens of the models' vocabulary for one of the simulator's, at most."""


@dataclass(frozen=True)
class Books:
    """All that the ledger says."""

    lines: Mapping[str, Row[Any]]
    """Admission and settlement, by attempt."""
    adjustments: Sequence[Row[Any]]
    under_way: int
    charged: int
    sums: Mapping[str, int]
    """Of `daily`."""


def read_books(connection: Connection) -> Books:
    both = ADMISSIONS.outerjoin(SETTLEMENTS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)
    columns = [*ADMISSIONS.c, *[column for column in SETTLEMENTS.c if column.name != "attempt_id"]]
    lines = {row.attempt_id: row for row in connection.execute(select(*columns).select_from(both))}
    measures = ("attempts", "requests", *UNITS, "cost", "unpriced")
    sums = connection.execute(select(*(func.sum(DAILY.c[name]) for name in measures))).one()
    return Books(
        lines=lines,
        adjustments=connection.execute(select(ADJUSTMENTS)).all(),
        under_way=_count(connection, UNDER_WAY),
        charged=_count(connection, CHARGES),
        sums={name: int(value or 0) for name, value in zip(measures, sums, strict=True)},
    )


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


class Audit:
    """Sentences about what is wrong, and figures about what is right."""

    def __init__(self, books: Books, seen: Iterable[SeenRequest]) -> None:
        self._books = books
        self._seen = [(each.headers["x-client-request-id"], each) for each in seen]
        self.figures: Counter[str] = Counter()

    def findings(self) -> Iterator[str]:
        yield from self._missing()
        yield from self._twice()
        yield from self._open()
        yield from self._sums()
        for attempt_id, seen in self._seen:
            line = self._books.lines.get(attempt_id)
            if line is not None and line.cause is not None:
                yield from self._tokens(line, seen)

    def _missing(self) -> Iterator[str]:
        for attempt_id, seen in self._seen:
            if attempt_id not in self._books.lines:
                yield f"{attempt_id} ({seen.raw_path}, {seen.completion.value}) is not in the ledger"

    def _twice(self) -> Iterator[str]:
        often = Counter(attempt_id for attempt_id, _ in self._seen)
        yield from (
            f"{attempt_id} was sent {times} times" for attempt_id, times in often.items() if times > 1
        )

    def _open(self) -> Iterator[str]:
        for line in self._books.lines.values():
            if line.cause is None:
                yield f"{line.attempt_id} of {line.worker} was never settled"
        if self._books.under_way:
            yield f"{self._books.under_way} attempts are still taken for under way"

    def _sums(self) -> Iterator[str]:
        """What is kept in other shapes says the same as the lines."""
        settled = [line for line in self._books.lines.values() if line.cause is not None]
        if self._books.charged != len(settled):
            yield f"{len(settled)} were settled, and {self._books.charged} charged"
        true = {
            "attempts": len(settled),
            "requests": sum(line.number == 1 for line in settled),
            **{unit: self._total(settled, unit) for unit in UNITS},
            "cost": self._total(settled, "cost"),
            "unpriced": sum(line.cost is None for line in settled)
            + sum(row.unpriced for row in self._books.adjustments),
        }
        for name, amount in true.items():
            if self._books.sums[name] != amount:
                yield f"the days' sums have {self._books.sums[name]} of {name}, the lines {amount}"

    def _total(self, settled: Iterable[Row[Any]], name: str) -> int:
        return sum(getattr(line, name) or 0 for line in settled) + sum(
            getattr(row, name) for row in self._books.adjustments
        )

    def _tokens(self, line: Row[Any], seen: SeenRequest) -> Iterator[str]:
        """What was completed is right to the token; what was cut, within what can be known."""
        self.figures[line.cause] += 1
        tokens = line.input_tokens, line.output_tokens
        if line.source == "provider" and seen.usage is not None:
            told = seen.usage.get("prompt_tokens", seen.usage.get("input_tokens"))
            answered = seen.usage.get("completion_tokens", seen.usage.get("output_tokens", 0))
            if tokens != (told, answered):
                yield f"{line.attempt_id}: the provider told {told} and {answered} tokens, not {tokens}"
            self.figures["right to the token"] += 1
            return
        completed = (
            line.cause == "served" and seen.completion is Completion.FINISHED and seen.usage is not None
        )
        if completed and line.status == 200:
            yield f"{line.attempt_id}: completed, and its usage is {line.source}"
        most = max(COARSEST * (seen.told_tokens + 1), line.estimated_output_tokens)
        if not 0 <= line.output_tokens <= most:
            yield (
                f"{line.attempt_id} ({line.cause}): {line.output_tokens} tokens, {seen.told_tokens} generated"
                f" and {line.estimated_output_tokens} reserved"
            )
        self.figures[f"within bounds ({line.source})"] += 1
