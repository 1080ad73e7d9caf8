"""Settles what dead processes left. A process is dead when its lease has ended, which the living renew, or
when this machine knows that it is gone (`presence.py`).

Two steps, so that a large ledger is searched without holding up its writers: read what is unsettled, then
take the dead from the list and write their settlements in one transaction. A worker that renews its lease
in between is left alone, and of two who recover at once only one finds the worker still listed.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from gateway.core.attempt import Cause
from gateway.database.engine import Database
from gateway.database.statements import insertion
from gateway.database.tables import ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.interfaces import Admission, PricedBy, Settlement
from gateway.metering.ledger.presence import Presence
from gateway.metering.ledger.rows import UNSETTLED, admission_of, settlement_row

_SECONDS: Final = 120.0
"""How long the search may take."""

_Dead = Sequence[tuple[str, int]]
"""Workers by id, and when their lease ended."""


async def settle_abandoned(
    database: Database, *, now: int, presence: Presence | None = None
) -> Sequence[Admission]:
    """The attempts that were settled. `now` in milliseconds since 1970. Raises StoreUnavailable."""
    dead = await database.read(lambda connection: _find_dead(connection, now, presence))
    if not dead:
        return ()
    left = await database.read(lambda connection: _find_left(connection, dead), timeout=_SECONDS)
    settled = await database.write(lambda connection: _bury(connection, dead, left, now))
    if presence is not None:
        for worker, _ in dead:
            presence.clear(worker)
    return settled


def _find_dead(connection: Connection, now: int, presence: Presence | None) -> _Dead:
    return [
        (worker, lease_until)
        for worker, lease_until in connection.execute(select(WORKERS.c.id, WORKERS.c.lease_until))
        if lease_until < now or (presence is not None and presence.is_gone(worker))
    ]


def _find_left(connection: Connection, dead: _Dead) -> Sequence[tuple[str, Admission]]:
    query = UNSETTLED.where(ADMISSIONS.c.worker.in_([worker for worker, _ in dead]))
    return [(row.worker, admission_of(row._asdict())) for row in connection.execute(query)]


def _bury(
    connection: Connection, dead: _Dead, left: Sequence[tuple[str, Admission]], now: int
) -> Sequence[Admission]:
    buried = {worker for worker, lease_until in dead if _strike_out(connection, worker, lease_until)}
    settled = [admission for worker, admission in left if worker in buried]
    if settled:
        lines = [settlement_row(_as_crashed(admission, now)) for admission in settled]
        connection.exec_driver_sql(insertion(connection.engine, SETTLEMENTS), lines)
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
