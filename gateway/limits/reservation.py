"""What one exchange holds, from its admission to its settlement. Settled exactly once, or given back.

Settling does not wait: it hands over, so that a client that hangs up cannot lose it. Settlements that wait
at the same time go to the store together.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from gateway.background import Job
from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Budget, Policy
from gateway.core.principal import Principal
from gateway.core.standing import Standing
from gateway.limits.amounts import NOTHING, Amounts
from gateway.limits.demands import Demands
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Limiter,
    Loader,
    More,
    Refusal,
    Spent,
    Unloaded,
)
from gateway.limits.refusals import RecentRefusals

_LOADS: Final = 3
"""Tries to load the budgets of one exchange: one does, unless the store loses them again."""
_TOGETHER: Final = 1000
"""Settlements after which those that wait are handed over once more: a job can be dropped."""
_RETRY_SECONDS: Final = 1.0
_NO_HOLD: Final = Hold("", ())

_Settle = Callable[[Spent], None]


class Reservation:
    """What a limiter decided, and what is held by it: nothing when it refused. To be used in a `with`."""

    __slots__ = ("_hold", "_on_leak", "_settle", "denials", "held", "refusal", "standings")

    def __init__(
        self,
        *,
        decision: Grant | Refusal,
        hold: Hold,
        held: Amounts,
        settle: _Settle,
        on_leak: Callable[[str], None],
    ) -> None:
        self.standings: tuple[Standing, ...] = decision.standings
        """What is left of each limit that the client may know of."""
        self.held = held
        """What the exchange is expected to spend; grows when it turns out to spend more."""
        self.denials: tuple[Deny, ...]
        """The refusal, in mode enforce; or what limits in shadow or warn mode have to say."""
        self.refusal = decision if isinstance(decision, Refusal) else None
        """What had no room, and how much there was."""
        self._hold: Hold | None
        if isinstance(decision, Refusal):
            self.denials, self._hold = (decision.deny,), None
        else:
            self.denials, self._hold = decision.notes, hold
        self._settle = settle
        self._on_leak = on_leak

    @property
    def hold(self) -> Hold | None:
        """What the store holds; None once it is settled."""
        return self._hold

    def settle(self, spent: Amounts) -> None:
        """This is what was spent. The first call counts; later ones do nothing."""
        if self._hold is not None:
            self._end(self._hold, _of_each(self._hold, spent))

    def release(self) -> None:
        """Nothing was spent, not even the request: give all of it back. Does nothing after a settlement."""
        self.settle(NOTHING)

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
    """Makes reservations, lets them grow, keeps those that last, and brings settlements to the store."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        loader: Loader,
        demands: Demands,
        refusals: RecentRefusals,
        hand_over: Callable[[Job], None],
        on_leak: Callable[[str], None],
        on_charged: Callable[[Sequence[Charged]], None],
    ) -> None:
        """`hand_over`: does a job soon, without being waited for. `on_leak`: told the id of an exchange
        that was left without a settlement. `on_charged`: told what settlements did to budgets."""
        self._limiter = limiter
        self._loader = loader
        self._demands = demands
        self._refusals = refusals
        self._hand_over = hand_over
        self._on_leak = on_leak
        self._on_charged = on_charged
        self._live: dict[str, Hold] = {}
        """Reservations that are not settled."""
        self._spents: list[Spent] = []

    async def reserve(
        self,
        exchange_id: str,
        principal: Principal,
        policy: Policy,
        model_name: str | None,
        expected: Amounts,
        bound: Amounts | None = None,
    ) -> Reservation:
        """Hold all that this exchange is expected to spend, or nothing.

        `model_name`: the catalogue's, None for none. `bound`: the most that it can spend, for strict budgets.
        Raises StoreUnavailable; then nothing stays held.
        """
        hold = Hold(exchange_id, self._demands.of(principal, policy, model_name, expected, bound))
        try:
            while isinstance(decision := await self._decide(hold), Unloaded):
                hold = _without(hold, decision.demands)
        except BaseException:
            # It was cancelled, or the store is away: whether anything is held, nobody knows.
            self._settle(Spent(hold, _of_each(hold, NOTHING)))
            raise
        if isinstance(decision, Refusal):
            self._refusals.remember(principal, policy, decision)
        elif hold.demands:
            self._live[exchange_id] = hold
        return Reservation(
            decision=decision, hold=hold, held=expected, settle=self._settle, on_leak=self._on_leak
        )

    def charge(
        self, exchange_id: str, principal: Principal, policy: Policy, model_name: str | None, spent: Amounts
    ) -> None:
        """This was spent by an exchange of a process that died: in the place of what it held, if anything."""
        hold = Hold(exchange_id, self._demands.of(principal, policy, model_name, spent))
        self._settle(Spent(hold, _of_each(hold, spent)))

    async def extend(self, growing: Sequence[tuple[Reservation, Amounts]]) -> Sequence[Demand | None]:
        """Hold so much more for each. Tells, for each, the budget that has no more room: its exchange has to
        end. What is settled, or has no limits, gets nothing and lacks nothing. Raises StoreUnavailable."""
        holds = [reservation.hold or _NO_HOLD for reservation, _ in growing]
        mores = [
            More(hold, _beyond(hold, more))
            for hold, (_, more) in zip(holds, growing, strict=True)
            if hold.demands
        ]
        answers = iter(await self._limiter.extend(mores) if mores else ())
        exhausted = [next(answers) if hold.demands else None for hold in holds]
        for (reservation, more), demand in zip(growing, exhausted, strict=True):
            if demand is None:
                reservation.held = reservation.held.plus(more)
        return exhausted

    async def renew_all(self) -> None:
        """Keep what is held for all that still runs. To be called several times within a lease."""
        await self._limiter.renew(list(self._live.values()))

    async def _decide(self, hold: Hold) -> Grant | Refusal | Unloaded:
        """The decision; Unloaded for budgets that nobody can load now and that need not be known."""
        decision = await self._ask(hold)
        for _ in range(_LOADS):
            if not isinstance(decision, Unloaded):
                return decision
            try:
                await self._loader.load(decision.demands)
            except StoreUnavailable:
                break
            decision = await self._ask(hold)
        return _unless_enforced(decision) if isinstance(decision, Unloaded) else decision

    async def _ask(self, hold: Hold) -> Grant | Refusal | Unloaded:
        return await self._limiter.reserve(hold) if hold.demands else Grant(())

    def _settle(self, spent: Spent) -> None:
        self._live.pop(spent.hold.exchange_id, None)
        if spent.hold.demands:
            self._spents.append(spent)
            if len(self._spents) % _TOGETHER == 1:
                self._hand_over(self._settle_waiting)

    async def _settle_waiting(self) -> None:
        """All that wait. Whoever is handed over after them finds nothing left to do."""
        spents, self._spents = self._spents, []
        if spents:
            charged = await self._limiter.settle(spents)
            if charged:
                self._on_charged(charged)


