"""Lines of the audit trail as people read them: what was changed, from what to what, in words. An export has
every detail as it was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.table import Table

from gateway.audit.reading import Line
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars

_HEADINGS: Final = (">line", "when (UTC)", "who", "what", "to what", "team", "~details")
_DOLLARS: Final = "dollars_per_month"
_MOMENTS: Final = frozenset({"since", "until"})
_ENDINGS: Final = ("_at", "_until")
_UNSAID: Final[Sequence[Any]] = (None, "", False, 0, [], ["*"])
"""What is not worth a word: it narrows nothing, or there is none."""
_APART: Final = frozenset({"name", "before", "after", "replica", "revocation"})
"""What is not told as it stands: the first three are said first, ids of our own to machines alone."""


def audit_table(lines: Sequence[Line]) -> Table:
    """A line each."""
    return table(_HEADINGS, [_row(line) for line in lines])


def _row(line: Line) -> Sequence[str]:
    said = ", ".join(_words(line.details))
    names = [plain(name) if name else "" for name in (line.actor, line.action, line.target, line.team, said)]
    return (str(line.number), _moment(line.at / 1000), *names)


def _words(details: Mapping[str, Any]) -> Iterator[str]:
    """First whose it is and what was changed, then what else is known of it."""
    before, after = details.get("before") or {}, dict(_flat(details.get("after") or {}))
    if name := details.get("name") or after.pop("name", ""):
        yield name
    for name, value in after.items():
        if name in before:
            yield f"{name} {_spelled(name, before[name])} → {_spelled(name, value)}"
        elif value not in _UNSAID:
            yield f"{name} {_spelled(name, value)}"
    for name, value in details.items():
        if name not in _APART and value not in _UNSAID:
            yield f"{name} {_spelled(name, value)}"


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value


def _spelled(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == _DOLLARS:
        return f"{dollars(value)} USD"
    if isinstance(value, int) and (name in _MOMENTS or name.endswith(_ENDINGS)):
        return f"{_moment(value)} UTC"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
