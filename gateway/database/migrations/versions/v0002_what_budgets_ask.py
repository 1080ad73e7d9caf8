"""What is under way, and what was charged: the ledger in the shape in which budgets ask for it."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

_ADMITTED: Final = """
INSERT INTO under_way (attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
VALUES (NEW.attempt_id, NEW.exchange_id, NEW.team, NEW.subject, NEW.key_id, NEW.model,
  NEW.estimated_cost, NEW.estimated_input_tokens, NEW.estimated_output_tokens, NEW.estimated_images,
  NEW.estimated_audio_milliseconds);
"""

_SETTLED: Final = """
INSERT INTO charges (settled_at, attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
SELECT NEW.settled_at, attempt_id, exchange_id, team, subject, key_id, model,
  NEW.cost, NEW.input_tokens, NEW.output_tokens, NEW.images, NEW.audio_milliseconds
FROM under_way WHERE attempt_id = NEW.attempt_id;
DELETE FROM under_way WHERE attempt_id = NEW.attempt_id;
"""

_UNDER_WAY_SO_FAR: Final = """
INSERT INTO under_way (attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
SELECT attempt_id, exchange_id, team, subject, key_id, model,
  estimated_cost, estimated_input_tokens, estimated_output_tokens, estimated_images,
  estimated_audio_milliseconds
FROM admissions
WHERE NOT EXISTS (SELECT 1 FROM settlements WHERE settlements.attempt_id = admissions.attempt_id)
"""

_CHARGED_SO_FAR: Final = """
INSERT INTO charges (settled_at, attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds)
SELECT settled_at, admissions.attempt_id, exchange_id, team, subject, key_id, model,
  cost, input_tokens, output_tokens, images, audio_milliseconds
FROM settlements JOIN admissions ON admissions.attempt_id = settlements.attempt_id
"""


def upgrade() -> None:
    op.create_table(
        "under_way",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("exchange_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("images", sa.BigInteger, nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "charges",
        sa.Column("settled_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("exchange_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("images", sa.BigInteger, nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    if _is_postgresql():
        op.create_index("charges_by_team", "charges", ["team", "settled_at"])
    # First the triggers: PostgreSQL then lets nobody write to the ledger before what follows is committed.
    _after_each_line_of("admissions", "ledger_admitted", _ADMITTED)
    _after_each_line_of("settlements", "ledger_settled", _SETTLED)
    op.execute(_UNDER_WAY_SO_FAR)
    op.execute(_CHARGED_SO_FAR)


def _after_each_line_of(table: str, name: str, statements: str) -> None:
    if _is_postgresql():
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {statements} RETURN NULL; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    else:
        op.execute(f"CREATE TRIGGER {name} AFTER INSERT ON {table} BEGIN {statements} END")


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"
