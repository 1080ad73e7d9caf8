"""The slots that this replica's exchanges have, wherever they were reserved. Pure.

Law: while Redis is away the replicas' parts of a limit's slots make up the whole. What runs already counts.
"""

from gateway.limits.interfaces import Demand, Share


class Slots:
    """Of one replica."""

    def __init__(self) -> None:
        self._holders: dict[str, set[str]] = {}
        """Ids of exchanges, by the bucket."""

    @property
    def size(self) -> int:
        """Of how many buckets any slot is taken."""
        return len(self._holders)

    def take(self, demand: Demand, exchange_id: str) -> None:
        """This exchange has one."""
        self._holders.setdefault(demand.bucket, set()).add(exchange_id)

    def free(self, demand: Demand, exchange_id: str) -> None:
        """It has it no more, if it ever did."""
        holders = self._holders.get(demand.bucket)
        if holders is not None:
            holders.discard(exchange_id)
            if not holders:
                del self._holders[demand.bucket]

    def taken(self, demand: Demand) -> int:
        """Those in use."""
        return len(self._holders.get(demand.bucket, ()))

    def fits(self, demand: Demand, share: Share) -> bool:
        """Whether one is free of this replica's part: an equal one, and one of the odd slots by rank."""
        each, odd = divmod(demand.limit.amount, share.of)
        return self.taken(demand) < each + (share.rank < odd)
