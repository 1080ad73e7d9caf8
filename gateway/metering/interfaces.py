"""The promises of `metering/`: what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

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


NARROWING: Final = ("team", "user", "key", "model", "endpoint", "upstream", "tier")
"""What a usage report can be narrowed to, and grouped by. `user` is the subject, `tier` the one answered."""
GROUPS: Final = (*NARROWING, "day", "month")
"""What it can be grouped by: those, and the day or month of the settlement, in UTC."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One line of a usage report: sums over settled attempts, corrections included."""

    group: tuple[str, ...]
    attempts: int = 0
    requests: int = 0
    """First attempts: what clients asked, however often it had to be sent."""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0
    cost: int = 0
    """Micro-dollars of the priced attempts."""
    unpriced: int = 0
    """Attempts that used something for which their model had no price."""
    estimated: int = 0
    """Attempts that used something, by our own count or estimate and not by the provider's."""


class Ledger(Protocol):
    """The truth about what was spent. Append-only; idempotent by attempt id; settled exactly once."""

    async def admit(self, admission: Admission) -> None:
        """Returns when the line is safe, whatever becomes of this process. Raises StoreUnavailable when it
        cannot be, without delay.
        """

    def settle(self, settlement: Settlement) -> None:
        """Hand the line over, without waiting. It is written soon, before `close` returns, and once: of two
        settlements of one attempt the first counts. While the store is away it is kept.
        """

    async def flush(self) -> None:
        """Returns when all that was handed over before is where reports and budgets read it.

        Raises StoreUnavailable.
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

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        """Sums over the attempts settled from `since` on and before `until`, in milliseconds since 1970.

        Grouped by any of GROUPS, and sorted by them; `only`: by NARROWING, the one that is counted. What is
        not known (the tier of an answer that never came) is an empty text. Raises ValueError for other names.
        """

    async def unsettled(self) -> Sequence[Admission]:
        """Attempts that were admitted and are not settled: under way, or left by a process that died."""
