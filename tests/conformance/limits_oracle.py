"""What every limiter should do, said as naively as possible: an oracle for `test_limits_model.py`.

A rate is the list of all its charges, added up anew whenever somebody looks; a budget is a list of what was
charged, each under the number of its day, week or month; a hold is a line with its end. Nothing is swept,
rolled over or forgotten, and nothing is shared with the code that is tested but the words (and the last one
of all, `judge`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Limit, Period
from gateway.core.spending import Spending
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Holder,
    Look,
    More,
    Refusal,
    Spent,
    Unloaded,
)
from gateway.limits.verdict import Fit, judge

MICRO = 1_000_000
MOST = 2**52
"""Nothing is ever more than this."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def window_number(budget: Budget, now: int) -> int:
    """Which of all days, weeks or months it is, where the budget is at home. `now`: microseconds."""
    date = (EPOCH + timedelta(microseconds=now)).astimezone(ZoneInfo(budget.zone)).date()
    match budget.period:
        case Period.DAY:
            return date.toordinal()
        case Period.WEEK:
            return (date.toordinal() - 1) // 7  # the first of January of the year 1 was a Monday
        case Period.MONTH:
            return date.year * 12 + date.month


@dataclass
class Rate:
    """What was charged: when, and how many micro-tokens. A refund is a charge below nothing."""

    charges: list[tuple[int, int]] = field(default_factory=list)

    def owed(self, limit: Limit, now: int, *, rounded: bool = True) -> Fraction:
        """`rounded`: as the gateway counts: up to the whole micro-token, at each charge."""
        gain = Fraction(limit.amount * MICRO) / round(limit.seconds * MICRO)
        debt, last = Fraction(0), 0
        for at, charge in [*self.charges, (now, 0)]:
            debt = max(Fraction(0), debt - (at - last) * gain)
            debt = Fraction(ceil(debt)) if rounded else debt
            debt = min(max(Fraction(0), debt + charge), Fraction(MOST))
            last = at
        return debt

    def level(self, limit: Limit, now: int) -> int:
        """In whole micro-tokens. Exactly, it would be less by no more than one for each charge."""
        level, exact = int(self.owed(limit, now)), self.owed(limit, now, rounded=False)
        assert exact <= level <= exact + len(self.charges) + 1
        return level


@dataclass
class Line:
    """What somebody holds, and until when."""

    amount: int
    ends: int


@dataclass
class Account:
    """A budget, or slots (of which only `lines` are used)."""

    lines: dict[str, Line] = field(default_factory=dict)
    known: int | None = None
    """The last window in which anything was loaded, held or charged."""
    charges: list[tuple[int, int]] = field(default_factory=list)
    """In which window, and how much."""
    early: dict[str, int] = field(default_factory=dict)
    """What was settled before anybody loaded it."""

    def live(self, now: int) -> dict[str, Line]:
        return {holder: line for holder, line in self.lines.items() if line.ends > now}

    def held(self, now: int) -> int:
        return sum(line.amount for line in self.live(now).values())

    def held_by(self, holder: str, now: int) -> int:
        line = self.live(now).get(holder)
        return line.amount if line else 0

    def set_aside(self, now: int) -> int:
        return sum(line.amount for holder, line in self.live(now).items() if holder.startswith("slice:"))

    def is_loaded(self, window: int) -> bool:
        return self.known is not None and self.known <= window <= self.known + 1

    def spent(self, window: int) -> int:
        return min(sum(amount for number, amount in self.charges if number == window), MOST)


@dataclass
class Record:
    """What is remembered of an exchange."""

    fits: list[Fit]
    held: list[int]
    """Of each demand; what does not fit is not held."""
    settled: bool = False


