"""Reading the audit trail: a page of it, all of it, and whether it is whole.

`verify` reckons every hash anew, from the first line on. Whoever can write to the database could reckon a
whole trail anew: so keep a head (number and hash) elsewhere now and then, and have it compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, select

from gateway.audit.trail import NO_HASH, chained
from gateway.database.engine import Database
from gateway.database.tables import AUDIT, AUDIT_HEAD

_AT_ONCE: Final = 1_000
_SECONDS: Final = 600.0
"""For a whole trail: some millions of lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was done."""

    number: int
    at: int
    """Milliseconds since 1970."""
    actor: str
    action: str
    target: str
    team: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the trail is whole."""

    lines: int
    """That were read and found right."""
    head: str
    """Number and hash of the last of these, `1042:9f3c…`."""
    broken_at: int | None = None
    """The number at which it is not what it was."""
    sentence: str = ""

    @property
    def intact(self) -> bool:
        return self.broken_at is None


class SqlAuditTrail:
    """The trail in the house's database. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, team: str | None = None, before: int | None = None, most: int) -> Sequence[Line]:
        """The newest first; of one team; those before the one of this number."""
        query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(most)
        if team is not None:
            query = query.where(AUDIT.c.team == team)
        if before is not None:
            query = query.where(AUDIT.c.number < before)

        def work(connection: Connection) -> Sequence[Line]:
            return [_line(row) for row in connection.execute(query)]

        return await self._database.read(work)

    async def verify(self, head: str | None = None) -> Verdict:
        """Reckon it anew. `head`: one that an earlier verdict told, to be found again. Raises ValueError for
        what is no head."""
        known = None if head is None else parse_head(head)
        return await self._database.read(lambda connection: verified(connection, known), timeout=_SECONDS)

    def lines(self, connection: Connection) -> Iterator[Line]:
        """All, the oldest first."""
        return map(_line, _rows(connection))


def parse_head(text: str) -> tuple[int, bytes]:
    """Of `1042:9f3c…`. Raises ValueError."""
    number, _, hash_ = text.partition(":")
    try:
        parsed = int(number), bytes.fromhex(hash_)
    except ValueError:
        parsed = 0, b""
    if parsed[0] < 0 or len(parsed[1]) != len(NO_HASH):
        raise ValueError("a head is a number, a colon and 64 hexadecimal digits, as `audit verify` prints it")
    return parsed


def verified(connection: Connection, known: tuple[int, bytes] | None) -> Verdict:
    """Whether every line follows from the one before, and those are there that the head and `known` name.
    Lines that are appended meanwhile do no harm."""
    last = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash)).one()
    named = {last.number: last.hash}
    if known is not None and named.setdefault(*known) != known[1]:
        return _broken(0, NO_HASH, known[0], f"line {known[0]} has another hash than the head given")
    number, hash_ = 0, NO_HASH
    for row in _rows(connection):
        line = row._asdict()
        own = line.pop("hash")
        if row.number != number + 1:
            return _broken(number, hash_, number + 1, f"line {number + 1} is missing")
        if chained(hash_, line) != own:
            return _broken(number, hash_, row.number, f"line {row.number} is not what it was")
        if named.get(row.number, own) != own:
            return _broken(number, hash_, row.number, f"line {row.number} is another than the one on record")
        number, hash_ = row.number, own
    if number < max(named):
        return _broken(number, hash_, number + 1, f"lines after {number} are missing")
    return Verdict(number, _head(number, hash_))


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    query: Select[Any] = select(AUDIT).order_by(AUDIT.c.number)
    last = 0
    while rows := connection.execute(query.where(AUDIT.c.number > last).limit(_AT_ONCE)).all():
        yield from rows
        last = rows[-1].number


def _broken(number: int, hash_: bytes, at: int, what: str) -> Verdict:
    sentence = f"The audit trail is not whole: {what}."
    return Verdict(number, _head(number, hash_), at, sentence)


def _head(number: int, hash_: bytes) -> str:
    return f"{number}:{hash_.hex()}"


def _line(row: Row[Any]) -> Line:
    line = row._asdict()
    return Line(**{**line, "details": msgspec.json.decode(line["details"]), "hash": line["hash"].hex()})
