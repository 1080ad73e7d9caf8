"""What a store should have decided: an oracle that goes through its decisions again, in its own order.

It computes with fractions, so nothing is rounded; and it shares no code with what it judges but the words.
What the store has granted is held here too, whether it should have been or not: so each decision is judged
by what was before it.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from gateway.core.policy import Budget, Limit
from gateway.limits.interfaces import Demand
from tests.conformance.limits_oracle import window_number
from tests.proofs.burst import Act, Extended, Reserved, Settled

MICRO = 1_000_000


@dataclass
class Rate:
    """A bucket: what is owed, in micro-tokens, at a microsecond."""

    debt: Fraction = Fraction(0)
    at: int = 0

    def owed(self, limit: Limit, now: int) -> Fraction:
        gain = Fraction(limit.amount * MICRO, round(limit.seconds * MICRO))
        return max(Fraction(0), self.debt - (now - self.at) * gain)

    def charge(self, limit: Limit, now: int, tokens: int) -> None:
        self.debt = max(Fraction(0), self.owed(limit, now) + tokens * MICRO)
        self.at = now


@dataclass
class Line:
    amount: int
    ends: int


@dataclass
class Account:
    """A budget; or slots, of which nothing is ever spent."""

    spent: int = 0
    window: int = 0
    held: int = 0
    lines: dict[str, Line] = field(default_factory=dict)
    """Whose lease ends first is first."""

    def let_pass(self, window: int, now: int) -> None:
        """Forget what was spent in another window, and what was held under leases that have ended."""
        if window != self.window:
            self.window, self.spent = window, 0
        for holder, line in list(self.lines.items()):
            if line.ends > now:
                break
            self.give_back(holder)

    def held_by(self, holder: str) -> int:
        return self.lines[holder].amount if holder in self.lines else 0

    def give_back(self, holder: str) -> None:
        line = self.lines.pop(holder, None)
        self.held -= line.amount if line else 0

    def hold(self, holder: str, amount: int, ends: int) -> None:
        """So much, and no more; a new lease, if it is more than before. What is nothing has none."""
        if amount > self.held_by(holder):
            self.give_back(holder)
            self.lines[holder] = Line(amount, ends)
            self.held += amount


@dataclass
class Replay:
    """The judge of one burst. Times are in microseconds since 1970."""

    lease: int
    decisions: int = 0
    over_admitted: int = 0
    under_admitted: int = 0
    refused: int = 0
    misstated: list[str] = field(default_factory=list)
    """Levels and charges that the store has told, and that were others."""
    rounding: Fraction = Fraction(0)
    """The most that a rate was said to owe beyond what it did, in micro-tokens."""

    def __post_init__(self) -> None:
        self._rates: defaultdict[str, Rate] = defaultdict(Rate)
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._records: dict[str, list[int]] = {}
        """What each exchange holds of each demand."""

    def begin(self, demand: Demand, spent: int, now: int) -> None:
        """So much was spent of a budget before."""
        self._account(demand, now).spent = spent

    def go_on(self, act: Act, now: int) -> None:
        """This was done, at this moment."""
        match act:
            case Reserved():
                self._reserve(act, now)
            case Extended():
                self._extend(act, now)
            case Settled():
                self._settle(act, now)

    def _reserve(self, act: Reserved, now: int) -> None:
        hold, refusal = act.hold, act.refusal
        costs = [demand.cost for demand in hold.demands]
        fits = all(self._fits(demand, hold.exchange_id, demand.cost, now) for demand in hold.demands)
        self._judge(fits, refusal is None)
        if refusal is None:
            self._records[hold.exchange_id] = [0] * len(costs)
            self._hold(act, costs, now)
            return
        level, exact = refusal.level, self._level(refusal.demand, now)
        if refusal.demand.rate is not None and exact <= level:
            self.rounding = max(self.rounding, Fraction(level - exact))
        elif level != exact:
            self.misstated.append(f"{refusal.demand.bucket} at {now}: {level} for {exact}")

    def _extend(self, act: Extended, now: int) -> None:
        hold = act.hold
        wanted = [
            held + more for held, more in zip(self._records[hold.exchange_id], act.amounts, strict=True)
        ]
        fits = all(
            self._fits(demand, hold.exchange_id, want, now)
            for demand, want, more in zip(hold.demands, wanted, act.amounts, strict=True)
            if demand.window is not None and more
        )
        self._judge(fits, act.exhausted is None)
        if act.exhausted is None:
            self._hold(act, [0 if _is_slot(demand) else more for demand, more in _pairs(act)], now)

    def _settle(self, act: Settled, now: int) -> None:
        holder = act.hold.exchange_id
        charged = []
        for (demand, amount), held in zip(_pairs(act), self._records.pop(holder), strict=True):
            if isinstance(demand.limit, Limit) and demand.rate is not None:
                self._rates[demand.bucket].charge(demand.limit, now, amount - held)
                continue
            account = self._account(demand, now)
            account.give_back(holder)
            if demand.window is not None and amount:
                charged.append((demand, account.spent, account.spent + amount))
                account.spent += amount
        if charged != list(act.charged):
            self.misstated.append(f"{holder} at {now}: charged {act.charged}")

    def _judge(self, fits: bool, granted: bool) -> None:
        self.decisions += 1
        self.refused += not granted
        self.over_admitted += granted and not fits
        self.under_admitted += fits and not granted

    def _hold(self, act: Reserved | Extended, amounts: list[int], now: int) -> None:
        """So much more."""
        holder = act.hold.exchange_id
        held = self._records[holder]
        for index, (demand, amount) in enumerate(zip(act.hold.demands, amounts, strict=True)):
            held[index] += amount
            if isinstance(demand.limit, Limit) and demand.rate is not None:
                self._rates[demand.bucket].charge(demand.limit, now, amount)
            elif amount:
                account = self._account(demand, now)
                account.hold(holder, 1 if _is_slot(demand) else held[index], now + self.lease)

    def _fits(self, demand: Demand, holder: str, wanted: int, now: int) -> bool:
        """Whether this exchange may hold so much of it."""
        level = self._level(demand, now)
        if isinstance(demand.limit, Limit) and demand.rate is not None:
            return not wanted or level + wanted * MICRO <= demand.limit.burst * MICRO
        if _is_slot(demand):
            return level < demand.limit.amount
        more = wanted - self._account(demand, now).held_by(holder)
        return more <= 0 or level + more <= demand.limit.amount

    def _level(self, demand: Demand, now: int) -> Fraction | int:
        if isinstance(demand.limit, Limit) and demand.rate is not None:
            return self._rates[demand.bucket].owed(demand.limit, now)
        account = self._account(demand, now)
        return account.spent + account.held

    def _account(self, demand: Demand, now: int) -> Account:
        """As it is at this moment."""
        account = self._accounts[demand.bucket]
        window = window_number(demand.limit, now) if isinstance(demand.limit, Budget) else 0
        account.let_pass(window, now)
        return account


def _is_slot(demand: Demand) -> bool:
    return demand.rate is None and demand.window is None


def _pairs(act: Extended | Settled) -> list[tuple[Demand, int]]:
    return list(zip(act.hold.demands, act.amounts, strict=True))
