"""The audit trail, for whoever wants to know what is on record."""

from collections.abc import Sequence

from gateway.audit.reading import Line, SqlAuditTrail
from gateway.database.engine import Database


def acts(database: Database, beginning: str = "") -> Sequence[Line]:
    """Those whose action begins so, the oldest first."""
    with database.transaction(writes=False) as connection:
        lines = list(SqlAuditTrail(database).lines(connection))
    return [line for line in lines if line.action.startswith(beginning)]
