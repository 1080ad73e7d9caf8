"""The promises of `limits/`: how much is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from gateway.core.decision import Deny
from gateway.core.policy import Budget, Limit
from gateway.core.spending import Spending, SpendingQuery
from gateway.core.standing import Standing
from gateway.limits.bucket import Rate
from gateway.limits.budget import Window

MOST_SHOWN: Final = 100
"""Holders of one bucket that `look` tells of."""
LOAD: Final = "load"
"""The ids of loads begin with it."""


class Demand(NamedTuple):
    """What one exchange wants of one limit: of a rate, of a budget, or a slot."""

    limit: Limit | Budget
    bucket: str
    """Whose it is, under which it is kept: see `demands.py`."""
    cost: int
    """In what the limit counts."""
    rate: Rate | None = None
    """The numbers of a rate limit."""
    window: Window | None = None
    """The numbers of a budget. With neither, it is a slot."""


class Hold(NamedTuple):
    """Everything that one exchange wants, under its id: at least one demand, all kept at one place."""

    exchange_id: str
    demands: tuple[Demand, ...]
    slice: bool = False
    """Whether no exchange holds it but a replica, to spend while Redis is away. Of budgets alone."""


class Spent(NamedTuple):
    """What an exchange really spent of what it held."""

    hold: Hold
    amounts: tuple[int, ...]
    """For each demand, in its order. Unread for slots, which are always freed."""


class More(NamedTuple):
    """What an exchange wants beyond what it holds."""

    hold: Hold
    amounts: tuple[int, ...]
    """For each demand, in its order: how much more. Unread for slots."""


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
    level: int = 0
    """What the store found of it, as in Look."""


@dataclass(frozen=True, slots=True)
class Unloaded:
    """Nothing is held, nor refused: these budgets have to be loaded first."""

    demands: tuple[Demand, ...]


class Charged(NamedTuple):
    """What a settlement has done to one budget."""

    demand: Demand
    before: int
    """Spent in this window before it …"""
    after: int
    """… and after."""


class Holder(NamedTuple):
    """Who holds some of a budget, or a slot."""

    exchange_id: str
    amount: int
    seconds: float
    """Until its lease ends, unless it is renewed."""


class Look(NamedTuple):
    """What a store knows of one bucket."""

    level: int
    """Of a rate, the debt in micro-tokens; of slots, those taken; of a budget, what is spent and held."""
    spent: int = 0
    """Of a budget, in its window."""
    set_aside: int = 0
    """Of a budget: held in slices."""
    loaded: bool = True
    """False for a budget that nobody has asked for since the store began: its numbers say nothing."""
    holders: tuple[Holder, ...] = ()
    """Of slots and budgets; at most `MOST_SHOWN`, those whose leases end first."""


class Limiter(Protocol):
    """Holds what exchanges may spend: all or nothing, in one step. Knows nothing of HTTP or of OpenAI."""

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        """Hold every demand, or none. Asking twice with one id holds once; after its settlement, nothing.

        Raises StoreUnavailable when the store is away. Whether anything is held is then unknown: settle it.
        """

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        """Hold more for exchanges that hold already. For each, the enforced budget that has no more room:
        then nothing of it is added; or None. Rates, and budgets that are not enforced, always give.

        What is settled gets no more. Saying it twice holds twice. Raises StoreUnavailable.
        """

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        """Give back (or take) the difference between what was held and what was spent, and free the slots.
        Tells what became of budgets that were charged.

        A second settlement of one id does nothing. An id that is unknown, because the store lost it or never
        saw it, is charged all that was spent: it counts, whoever forgot the hold.
        Raises StoreUnavailable when the store is away.
        """

    async def renew(self, holds: Sequence[Hold]) -> None:
        """Begin the leases of these holds anew, unless settled: of slots, of what is held of budgets. A slot
        whose lease has ended is free, and a budget's hold as if it had never been.

        Raises StoreUnavailable when the store is away.
        """

    async def load(self, demand: Demand, spending: Spending) -> None:
        """Begin this budget with what the ledger says, unless it is loaded already. What the ledger calls
        under way is held, except what was settled here in the meantime: that is spent.

        Of what is settled here while the ledger is asked, nobody knows whether it is in the answer. So who
        asks says so before, by a load that has nothing but its own id under way: it leaves a mark. When it
        comes again, with the answer behind that id, all that was settled since the mark is spent as well. A
        mark that was lost meanwhile is left anew, and nothing is loaded.

        Raises StoreUnavailable when the store is away.
        """

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        """What is known of these buckets, unchanged. `cost` is unread. Raises StoreUnavailable."""

    async def buckets(self, tag: str) -> Sequence[str]:
        """The names of all buckets that are kept together under this tag. Raises StoreUnavailable."""


class Share(NamedTuple):
    """This replica's part of every limit while the store is away: it is one of so many."""

    rank: int
    of: int


class Pulse(NamedTuple):
    """What a replica learns each time it tells the store that it lives."""

    share: Share
    emptied: bool
    """Whether the store has lost everything since the last time."""
    now: float
    """The store's own time: seconds since 1970."""


class RemoteLimiter(Limiter, Protocol):
    """A limiter whose store can be away."""

    async def probe(self) -> None:
        """See whether the store answers, and takes writes. Raises StoreUnavailable when it does not."""

    async def beat(self, replica: str) -> Pulse:
        """Tell that this replica lives. One that has not done so for `keep_alive` seconds is dead, and its
        share goes to the others. Raises StoreUnavailable."""

    async def restore(self, debts: Sequence[tuple[Demand, int]]) -> None:
        """Let these rates owe at least so many micro-tokens: a store that came back empty takes them for
        full. Raises StoreUnavailable."""


class Books(Protocol):
    """The ledger, as budgets ask it."""

    async def spending(self, query: SpendingQuery) -> Spending:
        """What was spent, and what is under way. An attempt that is admitted is in it from then on, and
        counted once. Raises StoreUnavailable."""


class Loader(Protocol):
    """Loads budgets into the store."""

    async def load(self, demands: Sequence[Demand]) -> None:
        """Returns when each is loaded. Raises StoreUnavailable when the ledger, or the store, is away."""