class Oracle:
    """A limiter without any haste. Times are in microseconds since 1970."""

    def __init__(self, now: int, *, lease: int, slice_lease: int) -> None:
        self.now = now
        self._lease = lease
        self._slice_lease = slice_lease
        self._rates: defaultdict[str, Rate] = defaultdict(Rate)
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._records: dict[str, Record] = {}

    def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        record = self._records.get(hold.exchange_id)
        fits = record.fits if record else [self._fit(demand, hold) for demand in hold.demands]
        levels = [self._level(demand) for demand in hold.demands]
        stopped = any(
            fit is Fit.UNLOADED or (fit is not Fit.YES and demand.limit.mode is Mode.ENFORCE)
            for demand, fit in zip(hold.demands, fits, strict=True)
        )
        if not record and not stopped:
            held = [
                demand.cost if fit is Fit.YES else 0 for demand, fit in zip(hold.demands, fits, strict=True)
            ]
            self._records[hold.exchange_id] = Record(fits, held)
            for index, demand in enumerate(hold.demands):
                if fits[index] is Fit.YES:
                    self._hold(hold, demand, demand.cost)
                    levels[index] = self._level(demand)
        return judge(hold.demands, fits, levels)

    def extend(self, more: More) -> Demand | None:
        hold = more.hold
        record = self._records.get(hold.exchange_id)
        if record is None:
            held = [0 if demand.rate else demand.cost for demand in hold.demands]
            record = Record([Fit.YES] * len(hold.demands), held)
        if record.settled:
            return None
        growing = [
            (index, demand, amount)
            for index, (demand, amount) in enumerate(zip(hold.demands, more.amounts, strict=True))
            if amount and record.fits[index] is Fit.YES and (demand.rate or demand.window)
        ]
        for index, demand, amount in growing:
            if demand.window and demand.limit.mode is Mode.ENFORCE:
                wanted = demand._replace(cost=record.held[index] + amount)
                if self._fit(wanted, hold) not in (Fit.YES, Fit.UNLOADED):
                    return demand
        for index, demand, amount in growing:
            record.held[index] += amount
            self._hold(hold, demand, amount if demand.rate else record.held[index])
        self._records[hold.exchange_id] = record
        return None

    def settle(self, spent: Spent) -> list[Charged]:
        hold, charged = spent.hold, []
        record = self._records.get(hold.exchange_id)
        if record and record.settled:
            return []
        for index, (demand, amount) in enumerate(zip(hold.demands, spent.amounts, strict=True)):
            if demand.window:
                charged += self._charge(hold, demand, amount)
            elif not demand.rate:
                self._accounts[demand.bucket].lines.pop(hold.exchange_id, None)
            elif not record or record.fits[index] is Fit.YES:
                difference = amount - (record.held[index] if record else 0)
                self._owe(demand, difference)
        everything = [Fit.YES] * len(hold.demands)
        self._records[hold.exchange_id] = Record(everything, [0] * len(everything), settled=True)
        return charged

    def renew(self, hold: Hold) -> None:
        record = self._records.get(hold.exchange_id)
        if record and record.settled:
            return
        for index, demand in enumerate(hold.demands):
            if demand.rate or (record and record.fits[index] is not Fit.YES):
                continue
            account = self._accounts[demand.bucket]
            line = account.live(self.now).get(hold.exchange_id)
            if line:
                line.ends = self.now + self._lease_of(hold)
            else:
                self._hold(hold, demand, record.held[index] if record else demand.cost)

    def load(self, demand: Demand, spending: Spending) -> None:
        account, window = self._accounts[demand.bucket], self._window(demand)
        if account.is_loaded(window):
            return
        total = spending.spent
        for holder, amount in spending.under_way:
            if holder in account.early:
                total += account.early[holder]
            elif amount and not account.held_by(holder, self.now):
                account.lines[holder] = Line(amount, self.now + self._lease)
        account.known, account.charges, account.early = window, [(window, total)], {}

    def look(self, demand: Demand) -> Look:
        if demand.rate:
            return Look(self._level(demand))
        account = self._accounts[demand.bucket]
        if demand.window and not account.is_loaded(self._window(demand)):
            return Look(0, loaded=False)
        holders = tuple(
            Holder(holder, line.amount, (line.ends - self.now) / MICRO)
            for holder, line in sorted(
                account.live(self.now).items(), key=lambda item: (item[1].ends, item[0])
            )
        )
        if not demand.window:
            return Look(len(holders), holders=holders)
        spent = account.spent(self._window(demand))
        return Look(self._level(demand), spent, account.set_aside(self.now), True, holders)

    def knows(self, hold: Hold) -> bool:
        """Whether it was granted, or settled."""
        return hold.exchange_id in self._records

    def is_live(self, hold: Hold) -> bool:
        """Whether it was granted, and not settled."""
        return self.knows(hold) and not self._records[hold.exchange_id].settled

    def ends(self) -> Iterator[int]:
        """When leases end, those that have ended among them."""
        for account in self._accounts.values():
            yield from (line.ends for line in account.lines.values())

    def _window(self, demand: Demand) -> int:
        assert isinstance(demand.limit, Budget)
        return window_number(demand.limit, self.now)

    def _lease_of(self, hold: Hold) -> int:
        return self._slice_lease if hold.slice else self._lease

    def _level(self, demand: Demand) -> int:
        if demand.rate:
            assert isinstance(demand.limit, Limit)
            return self._rates[demand.bucket].level(demand.limit, self.now)
        account = self._accounts[demand.bucket]
        if not demand.window:
            return len(account.live(self.now))
        if not account.is_loaded(self._window(demand)):
            return 0
        return account.spent(self._window(demand)) + account.held(self.now)

    def _fit(self, demand: Demand, hold: Hold) -> Fit:
        if isinstance(demand.limit, Limit):
            most = demand.limit.burst * MICRO if demand.rate else demand.limit.amount
            cost = demand.cost * MICRO if demand.rate else 1
            return Fit.YES if not cost or self._level(demand) + cost <= most else Fit.NO
        assert demand.window
        account = self._accounts[demand.bucket]
        if not account.is_loaded(self._window(demand)):
            return Fit.UNLOADED
        more = max(0, demand.cost - account.held_by(hold.exchange_id, self.now))
        level = self._level(demand) + more
        if not more or level <= demand.window.amount:
            return Fit.YES
        if level - account.set_aside(self.now) <= demand.window.amount:
            return Fit.SET_ASIDE
        spent = account.spent(self._window(demand))
        return Fit.HELD if spent + more <= demand.window.amount else Fit.NO

    def _hold(self, hold: Hold, demand: Demand, amount: int) -> None:
        """Of a rate: so much more. Of others: so much, if it is more than what is held."""
        if demand.rate:
            self._owe(demand, amount)
            return
        account = self._accounts[demand.bucket]
        amount = amount if demand.window else 1
        if amount > account.held_by(hold.exchange_id, self.now):
            account.lines[hold.exchange_id] = Line(amount, self.now + self._lease_of(hold))
            if demand.window and account.is_loaded(self._window(demand)):
                account.known = self._window(demand)

    def _owe(self, demand: Demand, amount: int) -> None:
        if amount:
            self._rates[demand.bucket].charges.append((self.now, amount * MICRO))

    def _charge(self, hold: Hold, demand: Demand, amount: int) -> list[Charged]:
        account, window = self._accounts[demand.bucket], self._window(demand)
        held = account.held_by(hold.exchange_id, self.now)
        account.lines.pop(hold.exchange_id, None)
        if not account.is_loaded(window):
            account.known = None
            account.early[hold.exchange_id] = amount
            return []
        if held or amount:
            account.known = window
        before = account.spent(window)
        account.charges.append((window, amount))
        after = account.spent(window)
        return [Charged(demand, before, after)] if after != before else []
