"""Usage by buckets of time, as OpenAI's usage API asks for it.

Whole days are read from the sums of days, which cost the same however many lines there are. Minutes, hours
and pieces of days are read from the lines, by the index on the time of settlement: those end by age, the sums
of days do not. A correction counts where its settlement counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, ColumnElement, Connection, FromClause, Select, cast, func, select

from gateway.core.clock import Clock
from gateway.core.usage_question import Sums, UsageQuestion, UsageSum, Whose
from gateway.database.deadline import deadline
from gateway.database.engine import Database
from gateway.database.tables import DAILY, SETTLEMENTS
from gateway.metering.reports.daily import (
    CORRECTED,
    CORRECTED_LINES,
    KEY,
    SETTLED,
    SETTLED_LINES,
    Columns,
    within,
)
from gateway.metering.reports.ranges import Range

MOST_SUMS: Final = 50_000
"""Of one answer."""

_DAY: Final = 86_400
_MILLISECONDS: Final = 1000

_Named = Mapping[Whose, ColumnElement[Any]]
_Key = tuple[int, tuple[str, ...]]


class TooManySums(Exception):
    """The answer would have more than `MOST_SUMS`."""


class LinesGone(Exception):
    """The lines of that time ended by age: of older usage there are the sums of whole days alone."""


class OrganizationUsage(Protocol):
    """Answers questions about usage."""

    async def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        """What was used, by bucket and group, sorted by both; no bucket and no group is empty.

        Raises TooManySums; LinesGone; StoreUnavailable when the store is away or the answer takes too long.
        """


class SqlOrganizationUsage:
    """OrganizationUsage over the house's database, also while other processes write."""

    def __init__(self, database: Database, *, clock: Clock, seconds: float) -> None:
        """`seconds`: how long a question may take."""
        self._database = database
        self._clock = clock
        self._seconds = seconds

    async def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        if not all(question.only.values()):
            return ()
        now = self._clock.now()

        def work(connection: Connection) -> Sequence[UsageSum]:
            with deadline(connection, self._seconds):
                return read_usage(connection, question, now)

        return await self._database.read(work, timeout=self._seconds)


def read_usage(connection: Connection, question: UsageQuestion, now: float) -> Sequence[UsageSum]:
    """The answer, by whoever may wait for it."""
    for since, until in _stretches_of_lines(question, now):
        if not _has_lines(connection, question, since, until):
            raise LinesGone
    queries = usage_queries(question, now)
    return _added_up(row for query in queries for row in connection.execute(query))


def usage_queries(question: UsageQuestion, now: float) -> Iterator[Select[Any]]:
    """What is to be read: bucket, groups and sums. A key may come from several, and is to be added up.

    Corrections are read before the settlements: one that comes in between is then missed, and never counted
    without what it corrects.
    """
    first, last = _whole_days(question, now)
    if first < last:
        yield _of_days(question, first, last)
    for since, until in _stretches_of_lines(question, now):
        yield from _of_lines(question, since, until)


def _whole_days(question: UsageQuestion, now: float) -> tuple[int, int]:
    """Days since 1970 that can be read as such. Today is one: nothing is settled after `now`."""
    if question.width != _DAY:
        return 0, 0
    until = question.until if question.until <= now else question.until + -question.until % _DAY
    return -(-question.since // _DAY), until // _DAY


def _stretches_of_lines(question: UsageQuestion, now: float) -> Iterator[tuple[int, int]]:
    """The rest, in seconds: before the first whole day, and after the last one."""
    first, last = (day * _DAY for day in _whole_days(question, now))
    if first >= last:
        yield question.since, question.until
        return
    if question.since < first:
        yield question.since, first
    if last < question.until:
        yield last, question.until


def _has_lines(connection: Connection, question: UsageQuestion, since: int, until: int) -> bool:
    """Whether every day that has sums for this question still has its lines: they go by whole days."""
    oldest = connection.execute(select(func.min(SETTLEMENTS.c.settled_at))).scalar()
    days = [DAILY.c.day >= since // _DAY, DAILY.c.day < -(-until // _DAY)]
    if oldest is not None:
        days.append(DAILY.c.day < oldest // (_DAY * _MILLISECONDS))
    gone = select(DAILY.c.day).where(*days, *_picked(question, _columns(DAILY.c))).limit(1)
    return connection.execute(gone).first() is None


def _of_days(question: UsageQuestion, first: int, last: int) -> Select[Any]:
    query = _grouped(question, DAILY.c.day * _DAY, _columns(DAILY.c), DAILY.c, DAILY)
    return query.where(DAILY.c.day >= first, DAILY.c.day < last)


def _of_lines(question: UsageQuestion, since: int, until: int) -> Iterator[Select[Any]]:
    bucket = SETTLEMENTS.c.settled_at // (question.width * _MILLISECONDS) * question.width
    asked = Range(since * _MILLISECONDS, until * _MILLISECONDS)
    for source, sums in ((CORRECTED_LINES, CORRECTED), (SETTLED_LINES, SETTLED)):
        query = _grouped(question, bucket, _columns(KEY), sums, source)
        yield query.where(*within(SETTLEMENTS.c.settled_at, asked))


def _columns(of: Columns) -> _Named:
    """Of `daily`, or of lines as its rows."""
    return {
        **{whose: of[whose] for whose in Whose},
        Whose.MODEL: func.coalesce(func.nullif(of["answered_model"], ""), of["model"]),
    }


def _grouped(
    question: UsageQuestion,
    bucket: ColumnElement[Any],
    columns: _Named,
    sums: Columns,
    source: FromClause,
) -> Select[Any]:
    keys = [bucket.label("bucket"), *(columns[whose].label(f"by_{whose}") for whose in question.by)]
    totals = [cast(func.sum(sums[name]), BigInteger).label(name) for name in Sums._fields]
    query = select(*keys, *totals).select_from(source).where(*_picked(question, columns))
    return query.group_by(*(key.name for key in keys)).limit(MOST_SUMS + 1)


def _picked(question: UsageQuestion, columns: _Named) -> list[ColumnElement[bool]]:
    return [columns[whose].in_(sorted(values)) for whose, values in question.only.items()]


def _added_up(rows: Iterable[Sequence[Any]]) -> Sequence[UsageSum]:
    added: dict[_Key, Sums] = {}
    for row in rows:
        size = len(row) - len(Sums._fields)
        key, sums = (int(row[0]), tuple(row[1:size])), Sums(*row[size:])
        known = added.get(key)
        added[key] = sums if known is None else Sums(*map(int.__add__, known, sums))
        if len(added) > MOST_SUMS:
            raise TooManySums
    return [UsageSum(bucket, group, sums) for (bucket, group), sums in sorted(added.items())]
