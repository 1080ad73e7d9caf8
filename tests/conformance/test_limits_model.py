"""Every limiter does what the oracle does, whatever happens in whatever order: a model-based test.

Hypothesis makes up limits of all kinds, and then a story: who reserves, settles, extends, renews and loads
what, and how time passes. After each step the limiter's answer is the oracle's, and so is all that can be
seen of every bucket.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Counted, Increase, Limit, Period, Scope
from gateway.core.principal import Principal
from gateway.core.spending import Spending, UnderWay
from gateway.limits.demands import bucket_of, demand_of, name_of
from gateway.limits.interfaces import Demand, Grant, Hold, Limiter, Look, More, Refusal, Spent, Unloaded
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import RedisLimiter
from tests.conformance.conftest import PATIENT
from tests.conformance.limits_oracle import MICRO, Oracle, window_number
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer

Caller = tuple[Principal, str]
"""Who, and on which model."""

TICK = 15_625
"""Microseconds: a 64th of a second. In multiples of it a clock of floats is exact."""
START = 1_795_046_400 * MICRO - 320 * TICK
"""Five seconds before midnight in UTC."""
YEAR = 366 * 86_400 * MICRO
LEASE, SLICE_LEASE = 12.0, 600.0
FOREVER = 4e8
"""Seconds for which records are kept: that they are forgotten in the end is no matter of this test."""

CALLERS: list[Caller] = [
    (Principal(subject=subject, team=team, key_id=f"k-{subject}", key_name=subject), model)
    for subject, team, model in (("alice", "search", "a"), ("alice", "search", "b"), ("bob", "billing", "a"))
]
ORGANIZATION, TEAM, USER, KEY, MODEL = Scope

# A clock of the test's own; and keys that stay, since Redis would end them by its real clock.
CLOCK = """
local server = redis
local redis = {}
function redis.call(command, ...)
  if command == 'PEXPIRE' then return 1 end
  if command == 'SET' then
    local key, value = ...
    return server.call('SET', key, value)
  end
  return server.call(command, ...)
