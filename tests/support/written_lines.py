"""Lines of the ledger, written as they are, whoever writes them in the product."""

from typing import Any

from sqlalchemy import Table, insert, select

from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.statements import insertion
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.interfaces import Adjustment, Admission, PricedBy, Reason, Settlement
from gateway.metering.ledger.rows import admission_row, settlement_row
from tests.support.ledger_lines import NOON


def write(database: Database, *lines: Admission | Settlement | Adjustment) -> None:
    """In one transaction, one after the other; what is there already is left."""
    with database.transaction(writes=True) as connection:
        for line in lines:
            match line:
                case Admission():
                    row = admission_row(line, "wrk_1")
                    connection.exec_driver_sql(insertion(database.engine, ADMISSIONS), row)
                case Settlement():
                    row = settlement_row(line)
                    connection.exec_driver_sql(insertion(database.engine, SETTLEMENTS), row)
                case Adjustment():
                    connection.execute(insert(ADJUSTMENTS).values(_adjustment_row(line)))


def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    """All there is in it, in the order of its key."""
    with database.transaction(writes=False) as connection:
        query = select(table).order_by(*table.primary_key)
        return [dict(row._mapping) for row in connection.execute(query)]


def an_adjustment(attempt_id: str = "att_1", **changes: Any) -> Adjustment:
    """A price that was corrected upwards by 60 micro-dollars."""
    values: dict[str, Any] = {
        "id": f"adj_{attempt_id}",
        "attempt_id": attempt_id,
        "settled_at": NOON + 1000,
        "adjusted_at": NOON + 90_000,
        "reason": Reason.RERATED,
        "usage": Usage(UsageSource.PROVIDER),
        "cost": 60,
        "unpriced": 0,
        "estimated": 0,
        "priced_by": PricedBy.BOOK,
        "price_version": "88e2",
    }
    return Adjustment(**(values | changes))


def _adjustment_row(line: Adjustment) -> dict[str, Any]:
    names = (
        "id",
        "attempt_id",
        "settled_at",
        "adjusted_at",
        "cost",
        "unpriced",
        "estimated",
        "price_version",
    )
    return {
        **{name: getattr(line, name) for name in names},
        **{name: value for name, value in line.usage._asdict().items() if name != "source"},
        "price_version": line.price_version,
        "source": line.usage.source.value,
        "reason": line.reason.value,
        "priced_by": line.priced_by.value,
    }
