"""The promises of `metering/`: what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.attempt import Cause
from gateway.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Admission:
    """The first of an attempt's two lines, on record before any byte goes upstream."""

    attempt_id: str
    exchange_id: str
    number: int
    admitted_at: int
    """Milliseconds since 1970."""
    team: str
    key_id: str
    subject: str
    endpoint: str
    asked_model: str
    model: str
    upstream: str
    policy_version: str
    stream: bool
    estimated_input_tokens: int
    """What a crash is settled with."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The second line: what became of it."""

    attempt_id: str
    settled_at: int
    """Milliseconds since 1970."""
    cause: Cause
    status: int | None
    usage: Usage
    cost: int | None
    """Micro-dollars; None is `unpriced`, which is an alarm, and never 0."""
    answered_model: str | None = None
    service_tier: str | None = None
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One line of a usage report: sums over settled attempts."""

    group: tuple[str, ...]
    attempts: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    images: int
    audio_milliseconds: int
    characters: int
    cost: int
    """Micro-dollars of the priced attempts."""
    unpriced: int
    """Attempts whose model had no price."""
    estimated: int
    """Attempts whose usage is our own estimate."""


class Ledger(Protocol):
    """The truth about what was spent. Append-only; idempotent by attempt id; settled exactly once."""

    async def admit(self, admission: Admission) -> None:
        """Returns when the line is safely written. Raises StoreUnavailable when it cannot be."""

    def settle(self, settlement: Settlement) -> None:
        """Hand the line over without waiting. It is written soon, and before `close` returns."""

    async def close(self) -> None:
        """Write everything that was handed over."""


class UsageReader(Protocol):
    """Reports over the ledger."""

    async def usage(self, by: Sequence[str], since: int | None, until: int | None) -> Sequence[UsageRow]:
        """Sums grouped by `team`, `model`, `key`, `day` or `endpoint`; times in milliseconds since 1970."""

    async def unsettled(self) -> Iterable[Admission]:
        """Attempts that were admitted and never settled."""
