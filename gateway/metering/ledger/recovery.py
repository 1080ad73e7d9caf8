"""Settles what dead processes left. A process is dead when its lease has ended, which the living renew.

Two steps, so that a large ledger is searched without holding up its writers: read what is unsettled, then
take the dead from the list and write their settlements in one transaction. A worker that renews its lease
in between is left alone, and of two who recover at once only one finds the worker still listed.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from gateway.core.attempt import Cause
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.interfaces import Admission, PricedBy, Settlement
from gateway.metering.ledger.insertion import insert_lines
from gateway.metering.ledger.rows import UNSETTLED, admission_of, settlement_json

_SECONDS: Final = 120.0
"""How long the search may take."""

_Dead = Sequence[tuple[str, int]]
"""Workers by id, and when their lease ended."""


async def settle_abandoned(database: Database, *, now: int) -> Sequence[Admission]:
    """The attempts that were settled. `now` in milliseconds since 1970. Raises StoreUnavailable."""
    dead = await database.read(lambda connection: _find_dead(connection, now))
    if not dead:
        return ()
    left = await database.read(lambda connection: _find_left(connection, dead), timeout=_SECONDS)
    return await database.write(lambda connection: _bury(connection, dead, left, now))


def _find_dead(connection: Connection, now: int) -> _Dead:
    ended = select(WORKERS.c.id, WORKERS.c.lease_until).where(WORKERS.c.lease_until < now)
    return [(worker, lease_until) for worker, lease_until in connection.execute(ended)]


def _find_left(connection: Connection, dead: _Dead) -> Sequence[tuple[str, Admission]]:
    query = UNSETTLED.where(ADMISSIONS.c.worker.in_([worker for worker, _ in dead]))
    return [(row.worker, admission_of(row._asdict())) for row in connection.execute(query)]


def _bury(
    connection: Connection, dead: _Dead, left: Sequence[tuple[str, Admission]], now: int
) -> Sequence[Admission]:
    buried = {worker for worker, lease_until in dead if _strike_out(connection, worker, lease_until)}
    settled = [admission for worker, admission in left if worker in buried]
    if settled:
        lines = [settlement_json(_as_crashed(admission, now)) for admission in settled]
        insert_lines(connection, SETTLEMENTS, lines)
    return settled


def _strike_out(connection: Connection, worker: str, lease_until: int) -> bool:
    """Whether the worker was still as dead as it was found."""
    same = (WORKERS.c.id == worker) & (WORKERS.c.lease_until == lease_until)
    return connection.execute(delete(WORKERS).where(same)).rowcount == 1


def _as_crashed(admission: Admission, now: int) -> Settlement:
    return Settlement(
        attempt_id=admission.attempt_id,
        settled_at=now,
        cause=Cause.CRASH,
        status=None,
        usage=admission.estimate,
        cost=admission.estimated_cost,
        priced_by=PricedBy.NOTHING if admission.estimated_cost is None else PricedBy.BOOK,
    )
