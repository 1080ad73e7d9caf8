"""Keys get a life, anything can be revoked, and what was done is on record.

The audit trail is append-only: the database itself refuses to change a line and to take one away.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"

_SENTENCE: Final = "the audit trail stays as it is"
_NO_HASH: Final = bytes(32)


def upgrade() -> None:
    _widen_keys()
    _make_tables()
    if op.get_context().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def _widen_keys() -> None:
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("issued_at", sa.BigInteger, nullable=False, server_default="0"),
        *(
            sa.Column(name, sa.Text, nullable=False, server_default="")
            for name in ("created_by", "owner", "allowed", "addresses")
        ),
        *(sa.Column(name, sa.BigInteger) for name in ("disabled_at", "previous_until", "previous_issued_at")),
        sa.Column("previous_hash", sa.LargeBinary),
        sa.Column("imported", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    for column in columns:
        op.add_column("keys", column)
    op.execute("UPDATE keys SET issued_at = created_at")
    op.create_index("keys_by_team", "keys", ["team", "created_at", "id"])
    op.create_index("keys_by_secret", "keys", ["secret_hash"])
    op.create_index("keys_by_previous_secret", "keys", ["previous_hash"])


def _make_tables() -> None:
    op.create_table(
        "key_uses",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.Column("used_from", sa.Text, nullable=False),
    )
    op.create_table(
        "revocations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cut_streams", sa.Boolean, nullable=False),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pepper_check", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("actor", "action", "target", "team", "details")
        ),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": _NO_HASH}])
    op.create_table(
        "repeats",
        sa.Column("actor", sa.Text, primary_key=True),
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("answer", sa.Text),
        sqlite_with_rowid=False,
    )


def _refuse_on_sqlite() -> None:
    refusal = f"BEGIN SELECT RAISE(ABORT, '{_SENTENCE}'); END"
    op.execute(f"CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit {refusal}")
    op.execute(f"CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit {refusal}")
    # REPLACE takes a line away without a DELETE that any trigger hears of.
    there = "WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)"
    op.execute(f"CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit {there} {refusal}")


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SENTENCE}'; END $$"
    )
    change = "BEFORE UPDATE OR DELETE ON audit FOR EACH ROW"
    op.execute(f"CREATE TRIGGER audit_is_not_changed {change} EXECUTE FUNCTION audit_stays()")
    op.execute(
        "CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_stays()"
    )
