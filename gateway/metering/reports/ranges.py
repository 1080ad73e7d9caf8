"""From when until when, as people write it: `2026-10-01`, `2026-10`, `30d`, `12h`. All of it in UTC.

`since` is included and `until` is not: October is from `2026-10` until `2026-11`. Days begin at midnight, so
`30d` is the beginning of the day that was thirty days ago; hours are counted from this moment.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

DAY: Final = 86_400_000
"""Milliseconds of a day."""

FORMS: Final = "Write a day (2026-10-01), a month (2026-10), or how far back (30d, 12h)."
"""What can be written, for whoever wrote something else."""

_BACK: Final = re.compile(r"([0-9]{1,5})([dh])", re.ASCII)
_CALENDAR: Final = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """Milliseconds since 1970; None has no end on that side."""

    since: int | None = None
    """The first that is in it."""
    until: int | None = None
    """The first that is not in it any more."""

    def __str__(self) -> str:
        """For a sentence: "from 2026-10-01 up to, and without, 2026-11-01 (UTC)"."""
        begins = "from the beginning" if self.since is None else f"from {_spelled(self.since)}"
        ends = "until now" if self.until is None else f"up to, and without, {_spelled(self.until)}"
        return f"{begins} {ends} (UTC)"

    @property
    def days(self) -> bool:
        """Whether it begins and ends with days, in UTC."""
        return (self.since or 0) % DAY == 0 and (self.until or 0) % DAY == 0


def parse_range(since: str | None, until: str | None, *, now: float) -> Range:
    """What was written for both ends; None: no end. `now`: seconds since 1970.

    Raises ValueError, with a sentence, for what is no time, and for a range that ends before it begins.
    """
    begins = None if since is None else parse_moment(since, now=now)
    ends = None if until is None else parse_moment(until, now=now)
    if begins is not None and ends is not None and begins >= ends:
        raise ValueError(
            f"since `{since}` until `{until}` is no time at all: the end, which is not included, "
            "must be after the beginning."
        )
    return Range(begins, ends)


def parse_moment(text: str, *, now: float) -> int:
    """Milliseconds since 1970. Raises ValueError, with a sentence."""
    written = text.strip()
    if back := _BACK.fullmatch(written):
        return _back(written, int(back[1]), back[2], int(now * 1000))
    if date := _CALENDAR.fullmatch(written):
        return _midnight(written, int(date[1]), int(date[2]), int(date[3] or 1))
    raise ValueError(f"`{_short(text)}` is no time. {FORMS}")


def _back(written: str, amount: int, unit: str, now: int) -> int:
    moment = now // DAY * DAY - amount * DAY if unit == "d" else now - amount * 3_600_000
    if moment < 0:
        raise ValueError(f"`{written}` is before 1970. {FORMS}")
    return moment


def _midnight(written: str, year: int, month: int, day: int) -> int:
    try:
        moment = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        raise ValueError(f"`{written}` is not in the calendar. {FORMS}") from None
    if year < 1970:
        raise ValueError(f"`{written}` is before 1970. {FORMS}")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _spelled(moment: int) -> str:
    at = datetime.fromtimestamp(moment / 1000, UTC)
    return f"{at:%Y-%m-%d}" if moment % DAY == 0 else f"{at:%Y-%m-%d %H:%M}"


def _short(text: str) -> str:
    """What was written, as far as a sentence bears it."""
    return "".join(char if char.isprintable() else "?" for char in text[:40])
