"""The promises of `limits/`: how much is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.core.decision import Deny
from gateway.core.policy import Limit
from gateway.core.standing import Standing
from gateway.limits.bucket import Rate


class Demand(NamedTuple):
    """What one exchange wants of one limit."""

    limit: Limit
    bucket: str
    """Whose bucket: `{team}:limit-name:scope[:value]`. The braces are a Redis Cluster hash tag."""
    cost: int
    """Requests (1), tokens (expected), or slots (1)."""
    rate: Rate | None
    """The numbers of a rate limit; None for slots."""


class Hold(NamedTuple):
    """Everything that one exchange wants, under the exchange's id: at least one demand, all of one team."""

    exchange_id: str
    demands: tuple[Demand, ...]


class Spent(NamedTuple):
    """What an exchange really spent of what it held."""

    hold: Hold
    amounts: tuple[int, ...]
    """For each demand, in its order: requests or tokens. Unread for slots, which are always freed."""


class Grant(NamedTuple):
    """Everything is held."""

    standings: tuple[Standing, ...]
    notes: tuple[Deny, ...] = ()
    """Limits in shadow or warn mode that would have refused. They are left as they were, as if they had: so
    what shadow mode reports is what enforcement would do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing is held; `deny` says why, `standings` are unchanged."""

    deny: Deny
    standings: tuple[Standing, ...]
    demand: Demand
    """What did not fit."""


class Limiter(Protocol):
    """Holds what exchanges may spend: all or nothing, in one step. Knows nothing of HTTP or of OpenAI."""

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        """Hold every demand, or none. Asking twice with one id holds once; after its settlement, nothing.

        Raises StoreUnavailable when the store is away. Whether anything is held is then unknown: settle it.
        """

    async def settle(self, spents: Sequence[Spent]) -> None:
        """Give back (or take) the difference between what was held and what was spent, and free the slots.

        A second settlement of one id does nothing. An id that is unknown, because the store lost it or never
        saw it, is charged all that was spent: it counts, whoever forgot the hold.
        Raises StoreUnavailable when the store is away.
        """

    async def renew(self, holds: Sequence[Hold]) -> None:
        """Begin the leases of these holds' slots anew, unless settled. A slot whose lease has ended is free.

        Raises StoreUnavailable when the store is away.
        """


class RemoteLimiter(Limiter, Protocol):
    """A limiter whose store can be away."""

    async def probe(self) -> None:
        """See whether the store answers, and takes writes. Raises StoreUnavailable when it does not."""
