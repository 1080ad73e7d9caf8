"""What an auditor asks: by which price a cost was reckoned, corrections, the sums of each day, closed months.

PostgreSQL's triggers fire once for a statement from now on, over all of its lines together: a shipment of
some hundred lines changes each sum once. Sums are changed in the order of their key, so that two statements
that meet wait for each other and never lock each other out. Of transactions that change sums by several
statements PostgreSQL may have to throw one out; it is to be tried again.
"""

from collections.abc import Iterable
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
SELECT added.settled_at, attempt_id, exchange_id, team, subject, key_id, model,
  added.cost, added.input_tokens, added.output_tokens, added.images, added.audio_milliseconds
FROM added JOIN under_way USING (attempt_id);
DELETE FROM under_way USING added WHERE under_way.attempt_id = added.attempt_id;
"""
_RECHARGED: Final = """
UPDATE charges SET
  cost = COALESCE(charges.cost, 0) + {line}.cost,
  input_tokens = charges.input_tokens + {line}.input_tokens,
  output_tokens = charges.output_tokens + {line}.output_tokens,
  images = charges.images + {line}.images,
  audio_milliseconds = charges.audio_milliseconds + {line}.audio_milliseconds
{source}
WHERE charges.settled_at = {line}.settled_at AND charges.attempt_id = {line}.attempt_id;
"""
_ALL_OF_AN_ATTEMPT: Final = """
FROM (
  SELECT settled_at, attempt_id, SUM(cost) AS cost, SUM(input_tokens) AS input_tokens,
    SUM(output_tokens) AS output_tokens, SUM(images) AS images, SUM(audio_milliseconds) AS audio_milliseconds
  FROM added GROUP BY settled_at, attempt_id
) AS line
"""
"""An UPDATE changes a row once, and a statement may bring several corrections of one attempt."""

_WHOSE_SUMS: Final = """
  {line}.settled_at / 86400000, team, subject, key_id, model,
  COALESCE({settlement}.answered_model, ''), endpoint, upstream, COALESCE({settlement}.service_tier, '')
