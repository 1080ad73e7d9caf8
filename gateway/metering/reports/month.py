"""A month of the calendar, in UTC: the period by which finance closes its books."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from gateway.metering.reports.ranges import DAY

_WRITTEN: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """From its first midnight until the next month's."""

    year: int
    number: int
    """1 is January."""

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @classmethod
    def written(cls, text: str) -> Self:
        """`2026-10`. Raises ValueError, with a sentence."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or not 1970 <= int(found[1]) < 9999:
            shown = "".join(char if char.isprintable() else "?" for char in text[:40])
            raise ValueError(f"`{shown}` is no month. Write it as 2026-10.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, moment: int) -> Self:
        """The month of a moment, in milliseconds since 1970."""
        at = datetime.fromtimestamp(moment / 1000, UTC)
        return cls(at.year, at.month)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def begins(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def since(self) -> int:
        """Its first millisecond since 1970."""
        return int(self.begins.timestamp()) * 1000

    @property
    def until(self) -> int:
        """The first millisecond that is not in it any more."""
        return self.next.since

    @property
    def first_day(self) -> int:
        """Days since 1970."""
        return self.since // DAY

    @property
    def end_day(self) -> int:
        """The first day that is not in it any more."""
        return self.until // DAY