def _of_each(hold: Hold, amounts: Amounts) -> tuple[int, ...]:
    """What each limit counts of it."""
    return tuple([getattr(amounts, demand.limit.counts) for demand in hold.demands])


def _beyond(hold: Hold, more: Amounts) -> tuple[int, ...]:
    """What each limit has to hold of it. Strict budgets hold the most already."""
    return tuple(
        [
            0 if isinstance(demand.limit, Budget) and demand.limit.strict else amount
            for demand, amount in zip(hold.demands, _of_each(hold, more), strict=True)
        ]
    )


def _without(hold: Hold, unknown: tuple[Demand, ...]) -> Hold:
    return hold._replace(demands=tuple([demand for demand in hold.demands if demand not in unknown]))


def _unless_enforced(unloaded: Unloaded) -> Refusal | Unloaded:
    """A budget that is enforced refuses while nobody knows how much of it is left."""
    for demand in unloaded.demands:
        if demand.limit.mode is Mode.ENFORCE:
            name = demand.limit.name
            reason = f"The budget `{name}` cannot be looked up at the moment. Send the request again."
            code, rule = ErrorCode.BUDGET_UNAVAILABLE, f"budgets.{name}"
            return Refusal(Deny(code, reason, rule, Mode.ENFORCE, retry_after=_RETRY_SECONDS), (), demand)
    return unloaded
