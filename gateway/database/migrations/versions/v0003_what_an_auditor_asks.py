"""What an auditor asks: by which price a cost was reckoned, corrections, the sums of each day, closed months.

PostgreSQL's triggers fire once for a statement from now on, over all of its lines together: a shipment of
some hundred lines changes each sum once. Sums are changed in the order of their key, so that two shipments
that meet wait for each other and never lock each other out.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_UNITS: Final = (
    *("input_tokens", "cached_tokens", "cache_write_tokens", "audio_input_tokens"),
    *("image_input_tokens", "output_tokens", "reasoning_tokens", "audio_output_tokens"),
    *("image_output_tokens", "images", "audio_milliseconds", "characters"),
)
_SUMS: Final = ("attempts", "requests", *_UNITS, "cost", "unpriced", "estimated")
_WHOSE: Final = (
    *("team", "subject", "key_id", "model", "answered_model"),
    *("endpoint", "upstream", "service_tier"),
)
_KEY: Final = ", ".join(("day", *_WHOSE))
_DAY: Final = 86_400_000

_UNDER_WAY: Final = """
INSERT INTO under_way (attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
SELECT attempt_id, exchange_id, team, subject, key_id, model,
  estimated_cost, estimated_input_tokens, estimated_output_tokens, estimated_images,
  estimated_audio_milliseconds
FROM added;
"""
_CHARGED: Final = """
INSERT INTO charges (settled_at, attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
SELECT added.settled_at, under_way.attempt_id, exchange_id, team, subject, key_id, model,
  added.cost, added.input_tokens, added.output_tokens, added.images, added.audio_milliseconds
FROM added JOIN under_way ON under_way.attempt_id = added.attempt_id;
DELETE FROM under_way USING added WHERE under_way.attempt_id = added.attempt_id;
"""
_RECHARGED: Final = """
UPDATE charges SET
  cost = COALESCE(charges.cost, 0) + {line}.cost,
  input_tokens = charges.input_tokens + {line}.input_tokens,
  output_tokens = charges.output_tokens + {line}.output_tokens,
  images = charges.images + {line}.images,
  audio_milliseconds = charges.audio_milliseconds + {line}.audio_milliseconds
{source} WHERE charges.settled_at = {line}.settled_at AND charges.attempt_id = {line}.attempt_id;
"""


def upgrade() -> None:
    op.add_column("admissions", sa.Column("retry_of", sa.Text))
    op.add_column("settlements", sa.Column("priced_by", sa.Text, nullable=False, server_default="book"))
    op.add_column("settlements", sa.Column("price_version", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE settlements SET priced_by = 'nothing' WHERE cost IS NULL")
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("attempt_id"),
        *_counts("settled_at", "adjusted_at"),
        *_texts("reason", "source"),
        *_counts(*_UNITS, "cost", "unpriced", "estimated"),
        *_texts("priced_by", "price_version"),
        sqlite_with_rowid=False,
    )
    op.create_index("adjustments_by_attempt", "adjustments", ["attempt_id"])
    op.create_index("adjustments_by_time", "adjustments", ["adjusted_at"])
    op.create_table(
        "closings",
        sa.Column("month", sa.Text, primary_key=True),
        *_counts("closed_at"),
        sqlite_with_rowid=False,
    )
    for table, keys in (("daily", ()), ("closed", _texts("month", primary_key=True))):
        day = sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False)
        whose = _texts(*_WHOSE, primary_key=True)
        op.create_table(table, *keys, day, *whose, *_counts(*_SUMS), sqlite_with_rowid=False)
    # First the triggers: PostgreSQL then lets nobody write to the ledger before what follows is committed.
    if op.get_context().dialect.name == "postgresql":
        _after_each_statement("admissions", "ledger_admitted", _UNDER_WAY)
        _after_each_statement("settlements", "ledger_settled", _CHARGED, _settled("added", _ADDED))
        recharged = _RECHARGED.format(line="added", source="FROM added")
        _after_each_statement("adjustments", "ledger_adjusted", recharged, _adjusted("added", _ADDED_LATER))
    else:
        _after_each_line("settlements", "ledger_settled_daily", _settled("NEW", _NEW))
        recharged = _RECHARGED.format(line="NEW", source="")
        _after_each_line("adjustments", "ledger_adjusted", recharged, _adjusted("NEW", _NEW_LATER))
    op.execute(_settled("settlements", _ADDED.replace("added", "settlements")))


_ADDED: Final = "added JOIN admissions ON admissions.attempt_id = added.attempt_id WHERE TRUE"
_ADDED_LATER: Final = (
    "added JOIN settlements ON settlements.attempt_id = added.attempt_id"
    " JOIN admissions ON admissions.attempt_id = added.attempt_id WHERE TRUE"
)
_NEW: Final = "admissions WHERE admissions.attempt_id = NEW.attempt_id"
_NEW_LATER: Final = (
    "settlements JOIN admissions ON admissions.attempt_id = settlements.attempt_id"
    " WHERE settlements.attempt_id = NEW.attempt_id"
)


def _settled(line: str, source: str) -> str:
    """Add settlements to the sums of their days."""
    units = ("input_tokens", "output_tokens", "images", "audio_milliseconds", "characters")
    used = " + ".join(f"{line}.{unit}" for unit in units)
    return _add_up(
        source,
        f"{line}.settled_at / {_DAY}, team, subject, key_id, model, COALESCE({line}.answered_model, ''),"
        f" endpoint, upstream, COALESCE({line}.service_tier, '')",
        "1",
        "CASE WHEN admissions.number = 1 THEN 1 ELSE 0 END",
        *(f"{line}.{unit}" for unit in _UNITS),
        f"COALESCE({line}.cost, 0)",
        f"CASE WHEN {line}.cost IS NULL THEN 1 ELSE 0 END",
        f"CASE WHEN {line}.source <> 'provider' AND {used} > 0 THEN 1 ELSE 0 END",
    )


def _adjusted(line: str, source: str) -> str:
    """Add corrections to the sums of the days of their settlements."""
    return _add_up(
        source,
        f"{line}.settled_at / {_DAY}, team, subject, key_id, model, COALESCE(settlements.answered_model, ''),"
        " endpoint, upstream, COALESCE(settlements.service_tier, '')",
        "0",
        "0",
        *(f"{line}.{name}" for name in (*_UNITS, "cost", "unpriced", "estimated")),
    )


def _add_up(source: str, key: str, *measures: str) -> str:
    columns, by = ", ".join(_SUMS), "1, 2, 3, 4, 5, 6, 7, 8, 9"
    return (
        f"INSERT INTO daily ({_KEY}, {columns})"  # noqa: S608 - our own names
        f" SELECT {key}, {', '.join(f'SUM({measure})' for measure in measures)}"
        f" FROM {source} GROUP BY {by} ORDER BY {by}"
        f" ON CONFLICT ({_KEY}) DO UPDATE SET"
        f" {', '.join(f'{name} = daily.{name} + excluded.{name}' for name in _SUMS)};"
    )


def _after_each_statement(table: str, name: str, *statements: str) -> None:
    """In the place of the trigger for each line, if there is one."""
    op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {' '.join(statements)} RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER INSERT ON {table} REFERENCING NEW TABLE AS added"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def _after_each_line(table: str, name: str, *statements: str) -> None:
    op.execute(f"CREATE TRIGGER {name} AFTER INSERT ON {table} BEGIN {' '.join(statements)} END")


def _texts(*names: str, primary_key: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=primary_key, nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