end
local function now_us() return tonumber(server.call('GET', 'now')) end
"""


class Store(Protocol):
    """A limiter, empty, at a time that can be set."""

    @property
    def limiter(self) -> Limiter: ...

    async def begin(self, now: int) -> None:
        """Be empty. `now`: microseconds since 1970."""

    async def set_time(self, now: int) -> None:
        """It is later."""


class MemoryStore:
    limiter: MemoryLimiter

    async def begin(self, now: int) -> None:
        self._clock = ManualClock(now / MICRO)
        self.limiter = MemoryLimiter(
            clock=self._clock, lease=LEASE, slice_lease=SLICE_LEASE, keep=FOREVER, forget=FOREVER
        )

    async def set_time(self, now: int) -> None:
        self._clock.advance(now / MICRO - self._clock.now())


class RedisStore:
    limiter: RedisLimiter

    def __init__(self, url: str) -> None:
        self._client = connect(url, timeout=PATIENT)
        self.limiter = RedisLimiter(
            client=self._client,
            lease=LEASE,
            slice_lease=SLICE_LEASE,
            keep=FOREVER,
            forget=FOREVER,
            timeout=PATIENT,
            clock=CLOCK,
        )

    async def begin(self, now: int) -> None:
        await self._client.flushall()
        await self.set_time(now)

    async def set_time(self, now: int) -> None:
        await self._client.set("now", now)


scopes = st.sampled_from([(ORGANIZATION,), (TEAM,), (USER, MODEL), (ORGANIZATION, MODEL)])
periods = st.sampled_from([Period.DAY, Period.DAY, Period.WEEK, Period.MONTH])
zones = st.sampled_from(["UTC", "UTC", "Europe/Berlin", "America/New_York"])
increases = st.sampled_from([(), (), (Increase(10, START // MICRO + 5),)])


def rates(mode: Mode) -> st.SearchStrategy[Limit]:
    seconds = st.sampled_from([1.0, 7.0, 60.0, 86_400.0])
    return st.builds(
        Limit,
        st.just("rate"),
        st.just(Counted.TOKENS),
        scopes,
        st.integers(1, 30),
        seconds,
        st.integers(5, 15),
        st.just(mode),
    )


def slots(mode: Mode) -> st.SearchStrategy[Limit]:
    return st.builds(
        Limit, st.just("slots"), st.just(Counted.CONCURRENT), scopes, st.integers(1, 3), mode=st.just(mode)
    )


def budgets(mode: Mode) -> st.SearchStrategy[Budget]:
    return st.builds(
        Budget,
        st.just("budget"),
        st.just(Counted.DOLLARS),
        scopes,
        st.integers(5, 20),
        periods,
        zones,
        st.just(mode),
        increases=increases,
    )


houses = st.sampled_from([Mode.WARN, Mode.SHADOW]).flatmap(
    lambda soft: st.one_of(
        st.tuples(rates(Mode.ENFORCE), budgets(Mode.ENFORCE), slots(soft), budgets(soft)),
        st.tuples(rates(soft), budgets(Mode.ENFORCE), slots(Mode.ENFORCE), budgets(soft)),
    )
)
callers = st.sampled_from(CALLERS)
costs = st.lists(st.integers(-2, 9), min_size=4, max_size=4)
"""Of each limit; below nothing: the exchange does not draw on it."""
amounts = st.lists(st.integers(0, 12) | st.sampled_from([1, 2**52]), min_size=4, max_size=4)
mores = st.lists(st.integers(0, 9), min_size=4, max_size=4)
ledgers = st.sampled_from([0, 5, 15, None])
"""What was spent, for budgets that have to be loaded; none: nobody loads them."""
someone = st.integers(0, 9)
"""An exchange, usually one that holds something."""


class Fate(StrEnum):
    """What becomes of an exchange while Redis is empty."""

    FORGOTTEN = "forgotten"
    RENEWED = "renewed"
    SETTLED = "settled"
    ASKED_AGAIN = "asked again"


class LimiterMachine(RuleBasedStateMachine):
    """A story of one store."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: Store) -> None:
        super().__init__()
        self._run = run
        self._store = store
        self._begin(START)
        self._limits: list[Limit | Budget] = []
        self._holds: list[Hold] = []
        self._made: dict[str, int] = {}
        """When each hold was."""
        self._strangers: set[str] = set()
        """Renewed before they were ever reserved: nobody does that who reserves them later."""
        self._retry_at: list[int] = []

    @initialize(limits=houses)
    def begin(self, limits: tuple[Limit | Budget, ...]) -> None:
        self._limits = [replace(limit, name=f"{limit.name}-{index}") for index, limit in enumerate(limits)]

    @rule(caller=callers, wanted=costs, ledger=ledgers)
    def reserve(self, caller: Caller, wanted: list[int], ledger: int | None) -> None:
        pairs = [pair for pair in zip(self._limits, wanted, strict=True) if pair[1] >= 0]
        self._reserve(self._hold("ex", caller, pairs or [(self._limits[0], 1)]), ledger)

    @rule(caller=callers, wanted=costs)
    def set_aside(self, caller: Caller, wanted: list[int]) -> None:
        budgets = [
            (limit, max(1, cost))
            for limit, cost in zip(self._limits, wanted, strict=True)
            if isinstance(limit, Budget)
        ]
        self._reserve(self._hold("slice", caller, budgets), 0)

    @precondition(lambda self: self._recent())
    @rule(who=someone)
    def ask_again(self, who: int) -> None:
        self._ask_again(self._choose(who))

    @precondition(lambda self: self._recent())
    @rule(together=st.lists(st.tuples(someone, amounts), min_size=1, max_size=3))
    def settle(self, together: list[tuple[int, list[int]]]) -> None:
        self._settle([(self._choose(who), spent) for who, spent in together])

    @precondition(lambda self: self._recent())
    @rule(together=st.lists(st.tuples(someone, mores), min_size=1, max_size=4))
    def extend(self, together: list[tuple[int, list[int]]]) -> None:
        holds = [(self._choose(who), more) for who, more in together]
        growing = [More(hold, tuple(more[: len(hold.demands)])) for hold, more in holds]
        exhausted = self._run(self._store.limiter.extend(growing))
        assert list(exhausted) == [self._oracle.extend(more) for more in growing]

    @precondition(lambda self: self._recent())
    @rule(together=st.lists(someone, min_size=1, max_size=4))
    def renew(self, together: list[int]) -> None:
        self._renew([self._choose(who) for who in together])

    @rule(
        caller=callers,
        spent=st.integers(0, 20),
        under_way=st.dictionaries(someone, st.integers(0, 9), max_size=3),
    )
    def load(self, caller: Caller, spent: int, under_way: dict[int, int]) -> None:
        holds = [(self._choose(who), amount) for who, amount in under_way.items() if self._recent()]
        self._load_all([self._demand(limit, caller, 0) for limit in self._limits], spent, holds)

    @precondition(lambda self: self._recent())
    @rule(
        fates=st.dictionaries(someone, st.tuples(st.sampled_from(Fate), amounts, st.booleans()), max_size=4)
    )
    def come_back_empty(self, fates: dict[int, tuple[Fate, list[int], bool]]) -> None:
        """As a Redis that was restarted: exchanges go on, and then the ledger is asked. It may know that one
        is under way which has been settled since."""
        known = [(self._choose(who), *fate) for who, fate in fates.items()]
        self._begin(self._oracle.now)
        self._renew([hold for hold, fate, _, _ in known if fate is Fate.RENEWED])
        self._settle([(hold, spent) for hold, fate, spent, _ in known if fate is Fate.SETTLED])
        self._load_all(self._every_demand(), 3, [(hold, 4) for hold, _, _, admitted in known if admitted])
        for hold in [hold for hold, fate, _, _ in known if fate is Fate.ASKED_AGAIN]:
            self._ask_again(hold)

    @rule(ticks=st.integers(1, 64) | st.integers(1, 64 * 5) | st.integers(1, 64 * 3600 * 50))
    def wait(self, ticks: int) -> None:
        self._pass(self._oracle.now + ticks * TICK)

    @rule(of=st.sampled_from(["lease", "window", "window", "wait"]), off=st.integers(-1, 1))
    def wait_for_an_end(self, of: str, off: int) -> None:
        """To where something changes next, or a moment before, or after."""
        ends = {"lease": self._oracle.ends, "window": self._window_ends, "wait": lambda: self._retry_at}[of]()
        later = [
            end + off * TICK for end in ends if self._oracle.now < end + off * TICK < self._oracle.now + YEAR
        ]
        self._pass(min(later, default=self._oracle.now + TICK))

    @invariant()
    def everything_is_as_the_oracle_says(self) -> None:
        demands = self._every_demand()
        looks = self._run(self._store.limiter.look(demands))
        assert [_in_order(look) for look in looks] == [self._oracle.look(demand) for demand in demands]

    def teardown(self) -> None:
        """What is not as it began can be found by its name."""
        names = self._run(self._store.limiter.buckets("*"))
        assert all(name_of(name) for name in names)
        used = {demand.bucket for demand in self._every_demand() if self._oracle.look(demand).level}
        assert used <= set(names)

    def _begin(self, now: int) -> None:
        self._run(self._store.begin(now))
        self._oracle = Oracle(now, lease=int(LEASE * MICRO), slice_lease=int(SLICE_LEASE * MICRO))

    def _every_demand(self) -> list[Demand]:
        demands = [self._demand(limit, caller, 0) for limit in self._limits for caller in CALLERS]
        return list({demand.bucket: demand for demand in demands}.values())

    def _demand(self, limit: Limit | Budget, caller: Caller, cost: int) -> Demand:
        return demand_of(limit, bucket_of("*", limit, *caller), cost, self._oracle.now / MICRO)

    def _hold(self, kind: str, caller: Caller, wanted: list[tuple[Limit | Budget, int]]) -> Hold:
        demands = tuple(self._demand(limit, caller, cost) for limit, cost in wanted)
        hold = Hold(f"{kind}:{len(self._holds)}", demands, slice=kind == "slice")
        self._made[hold.exchange_id] = self._oracle.now
        self._holds.append(hold)
        return hold

    def _recent(self) -> list[Hold]:
        """From this window or the one before it, by all calendars: nobody holds on for longer. The last
        ones first."""
        return [hold for hold in reversed(self._holds) if self._is_recent(hold)]

    def _choose(self, who: int) -> Hold:
        """Of those that hold something the last ones first, then the others."""
        order = sorted(self._recent(), key=lambda hold: not self._oracle.is_live(hold))
        return order[who % len(order)]

    def _settle(self, together: list[tuple[Hold, list[int]]]) -> None:
        spents = [Spent(hold, tuple(spent[: len(hold.demands)])) for hold, spent in together]
        charged = self._run(self._store.limiter.settle(spents))
        expected = [each for spent in spents for each in self._oracle.settle(spent)]
        assert [each for each in charged if each.after != each.before] == expected

    def _renew(self, holds: list[Hold]) -> None:
        self._strangers |= {hold.exchange_id for hold in holds if not self._oracle.knows(hold)}
        self._run(self._store.limiter.renew(holds))
        for hold in holds:
            self._oracle.renew(hold)

    def _load_all(self, demands: list[Demand], spent: int, under_way: list[tuple[Hold, int]]) -> None:
        admitted = {hold.exchange_id: amount for hold, amount in under_way if not hold.slice}
        spending = Spending(spent, tuple(itertools.starmap(UnderWay, admitted.items())))
        for demand in demands:
            if demand.window:
                self._load(demand, spending)

    def _reserve(self, hold: Hold, ledger: int | None) -> None:
        """`ledger`: what was spent, for budgets that have to be loaded first; none: they stay unloaded."""
        decision = self._decide(hold)
        if isinstance(decision, Unloaded) and ledger is not None:
            for demand in decision.demands:
                self._load(demand, Spending(ledger))
            decision = self._decide(hold)
            assert not isinstance(decision, Unloaded)
        if isinstance(decision, Refusal) and decision.deny.retry_after:
            ticks = -(-decision.deny.retry_after * MICRO // TICK)
            self._retry_at.append(self._oracle.now + int(ticks) * TICK)

    def _ask_again(self, hold: Hold) -> None:
        if hold.exchange_id not in self._strangers:
            self._reserve(hold, None)

    def _decide(self, hold: Hold) -> Grant | Refusal | Unloaded:
        decision: Grant | Refusal | Unloaded = self._run(self._store.limiter.reserve(hold))
        assert decision == self._oracle.reserve(hold)
        return decision

    def _load(self, demand: Demand, spending: Spending) -> None:
        self._run(self._store.limiter.load(demand, spending))
        self._oracle.load(demand, spending)

    def _pass(self, now: int) -> None:
        self._oracle.now = now
        self._run(self._store.set_time(now))

    def _window_ends(self) -> Iterator[int]:
        for limit in self._limits:
            if isinstance(limit, Budget):
                window = self._demand(limit, CALLERS[0], 0).window
                assert window
                yield from (edge * MICRO for edge in window.edges)
                yield from (increase.until * MICRO for increase in limit.increases)

    def _is_recent(self, hold: Hold) -> bool:
        made, now = self._made[hold.exchange_id], self._oracle.now
        limits = [demand.limit for demand in hold.demands if isinstance(demand.limit, Budget)]
        return all(window_number(limit, now) - window_number(limit, made) <= 1 for limit in limits)


def _in_order(look: Look) -> Look:
    """Holders whose leases end together, in the order of their names."""
    seconds = [holder.seconds for holder in look.holders]
    assert seconds == sorted(seconds)
    return look._replace(
        holders=tuple(sorted(look.holders, key=lambda each: (each.seconds, each.exchange_id)))
    )


STORY = settings(max_examples=120, stateful_step_count=50, phases=[Phase.reuse, Phase.generate, Phase.shrink])


@pytest.mark.timeout(600)  # a story that fails is told shorter and shorter for a while
def test_memory_does_what_the_oracle_does() -> None:
    with asyncio.Runner() as runner:
        run_state_machine_as_test(lambda: LimiterMachine(runner.run, MemoryStore()), settings=STORY)


@pytest.mark.timeout(600)
def test_redis_does_what_the_oracle_does(redis_server: RedisServer) -> None:
    with asyncio.Runner() as runner:
        store = RedisStore(redis_server.url)
        carrying = runner.get_loop().create_task(store.limiter.run())
        try:
            run_state_machine_as_test(lambda: LimiterMachine(runner.run, store), settings=STORY)
        finally:
            carrying.cancel()
            runner.run(store.limiter.close())
