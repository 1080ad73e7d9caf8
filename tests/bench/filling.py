"""A ledger of some months, made by the database itself: its triggers rest, and sums are made at the end."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, text

from gateway.database.engine import Database
from gateway.database.migrations.versions.v0003_what_an_auditor_asks import _add_up_settled

DAYS: Final = 120
END: Final = 1_795_046_400_000
"""2026-11-19, midnight UTC, in milliseconds."""
TEAMS: Final = 40
KEYS: Final = 400
MODELS: Final = 6
_PORTION: Final = 100_000

_NUMBERS: Final = {
    "postgresql": "generate_series(CAST(:first AS BIGINT), CAST(:last AS BIGINT)) AS numbers(n)",
    "sqlite": "(WITH RECURSIVE counting(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM counting"
    " WHERE n < :last) SELECT n FROM counting) AS numbers",
}
_AT: Final = f"CAST({END - DAYS * 86_400_000} + n * :step AS BIGINT)"
_ID: Final = {"postgresql": "'att_' || lpad(n::text, 44, '0')", "sqlite": "printf('att_%044d', n)"}
_TRIGGERS: Final = {
    "postgresql": ("ledger_admitted ON admissions", "ledger_settled ON settlements"),
    "sqlite": ("ledger_admitted", "ledger_settled", "ledger_settled_daily"),
}
_ADMISSIONS: Final = """
INSERT INTO admissions SELECT {id}, 'req_' || n, 1, {at}, 'team-' || (n % {teams}), 'key_' || (n % {keys}),
  'key:team-' || (n % {teams}) || '/service-' || (n % {keys}), 'chat_completions', 'model-' || (n % {models}),
  'model-' || (n % {models}), 'openai', '5f3c00aa11bb', {true}, 256, 180, 0, 0, 0, 146, 'wrk_1', NULL
FROM {numbers}
"""
_SETTLEMENTS: Final = """
INSERT INTO settlements SELECT {id}, {at}, 'served', 200, 'provider', 120 + n % 50, 20, 0, 0, 0, 180 + n % 70,
  5, 0, 0, 0, 0, 0, 100 + n % 90, 'model-' || (n % {models}) || '-2024-07-18', 'default', 'up_' || n,
  'book', '77d1'
FROM {numbers}
"""


def fill(database: Database, attempts: int, *, told: Callable[[int], None]) -> None:
    """Settled attempts, evenly over the days. `told`: how many there are so far."""
    kind = database.engine.dialect.name
    words = {
        "id": _ID[kind],
        "at": _AT,
        "numbers": _NUMBERS[kind],
        "true": "TRUE" if kind == "postgresql" else "1",
        "teams": TEAMS,
        "keys": KEYS,
        "models": MODELS,
    }
    step = DAYS * 86_400_000 / attempts
    _rest(database)
    for first in range(0, attempts, _PORTION):
        last = min(first + _PORTION, attempts) - 1
        with database.transaction(writes=True) as connection:
            for statement in (_ADMISSIONS, _SETTLEMENTS):
                connection.execute(
                    text(statement.format(**words)), {"first": first, "last": last, "step": step}
                )
        told(last + 1)
    with database.transaction(writes=True) as connection:
        connection.exec_driver_sql(_add_up_settled("settlements"))
    with database.engine.connect() as connection:
        _look_around(connection, kind)


def _rest(database: Database) -> None:
    """This ledger is read alone."""
    with database.transaction(writes=True) as connection:
        for trigger in _TRIGGERS[database.engine.dialect.name]:
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")


def _look_around(connection: Connection, kind: str) -> None:
    """As the database does it by itself sooner or later."""
    connection.exec_driver_sql("ANALYZE" if kind == "postgresql" else "PRAGMA optimize")
    connection.commit()
