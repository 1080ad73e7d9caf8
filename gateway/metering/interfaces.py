"""The promises of `metering/`: what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from gateway.core.attempt import Cause
from gateway.core.usage import Usage


class PricedBy(StrEnum):
    """Where a cost comes from."""

    BOOK = "book"
    """The price book has a price for all that was used."""
    CEILING = "ceiling"
    """It has none, and the policy says that its ceiling is charged then."""
    FREE = "free"
    """The endpoint costs nothing, or nothing was used."""
    NOTHING = "nothing"
    """Unpriced: the cost is not known."""


class Admission(msgspec.Struct, frozen=True):
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
    """As the client wrote it."""
    model: str
    """As the catalogue calls it."""
    upstream: str
    policy_version: str
    stream: bool
    estimate: Usage
    """What the attempt is settled with if the process dies: its input and the expected output."""
    estimated_cost: int | None
    """Micro-dollars of that estimate; None is `unpriced`."""
    retry_of: str | None = None
    """The attempt of the same exchange that failed before this one was made."""


class Settlement(msgspec.Struct, frozen=True):
    """The second line: what became of it."""

    attempt_id: str
    settled_at: int
    """Milliseconds since 1970: the time by which reports sort, so that a past day never changes."""
    cause: Cause
    status: int | None
    """The upstream's HTTP status; None when no answer came."""
    usage: Usage
    cost: int | None
    """Micro-dollars; None is `unpriced`, which is an alarm, and never 0."""
    answered_model: str | None = None
    service_tier: str | None = None
    upstream_request_id: str | None = None
    priced_by: PricedBy = PricedBy.NOTHING
    price_version: str = ""
    """Of the price book by which it was reckoned; empty when none was asked."""


class Reason(StrEnum):
    """Why a settlement was corrected."""

    LATE = "late"
    """It had been settled as crashed by another, and what really happened was told afterwards."""
    RERATED = "rerated"
    """The price book was corrected, and the attempt is reckoned again."""


class Adjustment(msgspec.Struct, frozen=True):
    """A correction, as its own line: what is to be added to the settlement. All may be below zero."""

    id: str
    attempt_id: str
    settled_at: int
    """The settlement's own: the day whose sums become right."""
    adjusted_at: int
    """Milliseconds since 1970."""
    reason: Reason
    usage: Usage
    """Differences; its source is the one that holds from now on."""
    cost: int
    """Micro-dollars: the difference; all of the cost, where it was not known before."""
    unpriced: int
    """-1 when the cost is known now and was not; 1 the other way round."""
    estimated: int
    """-1 when an estimate gives way to the provider's count; 1 the other way round."""
    priced_by: PricedBy
    price_version: str


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
    """Attempts that used something for which their model had no price."""
    estimated: int
    """Attempts that used something, by our own count or estimate and not by the provider's."""


class Ledger(Protocol):
    """The truth about what was spent. Append-only; idempotent by attempt id; settled exactly once."""

    async def admit(self, admission: Admission) -> None:
        """Returns when the line is safely written. Raises StoreUnavailable when it cannot be, without delay.

        Who is cancelled while waiting need do nothing: the attempt is settled as having used nothing.
        """

    def settle(self, settlement: Settlement) -> None:
        """Hand the line over, without waiting. It is written soon, before `close` returns, and once: of two
        settlements of one attempt the first counts. While the store is away it is kept.
        """

    async def recover(self) -> Sequence[Admission]:
        """Settle as estimated (`Cause.CRASH`) what dead processes admitted and never settled: these attempts.

        To be called at the start and then now and again; never touches a living process's attempts.
        Raises StoreUnavailable.
        """

    async def close(self) -> None:
        """Write everything that was handed over. Raises StoreUnavailable when that cannot be done in time."""


class UsageReports(Protocol):
    """What the ledger says. Every method raises StoreUnavailable when the store is away."""

    async def usage(self, by: Sequence[str], since: int | None, until: int | None) -> Sequence[UsageRow]:
        """Sums over the attempts settled from `since` on and before `until`, in milliseconds since 1970.

        Grouped by any of `team`, `model`, `key`, `day` (UTC) and `endpoint`, and sorted by them.
        Raises ValueError for another group.
        """

    async def unsettled(self) -> Sequence[Admission]:
        """Attempts that were admitted and are not settled: under way, or left by a process that died."""
