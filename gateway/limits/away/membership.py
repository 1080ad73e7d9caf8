"""This replica's part of every limit, as the store tells it with each beat. Pure.

Law: at no moment do the parts of all replicas make up more than the whole. So a smaller part counts at once,
and a larger one only when two beats in a row have said so: by then all others have heard the same.
"""

from gateway.limits.interfaces import Share


class Membership:
    """One of how many."""

    def __init__(self, *, replicas: int) -> None:
        """`replicas`: how many there are said to be, for one that has never heard."""
        self._before = self._last = Share(0, replicas)

    def hear(self, share: Share) -> None:
        """What a beat said. To be told of those that are a second apart."""
        self._before, self._last = self._last, share

    @property
    def share(self) -> Share:
        """What counts. A lower rank is a larger part, where it decides who gets an odd slot."""
        (rank, of), (later_rank, later_of) = self._before, self._last
        return Share(max(rank, later_rank), max(of, later_of))
