"""`GET /admin/usage?by=team,model&since=2026-10&until=2026-11&team=search`: sums of the ledger.

The parameters are the options of `gateway usage`, and more to narrow it by. A wrong question is a 400 that
says what can be asked.
"""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from multidict import MultiMapping

from gateway.metering.interfaces import NARROWING, UsageReports
from gateway.metering.reports.ranges import Range, parse_range
from gateway.metering.reports.records import as_record

_PARAMETERS: Final = ("by", "since", "until", "days", *NARROWING)
_LONGEST: Final = 256
"""Characters of a value."""
_DEFAULT_DAYS: Final = "30"
_MOST_DAYS: Final = 3660


async def usage_answer(reports: UsageReports, query: MultiMapping[str], *, now: float) -> dict[str, Any]:
    """The answer to a query string. `now`: seconds since 1970.

    Raises web.HTTPBadRequest with a sentence, and StoreUnavailable.
    """
    _check(query)
    by = [name.strip() for name in query.get("by", "team").split(",")]
    only = {name: query[name] for name in NARROWING if query.get(name)}
    try:
        asked = _range(query, now)
        rows = await reports.usage(by, asked.since, asked.until, only)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    records = [as_record(by, row) for row in rows]
    return {"by": by, "since": asked.since, "until": asked.until, "only": only, "rows": records}


def _check(query: MultiMapping[str]) -> None:
    for name, value in query.items():
        if name not in _PARAMETERS:
            raise web.HTTPBadRequest(text=f"There is no such parameter. There are: {', '.join(_PARAMETERS)}.")
        if len(value) > _LONGEST:
            raise web.HTTPBadRequest(text=f"{name} must have at most {_LONGEST} characters.")
    if len(query) > len(set(query)):
        raise web.HTTPBadRequest(text="Each parameter may be given once; several groups with commas.")
    if _repeated(query.get("by", "").split(",")):
        raise web.HTTPBadRequest(text="by: each group at most once.")


def _repeated(names: Sequence[str]) -> bool:
    return len({name.strip() for name in names}) < len(names)


def _range(query: MultiMapping[str], now: float) -> Range:
    """Raises ValueError."""
    days, since = query.get("days"), query.get("since")
    if since and days:
        raise ValueError("Say either days or since.")
    return parse_range(since or _days(days or _DEFAULT_DAYS), query.get("until") or None, now=now)


def _days(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 0 < int(text) <= _MOST_DAYS):
        raise ValueError(f"days must be a whole number from 1 to {_MOST_DAYS}.")
    return f"{text}d"
