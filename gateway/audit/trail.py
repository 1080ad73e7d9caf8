"""The audit trail: lines in one order, each bound to the one before by its hash.

A line is appended within the transaction that does what it tells of. Whoever appends holds the head, so two
cannot take the same place; the hash is SHA-256 over the hash before and the line as canonical JSON.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, insert, select, update

from gateway.core.actor import Act
from gateway.core.clock import Clock
from gateway.database.engine import Database
from gateway.database.tables import AUDIT, AUDIT_HEAD

GATEWAY: Final = "gateway"
"""Who does what nobody told it to: as actor of an act."""
NO_HASH: Final = bytes(32)
"""What stands before the first line."""


def append(connection: Connection, act: Act, at: int) -> None:
    """Put this on record. `at`: milliseconds since 1970. To be called inside a transaction that writes."""
    connection.execute(update(AUDIT_HEAD).values(number=AUDIT_HEAD.c.number + 1))  # from here on it is ours
    number, before = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash)).one()
    line = {
        "number": number,
        "at": at,
        "actor": act.actor,
        "action": act.action,
        "target": act.target,
        "team": act.team,
        "details": msgspec.json.encode(act.details, order="deterministic").decode(),
    }
    hash_ = chained(before, line)
    connection.execute(insert(AUDIT).values(**line, hash=hash_))
    connection.execute(update(AUDIT_HEAD).values(hash=hash_))


def chained(before: bytes, line: dict[str, Any]) -> bytes:
    """The hash of a line, its own hash left out, that follows the one with that hash."""
    return hashlib.sha256(before + msgspec.json.encode(line, order="deterministic")).digest()


def on_record(database: Database, clock: Clock) -> Callable[[Sequence[Act]], Awaitable[None]]:
    """What puts acts on record that nothing else belongs to. Raises StoreUnavailable."""

    async def record(acts: Sequence[Act]) -> None:
        at = int(clock.now() * 1000)

        def work(connection: Connection) -> None:
            for act in acts:
                append(connection, act, at)

        await database.write(work)

    return record
