"""A closed month stays as it was closed: the database itself refuses to change, to add and to take away.

One thing may change: who a user was (`subject`), when a person is to be forgotten. No figure hangs on it.
"""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_FROZEN: Final = {
    "closings": ("month", "closed_at"),
    "closed": (
        *("month", "day", "team", "key_id", "model"),
        *("answered_model", "endpoint", "upstream", "service_tier"),
        *("attempts", "requests", "input_tokens", "cached_tokens", "cache_write_tokens"),
        *("audio_input_tokens", "image_input_tokens", "output_tokens", "reasoning_tokens"),
        *("audio_output_tokens", "image_output_tokens", "images", "audio_milliseconds", "characters"),
        *("cost", "unpriced", "estimated"),
    ),
}
"""What is refused to be changed: every column but `subject`."""
_SENTENCE: Final = "a closed month stays as it is"
_IS_CLOSED: Final = "EXISTS (SELECT 1 FROM closings WHERE closings.month = NEW.month)"


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def _refuse_on_sqlite() -> None:
    refusal = f"BEGIN SELECT RAISE(ABORT, '{_SENTENCE}'); END"
    for table, columns in _FROZEN.items():
        change = f"UPDATE OF {', '.join(columns)}"
        op.execute(f"CREATE TRIGGER {table}_is_not_changed BEFORE {change} ON {table} {refusal}")
        op.execute(f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} {refusal}")
    op.execute(f"CREATE TRIGGER closed_is_not_added_to BEFORE INSERT ON closed WHEN {_IS_CLOSED} {refusal}")


def _refuse_on_postgresql() -> None:
    refuse = f"RAISE EXCEPTION '{_SENTENCE}'; "
    _function("closed_months_stay", refuse)
    _function("closed_months_are_not_added_to", f"IF {_IS_CLOSED} THEN {refuse} END IF; RETURN NEW; ")
    for table, columns in _FROZEN.items():
        _trigger(f"{table}_is_not_changed", f"UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW")
        _trigger(f"{table}_is_not_deleted", f"DELETE ON {table} FOR EACH ROW")
        _trigger(f"{table}_is_not_emptied", f"TRUNCATE ON {table} FOR EACH STATEMENT")
    _trigger("closed_is_not_added_to", "INSERT ON closed FOR EACH ROW", "closed_months_are_not_added_to")


def _function(name: str, body: str) -> None:
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}END $$")


def _trigger(name: str, moment: str, function: str = "closed_months_stay") -> None:
    op.execute(f"CREATE TRIGGER {name} BEFORE {moment} EXECUTE FUNCTION {function}()")
