"""Every table of the truth, for both engines.

Integers only: times are milliseconds since 1970 (keys: seconds), money is micro-dollars. The ledger's two
tables are append-only and keyed by the attempt's own id, which is ordered by time, so that inserts stay at
the tables' ends. `under_way` and `charges` say the same in the shape in which budgets ask for it; triggers
keep them, so they are right whoever writes. A change here needs a migration; a test compares the two.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()


def _text(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=primary_key, nullable=nullable)


def _count(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _units() -> list[Column[int]]:
    """What an attempt used, in every unit (see `core/usage.py`)."""
    return [
        _count(name)
        for name in (
            *("input_tokens", "cached_tokens", "cache_write_tokens", "audio_input_tokens"),
            *("image_input_tokens", "output_tokens", "reasoning_tokens", "audio_output_tokens"),
            *("image_output_tokens", "images", "audio_milliseconds", "characters"),
        )
    ]


def _whose() -> list[Column[str]]:
    """By what a day's sums are told apart. What is not known is an empty text."""
    return [
        _text(name, primary_key=True)
        for name in (
            *("team", "subject", "key_id", "model", "answered_model"),
            *("endpoint", "upstream", "service_tier"),
        )
    ]


def _sums() -> list[Column[int]]:
    return [
        _count("attempts"),
        _count("requests"),
        *_units(),
        _count("cost"),
        _count("unpriced"),
        _count("estimated"),
    ]


def _amounts() -> list[Column[int]]:
    """What an attempt spends, as far as budgets count it."""
    return [
        _count("cost", nullable=True),
        *(_count(name) for name in ("input_tokens", "output_tokens", "images", "audio_milliseconds")),
    ]


KEYS: Final = Table(
    "keys",
    METADATA,
    _text("id", primary_key=True),
    _text("team"),
    _text("name"),
    Column("secret_hash", LargeBinary, nullable=False),
    _count("created_at"),
    _count("expires_at", nullable=True),
    _count("revoked_at", nullable=True),
    _count("issued_at"),
    _text("created_by"),
    _text("owner"),
    _text("allowed"),
    _text("addresses"),
    _count("disabled_at", nullable=True),
    _count("previous_until", nullable=True),
    _count("previous_issued_at", nullable=True),
    Column("previous_hash", LargeBinary),
    Column("imported", Boolean, nullable=False),
)
"""`allowed` is a Grant and `addresses` a list, as JSON; both empty when there is nothing to say."""
Index(
    "keys_live_name",
    KEYS.c.team,
    KEYS.c.name,
    unique=True,
    sqlite_where=KEYS.c.revoked_at.is_(None),
    postgresql_where=KEYS.c.revoked_at.is_(None),
)
Index("keys_by_team", KEYS.c.team, KEYS.c.created_at, KEYS.c.id)
Index("keys_by_secret", KEYS.c.secret_hash)
Index("keys_by_previous_secret", KEYS.c.previous_hash)

KEY_USES: Final = Table(
    "key_uses",
    METADATA,
    _text("key_id", primary_key=True),
    _count("used_at"),
    _text("used_from"),
)
"""When, and from which address, a key was last used: to the minute, written by whoever noticed."""

KEY_EPOCH: Final = Table(
    "key_epoch",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _count("epoch"),
)
"""One row. Whoever changes a key or revokes anything raises it in the same transaction."""

REVOCATIONS: Final = Table(
    "revocations",
    METADATA,
    _text("id", primary_key=True),
    _text("kind"),
    _text("value"),
    _count("since"),
    _count("until"),
    _count("at"),
    _text("by"),
    _text("reason"),
    Column("cut_streams", Boolean, nullable=False),
)

INSTALLATION: Final = Table(
    "installation",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("pepper_check", LargeBinary, nullable=False),
)
"""One row, made by the first gateway: by it those that come later see that they were given another pepper."""

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _count("at"),
    _text("actor"),
    _text("action"),
    _text("target"),
    _text("team"),
    _text("details"),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""What was done, in the order in which it was done, without gaps. `details` is JSON. The hash is over the
line's own words and the hash of the line before, so that nothing can be changed, or taken out, unnoticed.
Append-only: the database itself refuses everything else."""

AUDIT_HEAD: Final = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _count("number"),
    Column("hash", LargeBinary, nullable=False),
)
"""One row: the last line's number and hash. Who appends holds it, so that lines have one order."""

