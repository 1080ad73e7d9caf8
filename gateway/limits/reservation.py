"""What one exchange holds, from its admission to its settlement. Settled exactly once, or given back.

Settling does not wait: it hands over, so that a client that hangs up cannot lose it. Settlements that wait
at the same time go to the store together.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from gateway.background import Job
from gateway.core.decision import Deny
from gateway.core.policy import Counted, Policy
from gateway.core.principal import Principal
from gateway.core.standing import Standing
from gateway.limits.demands import Demands
from gateway.limits.interfaces import Demand, Grant, Hold, Limiter, Refusal, Spent
from gateway.limits.refusals import RecentRefusals

_Settle = Callable[[Spent], None]
_TOKENS: Final = Counted.TOKENS


class Reservation:
    """What a limiter decided, and what is held by it: nothing when it refused. To be used in a `with`."""

    __slots__ = ("_hold", "_on_leak", "_settle", "denials", "standings")

    def __init__(
        self, *, decision: Grant | Refusal, hold: Hold, settle: _Settle, on_leak: Callable[[str], None]
    ) -> None:
        self.standings: tuple[Standing, ...] = decision.standings
        """What is left of each limit that the client may know of."""
        self.denials: tuple[Deny, ...]
        """The refusal, in mode enforce; or what limits in shadow or warn mode have to say."""
        self._hold: Hold | None
        if isinstance(decision, Refusal):
            self.denials, self._hold = (decision.deny,), None
        else:
            self.denials, self._hold = decision.notes, hold
        self._settle = settle
        self._on_leak = on_leak

    def settle(self, tokens: int) -> None:
        """So many tokens were spent, and the request. The first call counts; later ones do nothing."""
        if self._hold is not None:
            self._end(self._hold, tuple([_amount(demand, tokens) for demand in self._hold.demands]))

    def release(self) -> None:
        """Nothing was spent, not even the request: give all of it back. Does nothing after a settlement."""
        if self._hold is not None:
            self._end(self._hold, _nothing(self._hold))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._hold is not None:
            self._on_leak(self._hold.exchange_id)
            self.release()

    def _end(self, hold: Hold, amounts: tuple[int, ...]) -> None:
        self._hold = None
        self._settle(Spent(hold, amounts))


class Reservations:
    """Makes reservations, renews the slots of those that last, and brings settlements to the store."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        refusals: RecentRefusals,
        hand_over: Callable[[Job], None],
        on_leak: Callable[[str], None],
    ) -> None:
        """`hand_over`: does a job soon, without being waited for. `on_leak`: told the id of an exchange
        that was left without a settlement."""
        self._limiter = limiter
        self._refusals = refusals
        self._hand_over = hand_over
        self._on_leak = on_leak
        self._demands = Demands()
        self._live: dict[str, Hold] = {}
        """Reservations that are not settled."""
        self._spents: list[Spent] = []

    async def reserve(
        self,
        exchange_id: str,
        principal: Principal,
        policy: Policy,
        model_name: str | None,
        expected_tokens: int,
    ) -> Reservation:
        """Hold all that this exchange may spend, or nothing. `model_name`: the catalogue's, None for none.

        Raises StoreUnavailable; then nothing stays held.
        """
        hold = Hold(exchange_id, self._demands.of(principal, policy.limits, model_name, expected_tokens))
        try:
            decision = await self._limiter.reserve(hold) if hold.demands else Grant(())
        except BaseException:
            # It was cancelled, or the store is away: whether anything is held, nobody knows.
            self._settle(Spent(hold, _nothing(hold)))
            raise
        if isinstance(decision, Refusal):
            self._refusals.remember(principal, policy, decision)
        else:
            self._live[exchange_id] = hold
        return Reservation(decision=decision, hold=hold, settle=self._settle, on_leak=self._on_leak)

    async def renew_all(self) -> None:
        """Keep the slots of all that still runs. To be called several times within a lease."""
        await self._limiter.renew(list(self._live.values()))

    def _settle(self, spent: Spent) -> None:
        self._live.pop(spent.hold.exchange_id, None)
        if spent.hold.demands:
            self._spents.append(spent)
            if len(self._spents) == 1:
                self._hand_over(self._settle_waiting)

    async def _settle_waiting(self) -> None:
        """All that wait. Whoever is handed over after them finds nothing left to do."""
        spents, self._spents = self._spents, []
        if spents:
            await self._limiter.settle(spents)


def _amount(demand: Demand, tokens: int) -> int:
    """An upstream that tells of negative usage gives nobody more than they have."""
    return max(0, tokens) if demand.limit.counts is _TOKENS else demand.cost


def _nothing(hold: Hold) -> tuple[int, ...]:
    return (0,) * len(hold.demands)
