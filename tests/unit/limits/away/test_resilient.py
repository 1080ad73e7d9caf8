"""When this replica goes on by itself, and when it stops doing so. With a real Redis: tests/conformance."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.policy import Budget, Limit
from gateway.core.spending import Spending, UnderWay
from gateway.limits.away.breaker import Breaker
from gateway.limits.away.resilient import ResilientLimiter
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Charged, Demand, Grant, Hold, Look, More, Refusal, Spent, Unloaded
from tests.support.clock import ManualClock
from tests.support.remote_limiter import MemoryRemote, MemoryStore
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

MANY = replace(TOKENS, amount=40_000, burst=40_000)
"""A credit of 1000, and 667 come back each second."""
SOFT = replace(DOLLARS, name="team-soft", mode=Mode.WARN)
SLICE = DOLLARS.amount // 20
RETURNING = 0.4

_ids = count()


def demand(limit: Limit | Budget, cost: int = 100) -> Demand:
    cost = 1 if limit.counts in (REQUESTS.counts, SLOTS.counts) else cost
    return demand_of(limit, f"{{search}}:{limit.name}:{limit.counts}:team=search", cost, ManualClock().now())


def hold_of(*limits: Limit | Budget, cost: int = 100) -> Hold:
    return Hold(f"ex_{next(_ids)}", tuple(demand(limit, cost) for limit in limits))


def nothing(hold: Hold) -> Spent:
    return Spent(hold, (0,) * len(hold.demands))


@dataclass
class Replica:
    """One, and what it tells."""

    store: MemoryStore
    name: str = "gateway-1"
    changes: list[tuple[bool, str]] = field(default_factory=list)
    charged: list[Charged] = field(default_factory=list)
    ahead: list[float] = field(default_factory=list)
    emptied: int = 0
    running: list[Hold] = field(default_factory=list)
    returns: int = 0
    _ticks: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    _pauses: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.limiter = ResilientLimiter(
            primary=MemoryRemote(self.store),
            clock=self.store.clock,
            replica=self.name,
            replicas=1,
            on_change=lambda degraded, why: self.changes.append((degraded, why)),
            on_charged=self.charged.extend,
            on_clock=self.ahead.append,
            on_emptied=self._note_emptied,
            on_return=self._renew,
            breaker=Breaker(failures=3, slow=0.05, good_probes=5, interval=0.08, returning=RETURNING),
            sleep=self._sleep,
        )

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is to be done in the background."""
        return self._pauses.empty()

    async def lose_it(self) -> None:
        """Redis is gone, and that is known."""
        self.store.away = True
        for _ in range(3):
            await self.limiter.renew([hold_of(SLOTS)])
        await self._settle_down()
        assert self.limiter.degraded

    async def come_back(self) -> None:
        """Redis is back, and that is known; others may not know."""
        self.store.away = False
        await self.tick(5)
        assert not self.limiter.degraded

    async def recover(self) -> None:
        """As if nothing had been."""
        await self.come_back()
        self.store.clock.advance(RETURNING)
        await self.tick()

    async def tick(self, times: int = 1) -> None:
        """Let the background go on for so many intervals."""
        for _ in range(times):
            await self._settle_down()
            while not self._pauses.empty():
                self._pauses.get_nowait()
                self._ticks.put_nowait(None)
            await self._settle_down()

    async def _settle_down(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def _sleep(self, seconds: float) -> None:
        self._pauses.put_nowait(seconds)
        await self._ticks.get()

    def _note_emptied(self) -> None:
        self.emptied += 1

    async def _renew(self) -> None:
        self.returns += 1
        await self.limiter.renew(self.running)


@asynccontextmanager
async def replica_on(store: MemoryStore, name: str = "gateway-1") -> AsyncIterator[Replica]:
    replica = Replica(store, name)
    loop = asyncio.create_task(replica.limiter.run())
    try:
        yield replica
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
async def replica(store: MemoryStore) -> AsyncIterator[Replica]:
    async with replica_on(store) as replica:
        yield replica


@pytest.fixture
def limiter(replica: Replica) -> ResilientLimiter:
    return replica.limiter


async def left(store: MemoryStore, limit: Limit) -> int:
    decision = await store.inner.reserve(hold_of(limit, cost=0))
    assert not isinstance(decision, Unloaded)
    return decision.standings[0].remaining


async def look(store: MemoryStore, limit: Limit | Budget) -> Look:
    (found,) = await store.inner.look([demand(limit)])
    return found


async def loaded(store: MemoryStore, *budgets: Budget, spent: int = 0) -> None:
    for budget in budgets:
        await store.inner.load(demand(budget), Spending(spent))


async def granted(limiter: ResilientLimiter, hold: Hold) -> Grant:
    decision = await limiter.reserve(hold)
    assert isinstance(decision, Grant)
    return decision


async def refused(limiter: ResilientLimiter, hold: Hold) -> Refusal:
    decision = await limiter.reserve(hold)
    assert isinstance(decision, Refusal)
    return decision


class TestOpening:
    async def test_healthy_decisions_are_the_stores(
        self, limiter: ResilientLimiter, store: MemoryStore
    ) -> None:
        await granted(limiter, hold_of(MANY, cost=30_000))
        assert await left(store, MANY) == 10_000
        assert not limiter.degraded

    async def test_a_call_that_fails_is_decided_here(
        self, limiter: ResilientLimiter, store: MemoryStore
    ) -> None:
        store.away = True
        await granted(limiter, hold_of(MANY, cost=1000))
        assert isinstance(await limiter.reserve(hold_of(MANY, cost=1000)), Refusal)

    async def test_three_failures_in_a_row_open_it(self, replica: Replica) -> None:
        replica.store.away = True
        for degraded in (False, False, True):
            await replica.limiter.reserve(hold_of(MANY))
            assert replica.limiter.degraded is degraded
        assert replica.changes == [(True, "gone")]

    async def test_three_that_fail_together_open_it(self, replica: Replica) -> None:
        replica.store.away = True
        await asyncio.gather(*(replica.limiter.reserve(hold_of(MANY)) for _ in range(3)))
        assert replica.limiter.degraded

    async def test_three_slow_answers_open_it(self, replica: Replica) -> None:
        replica.store.takes = 0.06
        for _ in range(3):
            await replica.limiter.reserve(hold_of(MANY))
        assert replica.changes == [(True, "slow replies")]

    async def test_a_replica_without_requests_learns_of_it_by_its_beat(self, replica: Replica) -> None:
        replica.store.away = True
        await replica.limiter.beat()
        await replica.tick(2)
        assert replica.limiter.degraded

    async def test_one_that_failed_once_is_probed_until_it_answers(self, replica: Replica) -> None:
        replica.store.fails_next = 1
        await replica.limiter.reserve(hold_of(MANY))
        await replica.tick(5)
        assert not replica.limiter.degraded
        assert replica.is_at_rest

    async def test_while_it_is_open_nobody_asks_but_the_probe(self, replica: Replica) -> None:
        await replica.lose_it()
        await replica.tick()
        asked, hold = replica.store.asked, hold_of(MANY, SLOTS)
        for _ in range(10):
            await replica.limiter.reserve(hold)
            await replica.limiter.extend([More(hold, (10, 0))])
            await replica.limiter.renew([hold])
            await replica.limiter.settle([Spent(hold, (1, 1))])
            await replica.limiter.beat()
        assert replica.store.asked == asked

    async def test_what_there_is_only_the_store_for_is_unavailable(self, replica: Replica) -> None:
        await replica.lose_it()
        asked = replica.store.asked
        for call in (
            replica.limiter.look([demand(MANY)]),
            replica.limiter.load(demand(DOLLARS), Spending(0)),
            replica.limiter.buckets("search"),
        ):
            with pytest.raises(StoreUnavailable):
                await call
        assert replica.store.asked == asked

    async def test_it_is_asked_for_that_while_it_is_there(
        self, limiter: ResilientLimiter, store: MemoryStore
    ) -> None:
        await limiter.load(demand(DOLLARS), Spending(500))
        (found,) = await limiter.look([demand(DOLLARS)])
        assert found.spent == 500
        assert list(await limiter.buckets("search")) == [demand(DOLLARS).bucket]

    async def test_budgets_are_to_be_loaded_while_it_is_there(self, limiter: ResilientLimiter) -> None:
        assert isinstance(await limiter.reserve(hold_of(DOLLARS)), Unloaded)


class TestClosing:
    async def test_five_good_probes_close_it(self, replica: Replica) -> None:
        await replica.lose_it()
        replica.store.away = False
        await replica.tick(4)
        assert replica.limiter.degraded
        await replica.tick()
        assert replica.changes == [(True, "gone"), (False, "5 good probes")]

    async def test_a_bad_probe_starts_the_count_again(self, replica: Replica) -> None:
        await replica.lose_it()
        for away, times in ((False, 4), (True, 1), (False, 4)):
            replica.store.away = away
            await replica.tick(times)
        assert replica.limiter.degraded
        await replica.tick()
        assert not replica.limiter.degraded

    async def test_a_slow_probe_is_no_good_one(self, replica: Replica) -> None:
        await replica.lose_it()
        replica.store.away, replica.store.takes = False, 0.06
        await replica.tick(10)
        assert replica.limiter.degraded

    async def test_a_charge_that_fails_keeps_it_open(self, replica: Replica) -> None:
        await replica.lose_it()
        await granted(replica.limiter, hold_of(MANY, cost=900))
        replica.store.away = False
        await replica.tick(4)
        replica.store.good_for = 1
        await replica.tick()
        assert replica.limiter.degraded
        replica.store.good_for = None
        await replica.tick(5)
        assert not replica.limiter.degraded
        assert await left(replica.store, MANY) == 40_000 - 900

    async def test_what_runs_is_renewed_at_once(self, replica: Replica) -> None:
        running = hold_of(SLOTS)
        await granted(replica.limiter, running)
        replica.running.append(running)
        await replica.lose_it()
        replica.store.clock.advance(60.0)
        await replica.come_back()
        assert replica.returns == 1
        assert [holder.exchange_id for holder in (await look(replica.store, SLOTS)).holders] == [
            running.exchange_id
        ]

    async def test_the_next_outage_is_one_of_its_own(self, replica: Replica) -> None:
        for _ in range(2):
            await replica.lose_it()
            await replica.recover()
        assert [degraded for degraded, _ in replica.changes] == [True, False, True, False]


class TestRates:
    async def test_what_was_spent_away_is_charged_on_return(self, replica: Replica) -> None:
        await replica.lose_it()
        await granted(replica.limiter, hold_of(MANY, cost=900))
        await replica.come_back()
        assert await left(replica.store, MANY) == 40_000 - 900

    async def test_it_is_charged_after_a_single_failure_too(self, replica: Replica) -> None:
        replica.store.fails_next = 1
        await granted(replica.limiter, hold_of(MANY, cost=900))
        await replica.tick(3)
        assert not replica.limiter.degraded
        assert await left(replica.store, MANY) == 40_000 - 900

    async def test_flapping_gives_nobody_more(self, replica: Replica) -> None:
        given = 0
        for _ in range(10):
            await replica.lose_it()
            given += isinstance(await replica.limiter.reserve(hold_of(MANY, cost=1000)), Grant)
            await replica.recover()
        assert given == 1

    async def test_a_moment_after_the_return_the_share_has_a_say(self, replica: Replica) -> None:
        await replica.lose_it()
        await replica.come_back()
        refusal = await refused(replica.limiter, hold_of(MANY, cost=30_000))
        assert refusal.deny.retry_after == pytest.approx(RETURNING)
        assert "Try again in 0." in refusal.deny.reason
        await granted(replica.limiter, hold_of(MANY, cost=1000))
        replica.store.clock.advance(RETURNING)
        await granted(replica.limiter, hold_of(MANY, cost=30_000))

    async def test_what_is_let_through_in_that_moment_is_charged_once(self, replica: Replica) -> None:
        await replica.lose_it()
        await replica.come_back()
        hold = hold_of(MANY, cost=900)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([Spent(hold, (800,))])
        await replica.tick()
        assert await left(replica.store, MANY) == 40_000 - 800

    async def test_the_store_has_a_say_in_that_moment_too(self, replica: Replica) -> None:
        await granted(replica.limiter, hold_of(MANY, cost=40_000))
        await replica.lose_it()
        await replica.come_back()
        await refused(replica.limiter, hold_of(MANY, cost=900))
        await refused(replica.limiter, hold_of(MANY, cost=900))
        assert (await look(replica.store, MANY)).level == 40_000_000_000

    async def test_what_the_store_refuses_is_left_to_the_share(self, replica: Replica) -> None:
        full = hold_of(MANY, cost=40_000)
        await granted(replica.limiter, full)
        await replica.lose_it()
        await replica.come_back()
        await refused(replica.limiter, hold_of(MANY, cost=900))
        await replica.store.inner.settle([nothing(full)])
        await granted(replica.limiter, hold_of(MANY, cost=900))

    async def test_the_credit_comes_back_with_the_rate_once_all_are_back(self, replica: Replica) -> None:
        await replica.lose_it()
        await replica.come_back()
        await replica.tick()
        replica.store.clock.advance(RETURNING + 0.3)
        await replica.lose_it()
        await refused(replica.limiter, hold_of(MANY, cost=201))
        await granted(replica.limiter, hold_of(MANY, cost=199))

    @pytest.mark.parametrize("outage", ["a failure", "an outage"])
    async def test_a_later_outage_begins_with_the_credit_again(self, replica: Replica, outage: str) -> None:
        if outage == "an outage":
            await replica.lose_it()
            await replica.recover()
        else:
            replica.store.fails_next = 1
            await replica.limiter.reserve(hold_of(MANY))
            await replica.tick(3)
        replica.store.clock.advance(600.0)
        await replica.lose_it()
        await granted(replica.limiter, hold_of(MANY, cost=1000))
        await refused(replica.limiter, hold_of(MANY, cost=1))

    async def test_a_failure_in_that_moment_is_decided_here(self, replica: Replica) -> None:
        await replica.lose_it()
        replica.store.clock.advance(600.0)
        await replica.come_back()
        replica.store.fails_next = 1
        await replica.limiter.reserve(hold_of(SLOTS))
        await replica.tick(3)
        assert await look(replica.store, SLOTS) == Look(0)

    async def test_a_second_failure_gives_no_second_credit(self, replica: Replica) -> None:
        for expected in (Grant, Refusal):
            replica.store.fails_next = 1
            assert isinstance(await replica.limiter.reserve(hold_of(MANY, cost=1000)), expected)
            await replica.tick(3)

    async def test_what_turns_out_to_cost_more_is_charged_when_it_settles(self, replica: Replica) -> None:
        await replica.lose_it()
        hold = hold_of(MANY, cost=900)
        await granted(replica.limiter, hold)
        await replica.recover()
        before = await left(replica.store, MANY)
        await replica.limiter.settle([Spent(hold, (1000,))])
        assert await left(replica.store, MANY) == before - 100

    async def test_what_the_store_did_without_answering_is_undone(self, replica: Replica) -> None:
        replica.store.runs_without_answering = True
        replica.store.away = True
        await replica.limiter.reserve(hold_of(MANY, cost=30_000))
        assert await left(replica.store, MANY) == 10_000
        replica.store.away = replica.store.runs_without_answering = False
        await replica.tick(2)
        assert await left(replica.store, MANY) == 40_000

    async def test_what_was_granted_here_and_there_settles_as_if_here_alone(self, replica: Replica) -> None:
        replica.store.runs_without_answering = True
        replica.store.fails_next = 1
        hold = hold_of(MANY, SLOTS, cost=500)
        await granted(replica.limiter, hold)
        replica.store.runs_without_answering = False
        await replica.tick(3)
        await replica.limiter.renew([hold])
        assert (await look(replica.store, SLOTS)).level == 1
        await replica.limiter.settle([Spent(hold, (700, 1))])
        assert await look(replica.store, SLOTS) == Look(0)
        assert await left(replica.store, MANY) == 40_000 - 700


class TestSettling:
    async def test_what_the_store_missed_is_delivered(self, replica: Replica) -> None:
        hold = hold_of(MANY, SLOTS, cost=30_000)
        await granted(replica.limiter, hold)
        await replica.lose_it()
        await replica.limiter.settle([Spent(hold, (500, 1))])
        await replica.come_back()
        assert await left(replica.store, MANY) == 40_000 - 500
        assert await look(replica.store, SLOTS) == Look(0)

    async def test_what_that_did_to_budgets_is_told(self, replica: Replica) -> None:
        await loaded(replica.store, SOFT, spent=50)
        hold = hold_of(SOFT)
        await granted(replica.limiter, hold)
        await replica.lose_it()
        assert await replica.limiter.settle([Spent(hold, (70,))]) == ()
        await replica.come_back()
        assert [(each.before, each.after) for each in replica.charged] == [(50, 120)]

    async def test_a_single_failure_is_made_good(self, replica: Replica) -> None:
        hold = hold_of(MANY, cost=30_000)
        await granted(replica.limiter, hold)
        replica.store.fails_next = 1
        await replica.limiter.settle([Spent(hold, (500,))])
        await replica.tick(3)
        assert await left(replica.store, MANY) == 40_000 - 500

    async def test_a_second_settlement_changes_nothing(self, replica: Replica) -> None:
        await replica.lose_it()
        hold = hold_of(MANY, cost=900)
        await granted(replica.limiter, hold)
        await replica.recover()
        before = await left(replica.store, MANY)
        for _ in range(2):
            await replica.limiter.settle([Spent(hold, (900,))])
        assert await left(replica.store, MANY) == before

    async def test_what_comes_to_be_owed_while_others_are_delivered_is_delivered(
        self, replica: Replica, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, settle = replica.store, replica.store.inner.settle
        other = replace(MANY, name="other")

        async def settle_while_a_call_fails(spents: Sequence[Spent]) -> Sequence[Charged]:
            monkeypatch.setattr(store.inner, "settle", settle)
            store.runs_without_answering, store.fails_next = True, 1
            await replica.limiter.reserve(hold_of(other))
            store.runs_without_answering = False
            return await settle(spents)

        monkeypatch.setattr(store.inner, "settle", settle_while_a_call_fails)
        store.fails_next = 1
        await replica.limiter.reserve(hold_of(MANY))
        await replica.tick(5)
        assert await left(store, other) == 40_000 - 100

    async def test_a_failed_renewal_is_not_the_callers_trouble(self, replica: Replica) -> None:
        hold = hold_of(SLOTS)
        await granted(replica.limiter, hold)
        replica.store.away = True
        for _ in range(3):
            await replica.limiter.renew([hold])
        assert replica.limiter.degraded


class TestSlots:
    async def test_what_was_granted_away_has_its_slot_in_the_store_after_the_return(
        self, replica: Replica
    ) -> None:
        await replica.lose_it()
        hold = hold_of(SLOTS)
        await granted(replica.limiter, hold)
        replica.running.append(hold)
        await replica.recover()
        assert (await look(replica.store, SLOTS)).level == 1
        await replica.limiter.settle([Spent(hold, (1,))])
        assert await look(replica.store, SLOTS) == Look(0)

    async def test_a_slot_that_the_store_knows_is_freed_there_though_it_was_away_again(
        self, replica: Replica
    ) -> None:
        await replica.lose_it()
        hold = hold_of(SLOTS)
        await granted(replica.limiter, hold)
        replica.running.append(hold)
        await replica.recover()
        await replica.lose_it()
        replica.running.clear()
        await replica.limiter.settle([Spent(hold, (1,))])
        await replica.recover()
        assert await look(replica.store, SLOTS) == Look(0)


class TestSlices:
    async def set_aside(self, replica: Replica, budget: Budget = DOLLARS) -> None:
        """As it is a second after the budget was first used."""
        hold = hold_of(budget, cost=0)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([nothing(hold)])
        await replica.limiter.beat()

    async def test_a_budget_in_use_has_a_slice_set_aside(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        assert (await look(replica.store, DOLLARS)).set_aside == SLICE

    async def test_it_is_all_that_may_be_spent_away(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.lose_it()
        await granted(replica.limiter, hold_of(DOLLARS, cost=SLICE))
        refusal = await refused(replica.limiter, hold_of(DOLLARS, cost=1))
        assert refusal.deny.code is ErrorCode.BUDGET_UNAVAILABLE

    async def test_a_settlement_in_between_does_not_give_it_up(self, replica: Replica) -> None:
        """One request after the other, while Redis falls silent: the breaker is not open yet."""
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        replica.store.away = True
        for _ in range(4):
            hold = hold_of(DOLLARS, cost=1000)
            await granted(replica.limiter, hold)
            await replica.limiter.settle([Spent(hold, (700,))])
        replica.store.away = False
        await replica.tick(8)
        await replica.limiter.settle([])
        assert (await look(replica.store, DOLLARS)).spent == 2800

    async def test_what_was_spent_of_it_is_spent_in_the_store_on_return(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS, spent=50)
        await self.set_aside(replica)
        await replica.lose_it()
        hold = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([Spent(hold, (700,))])
        await replica.come_back()
        assert await look(replica.store, DOLLARS) == Look(750, spent=750)
        assert [(each.before, each.after) for each in replica.charged] == [(50, 750)]

    async def test_it_stays_set_aside_while_anything_is_held_of_it(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.lose_it()
        first, second = hold_of(DOLLARS, cost=1000), hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, first)
        await granted(replica.limiter, second)
        await replica.limiter.settle([Spent(first, (700,))])
        await replica.recover()
        assert (await look(replica.store, DOLLARS)).set_aside == SLICE
        (charged,) = await replica.limiter.settle([Spent(second, (100,))])
        assert (charged.before, charged.after) == (0, 800)
        assert (await look(replica.store, DOLLARS)).set_aside == 0

    async def test_a_new_one_is_set_aside_then(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.lose_it()
        hold = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([Spent(hold, (700,))])
        await replica.recover()
        await replica.limiter.beat()
        found = await look(replica.store, DOLLARS)
        assert (found.spent, found.set_aside) == (700, SLICE)

    async def test_it_is_given_back_when_less_than_a_tenth_is_left(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await granted(replica.limiter, hold_of(DOLLARS, cost=DOLLARS.amount * 91 // 100))
        await replica.limiter.beat()
        assert (await look(replica.store, DOLLARS)).set_aside == 0

    async def test_a_request_that_it_is_in_the_way_of_passes(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await granted(replica.limiter, hold_of(DOLLARS, cost=DOLLARS.amount))

    async def test_a_request_that_anothers_is_in_the_way_of_is_to_come_again(
        self, replica: Replica, store: MemoryStore
    ) -> None:
        await loaded(store, DOLLARS)
        async with replica_on(store, "gateway-2") as other:
            await self.set_aside(other)
        refusal = await refused(replica.limiter, hold_of(DOLLARS, cost=DOLLARS.amount))
        assert refusal.deny.code is ErrorCode.BUDGET_UNAVAILABLE

    async def test_a_stream_that_it_is_in_the_way_of_goes_on(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        hold = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, hold)
        assert await replica.limiter.extend([More(hold, (DOLLARS.amount - 1000,))]) == [None]
        (lacks,) = await replica.limiter.extend([More(hold, (1,))])
        assert lacks == hold.demands[0]

    async def test_one_that_is_held_long_is_renewed(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        for _ in range(30):
            await self.set_aside(replica)
            replica.store.clock.advance(30.0)
        assert (await look(replica.store, DOLLARS)).set_aside == SLICE
        await replica.lose_it()
        await granted(replica.limiter, hold_of(DOLLARS, cost=SLICE))

    async def test_nobody_goes_on_asking_for_slices_when_one_call_fails(self, replica: Replica) -> None:
        budgets = [replace(DOLLARS, name=f"team-{number}") for number in range(5)]
        await loaded(replica.store, *budgets)
        await granted(replica.limiter, hold_of(*budgets, cost=0))
        asked = replica.store.asked
        replica.store.good_for = 2
        await replica.limiter.beat()
        assert replica.store.asked == asked + 3

    async def test_after_a_long_outage_it_is_held_again_before_anybody_asks(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.lose_it()
        running = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, running)
        replica.store.clock.advance(3600.0)
        replica.store.away = False
        await replica.tick()
        assert (await look(replica.store, DOLLARS)).set_aside == SLICE

    async def test_who_stops_gives_it_back(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.limiter.retire()
        assert await look(replica.store, DOLLARS) == Look(0)

    async def test_who_stops_while_the_store_is_away_asks_nobody(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await self.set_aside(replica)
        await replica.lose_it()
        asked = replica.store.asked
        await replica.limiter.retire()
        assert replica.store.asked == asked

    async def test_one_that_may_be_held_for_a_lost_reply_is_given_back(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        hold = hold_of(DOLLARS, cost=0)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([nothing(hold)])
        replica.store.runs_without_answering = True
        replica.store.good_for = 2
        await replica.limiter.beat()
        replica.store.good_for, replica.store.runs_without_answering = None, False
        assert (await look(replica.store, DOLLARS)).set_aside == SLICE
        await replica.tick(3)
        assert (await look(replica.store, DOLLARS)).set_aside == 0


class TestBudgetsThatDoNotRefuse:
    async def test_they_go_on_and_are_charged_on_return(self, replica: Replica) -> None:
        await loaded(replica.store, SOFT, spent=50)
        await replica.lose_it()
        for amount in (700, 300):
            hold = hold_of(SOFT)
            await granted(replica.limiter, hold)
            await replica.limiter.settle([Spent(hold, (amount,))])
        await replica.come_back()
        assert (await look(replica.store, SOFT)).spent == 1050
        assert [(each.before, each.after) for each in replica.charged] == [(50, 1050)]

    async def test_what_settles_later_is_charged_then(self, replica: Replica) -> None:
        await loaded(replica.store, SOFT)
        await replica.lose_it()
        hold = hold_of(SOFT)
        await granted(replica.limiter, hold)
        await replica.recover()
        (charged,) = await replica.limiter.settle([Spent(hold, (700,))])
        assert (charged.before, charged.after) == (0, 700)


class TestExtending:
    async def test_the_store_gives_while_it_is_there(self, replica: Replica) -> None:
        hold = hold_of(MANY)
        await granted(replica.limiter, hold)
        assert await replica.limiter.extend([More(hold, (400,))]) == [None]
        assert await left(replica.store, MANY) == 40_000 - 500

    async def test_while_it_is_away_a_stream_goes_on_with_a_slice(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS)
        await TestSlices().set_aside(replica)
        hold = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, hold)
        await replica.lose_it()
        assert await replica.limiter.extend([More(hold, (SLICE,))]) == [None]
        assert await replica.limiter.extend([More(hold, (1,))]) == [hold.demands[0]]
        await replica.limiter.settle([Spent(hold, (1000 + SLICE,))])
        await replica.recover()
        assert await look(replica.store, DOLLARS) == Look(1000 + SLICE, spent=1000 + SLICE)

    async def test_a_call_that_fails_is_decided_here(self, replica: Replica) -> None:
        hold = hold_of(DOLLARS, cost=0)
        replica.store.fails_next = 1
        assert await replica.limiter.extend([More(hold, (1,))]) == [hold.demands[0]]

    async def test_what_was_granted_away_is_given_more_by_the_store_after_the_return(
        self, replica: Replica
    ) -> None:
        await loaded(replica.store, DOLLARS)
        await TestSlices().set_aside(replica)
        await replica.lose_it()
        hold = hold_of(MANY, DOLLARS, cost=900)
        await granted(replica.limiter, hold)
        await replica.recover()
        before = await left(replica.store, MANY)
        more = More(hold, (300, DOLLARS.amount // 2))
        assert await replica.limiter.extend([more]) == [None]
        assert await left(replica.store, MANY) == before - 300
        assert (await look(replica.store, DOLLARS)).level == DOLLARS.amount // 2 + SLICE
        await replica.limiter.settle([Spent(hold, (1300, 5000))])
        assert await left(replica.store, MANY) == before - 400
        assert await look(replica.store, DOLLARS) == Look(5000, spent=5000)


class TestEmptied:
    async def test_rates_owe_what_they_did(self, replica: Replica) -> None:
        await replica.limiter.beat()
        await granted(replica.limiter, hold_of(MANY, cost=30_000))
        await replica.lose_it()
        replica.store.lose_everything()
        replica.store.clock.advance(3.0)
        await replica.come_back()
        assert await left(replica.store, MANY) == 10_000 + 2_000

    async def test_what_was_spent_away_is_owed_beside_it(self, replica: Replica) -> None:
        await replica.limiter.beat()
        await granted(replica.limiter, hold_of(MANY, cost=30_000))
        await replica.lose_it()
        await granted(replica.limiter, hold_of(MANY, cost=900))
        replica.store.lose_everything()
        await replica.come_back()
        assert await left(replica.store, MANY) == 10_000 - 900

    async def test_without_an_outage_it_is_seen_by_the_beat(self, replica: Replica) -> None:
        await replica.limiter.beat()
        running = hold_of(MANY, SLOTS, cost=30_000)
        await granted(replica.limiter, running)
        replica.running.append(running)
        replica.store.lose_everything()
        await replica.limiter.beat()
        assert await left(replica.store, MANY) == 10_000
        assert (await look(replica.store, SLOTS)).level == 1
        assert (replica.emptied, replica.returns) == (1, 1)

    async def test_it_is_told_once(self, replica: Replica) -> None:
        await replica.limiter.beat()
        replica.store.lose_everything()
        for _ in range(3):
            await replica.limiter.beat()
        assert (replica.emptied, replica.returns) == (1, 1)

    async def test_a_restoration_that_failed_is_tried_again(self, replica: Replica) -> None:
        await replica.limiter.beat()
        await granted(replica.limiter, hold_of(MANY, cost=30_000))
        replica.store.lose_everything()
        replica.store.good_for = 1
        await replica.limiter.beat()
        replica.store.good_for = None
        assert await left(replica.store, MANY) == 40_000
        await replica.limiter.beat()
        assert await left(replica.store, MANY) == 10_000
        assert (replica.emptied, replica.returns) == (1, 1)

    async def test_what_runs_is_settled_as_if_the_store_had_held_it(self, replica: Replica) -> None:
        """The ledger tells a budget that is loaded of what is under way, by its own id."""
        await loaded(replica.store, DOLLARS)
        await replica.limiter.beat()
        await TestSlices().set_aside(replica)
        await replica.lose_it()
        hold = hold_of(DOLLARS, cost=1000)
        await granted(replica.limiter, hold)
        replica.store.lose_everything()
        await replica.recover()
        await replica.limiter.settle([Spent(hold, (700,))])
        await replica.limiter.load(
            demand(DOLLARS), Spending(50, under_way=(UnderWay(hold.exchange_id, 1000),))
        )
        assert await look(replica.store, DOLLARS) == Look(750, spent=750)

    async def test_what_the_ledger_knows_is_not_charged(self, replica: Replica) -> None:
        await loaded(replica.store, DOLLARS, SOFT)
        await replica.limiter.beat()
        await TestSlices().set_aside(replica)
        await replica.lose_it()
        hold = hold_of(DOLLARS, SOFT, cost=1000)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([Spent(hold, (700, 700))])
        replica.store.lose_everything()
        replica.store.away = False
        await replica.tick()
        await loaded(replica.store, DOLLARS, SOFT, spent=750)
        await replica.tick(4)
        assert not replica.limiter.degraded
        assert [(await look(replica.store, budget)).spent for budget in (DOLLARS, SOFT)] == [750, 750]

    async def test_what_was_settled_meanwhile_is_told_before_budgets_are_loaded(
        self, replica: Replica
    ) -> None:
        await loaded(replica.store, SOFT)
        await replica.limiter.beat()
        hold = hold_of(SOFT, cost=1000)
        await granted(replica.limiter, hold)
        await replica.lose_it()
        await replica.limiter.settle([Spent(hold, (700,))])
        replica.store.lose_everything()
        replica.store.away = False
        await replica.tick()
        await replica.store.inner.load(
            demand(SOFT), Spending(50, under_way=(UnderWay(hold.exchange_id, 1000),))
        )
        assert await look(replica.store, SOFT) == Look(750, spent=750)

    async def test_what_another_had_loaded_before_is_charged(self, store: MemoryStore) -> None:
        """One is back and asks the ledger, while the other spends alone."""
        async with replica_on(store) as early, replica_on(store, "gateway-2") as late:
            await loaded(store, DOLLARS, SOFT)
            for replica in (early, late):
                await replica.limiter.beat()
            await TestSlices().set_aside(late)
            for replica in (early, late):
                await replica.lose_it()
            running, later = hold_of(DOLLARS, SOFT, cost=1000), hold_of(DOLLARS, SOFT, cost=1000)
            await granted(late.limiter, running)
            store.lose_everything()
            await early.recover()
            for budget in (DOLLARS, SOFT):
                await early.limiter.load(
                    demand(budget), Spending(50, under_way=(UnderWay(running.exchange_id, 1000),))
                )
            await granted(late.limiter, later)
            for hold in (running, later):
                await late.limiter.settle([Spent(hold, (700, 700))])
            await late.recover()
        assert [(await look(store, budget)).spent for budget in (DOLLARS, SOFT)] == [1450, 1450]

    async def test_what_the_one_before_was_to_undo_does_not_reach_it(self, replica: Replica) -> None:
        """It is gone, and another in its place, before the breaker is open."""
        await loaded(replica.store, SOFT)
        await replica.limiter.beat()
        replica.store.fails_next = 1
        hold = hold_of(SOFT, cost=1000)
        await granted(replica.limiter, hold)
        replica.store.lose_everything()
        await replica.tick(2)
        assert (replica.emptied, replica.returns) == (1, 1)
        await replica.limiter.load(demand(SOFT), Spending(50, under_way=(UnderWay(hold.exchange_id, 1000),)))
        await replica.limiter.settle([Spent(hold, (700,))])
        assert await look(replica.store, SOFT) == Look(750, spent=750)

    async def test_what_was_to_be_undone_is_gone(self, replica: Replica) -> None:
        await replica.limiter.beat()
        replica.store.away = True
        hold = hold_of(SOFT, cost=1000)
        await granted(replica.limiter, hold)
        await replica.lose_it()
        replica.store.lose_everything()
        await replica.recover()
        await replica.limiter.settle([Spent(hold, (700,))])
        await replica.limiter.load(demand(SOFT), Spending(50, under_way=(UnderWay(hold.exchange_id, 1000),)))
        assert await look(replica.store, SOFT) == Look(750, spent=750)


class TestBeating:
    async def test_it_tells_how_far_ahead_the_stores_clock_is(self, replica: Replica) -> None:
        replica.store.ahead = 7.0
        await replica.limiter.beat()
        assert replica.ahead == [7.0]

    async def test_each_replica_has_its_part(self, store: MemoryStore) -> None:
        async with replica_on(store, "gateway-1") as one, replica_on(store, "gateway-2") as two:
            for _ in range(2):
                await one.limiter.beat()
                await two.limiter.beat()
            await one.lose_it()
            await two.lose_it()
            for replica in (one, two):
                await granted(replica.limiter, hold_of(MANY, cost=500))
                await refused(replica.limiter, hold_of(MANY, cost=1))

    async def test_who_is_not_back_yet_still_counts(self, store: MemoryStore) -> None:
        async with replica_on(store, "gateway-1") as one, replica_on(store, "gateway-2") as two:
            for _ in range(2):
                await one.limiter.beat()
                await two.limiter.beat()
            for _ in range(5):
                await one.lose_it()
                store.living.clear()
                await one.recover()
            store.clock.advance(600.0)
            await one.lose_it()
            await granted(one.limiter, hold_of(MANY, cost=500))
            await refused(one.limiter, hold_of(MANY, cost=1))


async def test_nothing_is_charged_twice_however_often_the_reply_is_lost(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replica.lose_it()
    await granted(replica.limiter, hold_of(MANY, cost=900))
    replica.store.away = False
    settle, lost = replica.store.inner.settle, count()

    async def settle_without_reply(spents: Sequence[Spent]) -> Sequence[Charged]:
        charged = await settle(spents)
        if next(lost) < 3:
            raise StoreUnavailable("the reply was lost")
        return charged

    monkeypatch.setattr(replica.store.inner, "settle", settle_without_reply)
    await replica.tick(30)
    assert not replica.limiter.degraded
    assert await left(replica.store, MANY) == 40_000 - 900
