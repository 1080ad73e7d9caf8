"""Keys, and the ledger's two lines for each attempt."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    keys = op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    live = keys.c.revoked_at.is_(None)
    op.create_index(
        "keys_live_name", "keys", ["team", "name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    key_epoch = op.create_table(
        "key_epoch",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(key_epoch, [{"id": 1, "epoch": 0}])
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "admissions",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("exchange_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("admitted_at", sa.BigInteger, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("asked_model", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("estimated_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated_images", sa.BigInteger, nullable=False),
        sa.Column("estimated_audio_milliseconds", sa.BigInteger, nullable=False),
        sa.Column("estimated_characters", sa.BigInteger, nullable=False),
        sa.Column("estimated_cost", sa.BigInteger),
        sa.Column("worker", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settlements",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("settled_at", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("image_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("image_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("images", sa.BigInteger, nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("answered_model", sa.Text),
        sa.Column("service_tier", sa.Text),
        sa.Column("upstream_request_id", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("settlements_by_time", "settlements", ["settled_at"])
