"""The query string of OpenAI's usage and costs API, read strictly: what is not understood is refused by name.
OpenAI does not publish what it does with parameters that it does not know; a filter that is misspelled and
passed over would answer with other people's figures.

Buckets begin by the clock, in UTC. The first and the last are cut to the time that was asked for, as OpenAI
cuts them; costs are told for whole days.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from struct import error as struct_error
from typing import Final
from urllib.parse import parse_qsl

from gateway.core.errors import ErrorCode, Refused

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400

_WIDTHS: Final[Mapping[str, int]] = {"1m": MINUTE, "1h": HOUR, "1d": DAY}
_MOST_FIELDS: Final = 1000
_DIGITS: Final = 11
"""Of a number: seconds until the year 5138."""
_LONGEST_SHOWN: Final = 80
_CURSOR: Final = Struct(">qq")
"""Where the next page begins, and where the last one ends: `end_time` may have been left to us."""
_CURSOR_MARK: Final = "page_"
_ALWAYS: Final = ("start_time", "end_time", "bucket_width", "limit", "page")
_SCALARS: Final = (*_ALWAYS, "batch")

Limits = Mapping[int, tuple[int, int]]
"""For each width of buckets: how many a page has, and how many it may have at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """What was asked for, in the words of the published API."""

    buckets: tuple[tuple[int, int], ...]
    """Of this page: seconds since 1970, the second one not included."""
    width: int
    next_page: str | None
    group_by: tuple[str, ...]
    batch: bool | None
    only: Mapping[str, frozenset[str]]
    """The other filters by name."""


def read_usage_query(
    query: str,
    *,
    groups: Collection[str],
    filters: Collection[str],
    limits: Limits,
    whole: bool,
    now: float,
) -> UsageQuery:
    """Parse the part of a URL that follows `?`.

    `groups`: what `group_by` may say. `filters`: lists that pick, `batch` among them where it may be asked
    for. `whole`: nothing but whole buckets. Raises Refused: `bad_request`, `invalid_value`.
    """
    given = _given(query, known={"group_by", *_ALWAYS, *filters})
    width = _width(given, limits)
    start, end = _range(given, now)
    if whole:
        start, end = start - start % width, end + -end % width
    begin, end = _position(given, start, end, width)
    buckets = _buckets(begin, end, width, _limit(given, *limits[width]))
    return UsageQuery(
        buckets=buckets,
        width=width,
        next_page=_cursor(buckets[-1][1], end) if buckets[-1][1] < end else None,
        group_by=_group_by(given, groups),
        batch=_batch(given),
        only={name: frozenset(given[name]) for name in filters if name in given and name != "batch"},
    )


def _given(query: str, known: Collection[str]) -> dict[str, list[str]]:
    """All values by name. Lists are `models=a&models=b` or, as the SDKs write them, `models[]=a`."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Refused(ErrorCode.BAD_REQUEST, "The query string cannot be read.") from None
    given: dict[str, list[str]] = {}
    for spelled, value in pairs:
        name = spelled.removesuffix("[]")
        if name not in known or (name in _SCALARS and spelled != name):
            shown = spelled[:_LONGEST_SHOWN]
            message = f"Unknown parameter: '{shown}'."
            raise Refused(ErrorCode.BAD_REQUEST, message, param=shown, quotes=shown)
        if not value.isprintable():
            message = f"'{name}' holds what cannot be printed: nothing is called like that."
            raise Refused(ErrorCode.INVALID_VALUE, message, param=name)
        given.setdefault(name, []).append(value)
    for name in _SCALARS:
        if len(given.get(name, ())) > 1:
            raise Refused(ErrorCode.BAD_REQUEST, f"'{name}' was given more than once.", param=name)
    return given


def _width(given: Mapping[str, list[str]], limits: Limits) -> int:
    allowed = [name for name, width in _WIDTHS.items() if width in limits]
    (name,) = given.get("bucket_width", ["1d"])
    if name not in allowed:
        raise _unsupported("bucket_width", allowed)
    return _WIDTHS[name]


def _range(given: Mapping[str, list[str]], now: float) -> tuple[int, int]:
    """From when until when. Without an end: until now, this second included."""
    start = _number(given, "start_time")
    if start is None:
        raise Refused(ErrorCode.BAD_REQUEST, "Missing required parameter: 'start_time'.", param="start_time")
    end = _number(given, "end_time")
    if end is None:
        end = max(int(now), start) + 1
    if end <= start:
        raise Refused(ErrorCode.INVALID_VALUE, "'end_time' must be after 'start_time'.", param="end_time")
    return start, end


def _position(given: Mapping[str, list[str]], start: int, end: int, width: int) -> tuple[int, int]:
    """Where this page begins, and where the last one ends."""
    if "page" not in given:
        return start, end
    begin, last = _read_cursor(given["page"][0])
    if "end_time" not in given:
        end = last
    if not start <= begin < end or end != last or begin % width:
        raise _foreign_cursor()
    return begin, end


def _read_cursor(text: str) -> tuple[int, int]:
    try:
        begin, end = _CURSOR.unpack(urlsafe_b64decode(text.removeprefix(_CURSOR_MARK) + "=="))
    except (ValueError, struct_error):
        raise _foreign_cursor() from None
    if _cursor(begin, end) != text:
        raise _foreign_cursor()
    return begin, end


def _cursor(begin: int, end: int) -> str:
    return _CURSOR_MARK + urlsafe_b64encode(_CURSOR.pack(begin, end)).decode().rstrip("=")


def _foreign_cursor() -> Refused:
    message = "'page' must be the 'next_page' of an answer to the same query."
    return Refused(ErrorCode.INVALID_VALUE, message, param="page")


def _buckets(begin: int, end: int, width: int, most: int) -> tuple[tuple[int, int], ...]:
    """At least one: the range is not empty."""
    edges = [begin]
    while edges[-1] < end and len(edges) <= most:
        edges.append(min(edges[-1] - edges[-1] % width + width, end))
    return tuple(pairwise(edges))


def _limit(given: Mapping[str, list[str]], usual: int, most: int) -> int:
    limit = _number(given, "limit")
    if limit is None:
        return usual
    if not 1 <= limit <= most:
        message = f"'limit' must be from 1 to {most} with buckets of this width."
        raise Refused(ErrorCode.INVALID_VALUE, message, param="limit")
    return limit


def _group_by(given: Mapping[str, list[str]], groups: Collection[str]) -> tuple[str, ...]:
    """In the given order, each once. Many scripts write `group_by=model,project_id`: no name has a comma."""
    names = [name for value in given.get("group_by", ()) for name in value.split(",")]
    if not set(names) <= set(groups):
        raise _unsupported("group_by", groups)
    return tuple(dict.fromkeys(names))


def _batch(given: Mapping[str, list[str]]) -> bool | None:
    (text,) = given.get("batch", [None])
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise _unsupported("batch", ("true", "false"))
    return text.lower() == "true"


def _number(given: Mapping[str, list[str]], name: str) -> int | None:
    (text,) = given.get(name, [None])
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise Refused(ErrorCode.INVALID_VALUE, f"'{name}' must be a whole number.", param=name)
    return int(text)


def _unsupported(name: str, allowed: Collection[str]) -> Refused:
    values = ", ".join(f"'{value}'" for value in allowed)
    return Refused(
        ErrorCode.INVALID_VALUE, f"Invalid value for '{name}'. Supported values are: {values}.", param=name
    )