"""
_EACH_WITH_ITS_ADMISSION: Final = "JOIN admissions ON admissions.attempt_id = {line}.attempt_id"
_EACH_WITH_ITS_SETTLEMENT: Final = "JOIN settlements ON settlements.attempt_id = {line}.attempt_id"


def upgrade() -> None:
    _add_columns()
    _make_tables()
    # First the triggers: PostgreSQL then lets nobody write to the ledger before what follows is committed.
    if op.get_context().dialect.name == "postgresql":
        _watch_statements()
    else:
        _watch_lines()
    op.execute(_add_up_settled("settlements"))


def _add_columns() -> None:
    """With defaults, for processes of the release before, which may go on writing for a while."""
    op.add_column("admissions", sa.Column("retry_of", sa.Text))
    op.add_column("settlements", sa.Column("priced_by", sa.Text, nullable=False, server_default="book"))
    op.add_column("settlements", sa.Column("price_version", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE settlements SET priced_by = 'nothing' WHERE cost IS NULL")


def _make_tables() -> None:
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
    op.create_table("daily", *_day_and_sums(), sqlite_with_rowid=False)
    op.create_table("closings", _month(), *_counts("closed_at"), sqlite_with_rowid=False)
    op.create_table("closed", _month(), *_day_and_sums(), sqlite_with_rowid=False)


def _watch_statements() -> None:
    recharged = _RECHARGED.format(line="line", source=_ALL_OF_AN_ATTEMPT)
    _after_each_statement("admissions", "ledger_admitted", _UNDER_WAY)
    _after_each_statement("settlements", "ledger_settled", _CHARGED, _add_up_settled("added"))
    _after_each_statement("adjustments", "ledger_adjusted", recharged, _add_up_adjusted("added"))


def _watch_lines() -> None:
    recharged = _RECHARGED.format(line="NEW", source="")
    _after_each_line("settlements", "ledger_settled_daily", _add_settled("NEW"))
    _after_each_line("adjustments", "ledger_adjusted", recharged, _add_adjusted("NEW"))


def _add_up_settled(lines: str) -> str:
    """Settlements change the sums of their days."""
    whose = _WHOSE_SUMS.format(line=lines, settlement=lines)
    source = f"{lines} {_EACH_WITH_ITS_ADMISSION}".format(line=lines)
    return _change(whose, _summed(_settled(lines)), _in_order(source))


def _add_up_adjusted(lines: str) -> str:
    """Corrections change the sums of the days of their settlements."""
    whose = _WHOSE_SUMS.format(line=lines, settlement="settlements")
    source = f"{lines} {_EACH_WITH_ITS_SETTLEMENT} {_EACH_WITH_ITS_ADMISSION}".format(line=lines)
    return _change(whose, _summed(_adjusted(lines)), _in_order(source))


def _add_settled(line: str) -> str:
    """The same for a single line, at half the cost."""
    source = f"admissions WHERE admissions.attempt_id = {line}.attempt_id"
    return _change(_WHOSE_SUMS.format(line=line, settlement=line), _settled(line), source)


def _add_adjusted(line: str) -> str:
    source = f"settlements JOIN admissions USING (attempt_id) WHERE attempt_id = {line}.attempt_id"
    return _change(_WHOSE_SUMS.format(line=line, settlement="settlements"), _adjusted(line), source)


def _settled(line: str) -> tuple[str, ...]:
    """What a settlement adds, in the order of the sums."""
    units = ("input_tokens", "output_tokens", "images", "audio_milliseconds", "characters")
    used = " + ".join(f"{line}.{unit}" for unit in units)
    return (
        "1",
        "CASE WHEN admissions.number = 1 THEN 1 ELSE 0 END",
        *(f"{line}.{unit}" for unit in _UNITS),
        f"COALESCE({line}.cost, 0)",
        f"CASE WHEN {line}.cost IS NULL THEN 1 ELSE 0 END",
        f"CASE WHEN {line}.source <> 'provider' AND {used} > 0 THEN 1 ELSE 0 END",
    )


def _adjusted(line: str) -> tuple[str, ...]:
    """What a correction adds."""
    return "0", "0", *(f"{line}.{name}" for name in (*_UNITS, "cost", "unpriced", "estimated"))


def _summed(measures: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"SUM({measure})" for measure in measures)


def _in_order(source: str) -> str:
    key = ", ".join(str(number) for number in range(1, len(_WHOSE) + 2))
    return f"{source} WHERE TRUE GROUP BY {key} ORDER BY {key}"


def _change(whose: str, measures: Iterable[str], source: str) -> str:
    return (
        f"INSERT INTO daily ({_KEY}, {', '.join(_SUMS)})"  # noqa: S608 - our own names
        f" SELECT {whose}, {', '.join(measures)} FROM {source}"
        f" ON CONFLICT ({_KEY}) DO UPDATE SET"
        f" {', '.join(f'{name} = daily.{name} + excluded.{name}' for name in _SUMS)};"
    )


def _after_each_statement(table: str, name: str, *statements: str) -> None:
    """In the place of the trigger for each line, if there is one.

    Lines are found by their keys: PostgreSQL plans once for a session, and what it plans while tables are
    small and not yet analysed would read them from end to end when they have grown.
    """
    op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        " SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
        f" AS $$ BEGIN {' '.join(statements)} RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER INSERT ON {table} REFERENCING NEW TABLE AS added"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def _after_each_line(table: str, name: str, *statements: str) -> None:
    op.execute(f"CREATE TRIGGER {name} AFTER INSERT ON {table} BEGIN {' '.join(statements)} END")


def _month() -> "sa.Column[str]":
    return sa.Column("month", sa.Text, primary_key=True)


def _day_and_sums() -> "list[sa.Column[int] | sa.Column[str]]":
    day = sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False)
    return [day, *_texts(*_WHOSE, primary_key=True), *_counts(*_SUMS)]


def _texts(*names: str, primary_key: bool = False) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, primary_key=primary_key, nullable=False) for name in names]


def _counts(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