REPEATS: Final = Table(
    "repeats",
    METADATA,
    _text("actor", primary_key=True),
    _text("idempotency_key", primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    _count("at"),
    _count("status", nullable=True),
    _text("answer", nullable=True),
    sqlite_with_rowid=False,
)
"""How operators' requests with an idempotency key were answered, without any secret. No status: under way."""

WORKERS: Final = Table(
    "workers",
    METADATA,
    _text("id", primary_key=True),
    _count("lease_until"),
)
"""Processes that admit. One whose lease has ended is dead: what it left unsettled, another settles."""

ADMISSIONS: Final = Table(
    "admissions",
    METADATA,
    _text("attempt_id", primary_key=True),
    _text("exchange_id"),
    _count("number"),
    _count("admitted_at"),
    _text("team"),
    _text("key_id"),
    _text("subject"),
    _text("endpoint"),
    _text("asked_model"),
    _text("model"),
    _text("upstream"),
    _text("policy_version"),
    Column("stream", Boolean, nullable=False),
    _count("estimated_input_tokens"),
    _count("estimated_output_tokens"),
    _count("estimated_images"),
    _count("estimated_audio_milliseconds"),
    _count("estimated_characters"),
    _count("estimated_cost", nullable=True),
    _text("worker"),
    _text("retry_of", nullable=True),
    sqlite_with_rowid=False,
)

SETTLEMENTS: Final = Table(
    "settlements",
    METADATA,
    _text("attempt_id", primary_key=True),
    _count("settled_at"),
    _text("cause"),
    _count("status", nullable=True),
    _text("source"),
    *_units(),
    _count("cost", nullable=True),
    _text("answered_model", nullable=True),
    _text("service_tier", nullable=True),
    _text("upstream_request_id", nullable=True),
    _text("priced_by"),
    _text("price_version"),
    Index("settlements_by_time", "settled_at"),
    sqlite_with_rowid=False,
)

UNDER_WAY: Final = Table(
    "under_way",
    METADATA,
    _text("attempt_id", primary_key=True),
    _text("exchange_id"),
    _text("team"),
    _text("subject"),
    _text("key_id"),
    _text("model"),
    *_amounts(),
    sqlite_with_rowid=False,
)
"""Admissions without a settlement, and what they are expected to spend."""

CHARGES: Final = Table(
    "charges",
    METADATA,
    Column("settled_at", BigInteger, primary_key=True, autoincrement=False),
    _text("attempt_id", primary_key=True),
    _text("exchange_id"),
    _text("team"),
    _text("subject"),
    _text("key_id"),
    _text("model"),
    *_amounts(),
    sqlite_with_rowid=False,
)
"""Settlements, and who made them, in the order of time: a month lies together. PostgreSQL, whose ledgers are
larger, has an index by team too; in a file it would cost each attempt more than it saves."""

ADJUSTMENTS: Final = Table(
    "adjustments",
    METADATA,
    _text("id", primary_key=True),
    _text("attempt_id"),
    _count("settled_at"),
    _count("adjusted_at"),
    _text("reason"),
    _text("source"),
    *_units(),
    _count("cost"),
    _count("unpriced"),
    _count("estimated"),
    _text("priced_by"),
    _text("price_version"),
    Index("adjustments_by_attempt", "attempt_id"),
    Index("adjustments_by_time", "adjusted_at"),
    sqlite_with_rowid=False,
)
"""Corrections: what is to be added to a settlement to make it true. `settled_at` is the settlement's, so that
the sums of its day become right; `adjusted_at` is when that was done. Append-only, as the lines are."""

DAILY: Final = Table(
    "daily",
    METADATA,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    *_whose(),
    *_sums(),
    sqlite_with_rowid=False,
)
"""The sums of settlements and adjustments by the day of settlement (in UTC; days since 1970), kept by
triggers. They outlive the lines, which end by age. `requests` counts first attempts, `unpriced` attempts
whose cost is missing, `estimated` those that used something by our own count."""

CLOSINGS: Final = Table(
    "closings",
    METADATA,
    _text("month", primary_key=True),
    _count("closed_at"),
    sqlite_with_rowid=False,
)
"""Months (`2026-10`, in UTC) whose figures were frozen, once and for ever."""

CLOSED: Final = Table(
    "closed",
    METADATA,
    _text("month", primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    *_whose(),
    *_sums(),
    sqlite_with_rowid=False,
)
"""A closed month as it was: the rows of `daily` at that moment. What `daily` says beyond is a restatement."""
