"""What becomes of requests when a real Redis is away, and of Redis when it is back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf

import pytest

from gateway.core.clock import SystemClock
from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Limit
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.limits.away.breaker import Breaker
from gateway.limits.away.resilient import ResilientLimiter
from gateway.limits.interfaces import Charged, Grant, Hold, Limiter, Look, More
from gateway.limits.loading import BudgetLoader
from gateway.limits.redis.connect import connect
from gateway.limits.redis.limiter import RedisLimiter
from tests.conformance.conftest import (
    BUDGET,
    SLICE_LEASE,
    SLOTS,
    TOKENS,
    granted,
    hold_of,
    nothing,
    redis_client,
    redis_limiter,
    refused,
    remaining,
    spent,
)
from tests.support.eventually import eventually
from tests.support.fault_proxy import fault_proxy
from tests.support.redis_server import RedisServer

SIZE = 40_000
MANY = replace(TOKENS, amount=SIZE, burst=SIZE)
"""In the seconds of a test hardly a token comes back."""
SOFT = replace(BUDGET, name="team-soft", mode=Mode.WARN)
SLICE = BUDGET.amount // 20
BREAKER = Breaker(interval=0.01, returning=0.05)


@dataclass
class Replica:
    """A limiter that goes on without its Redis, and what can be seen of it."""

    server: RedisServer
    primary: RedisLimiter
    name: str
    running: list[Hold] = field(default_factory=list)
    charged: list[Charged] = field(default_factory=list)
    changes: list[bool] = field(default_factory=list)
    returned: float = inf
    """When what runs was renewed: by the monotonic clock. Not yet: infinite."""
    heal: Callable[[], None] = field(default=lambda: None)
    """Opens its way to Redis, if it has one of its own."""

    def __post_init__(self) -> None:
        self.limiter = ResilientLimiter(
            primary=self.primary,
            clock=SystemClock(),
            replica=self.name,
            replicas=1,
            on_change=self._note_change,
            on_charged=self.charged.extend,
            on_clock=lambda ahead: None,
            on_emptied=lambda: None,
            on_return=self._renew,
            breaker=BREAKER,
            slice_lease=SLICE_LEASE,
        )

    async def knows_it_is_away(self) -> None:
        while not self.limiter.degraded:
            await self.limiter.beat()

    async def is_back(self) -> None:
        """And nobody keeps within a share any more."""
        await eventually(lambda: SystemClock.monotonic() > self.returned + BREAKER.returning)

    def _note_change(self, degraded: bool, why: str) -> None:
        self.changes.append(degraded)
        self.returned = inf

    async def _renew(self) -> None:
        await self.limiter.renew(self.running)
        self.returned = SystemClock.monotonic()


@asynccontextmanager
async def replica_on(server: RedisServer, name: str, *, url: str = "") -> AsyncIterator[Replica]:
    """`url`: its way to the server, if it has one of its own."""
    async with (
        aclosing(connect(url or server.url, timeout=0.1)) as client,
        redis_limiter(client, timeout=0.1) as primary,
    ):
        replica = Replica(server, primary, name)
        healing = asyncio.create_task(replica.limiter.run())
        try:
            yield replica
        finally:
            healing.cancel()
            await asyncio.gather(healing, return_exceptions=True)


@pytest.fixture
async def replica(own_redis_server: RedisServer) -> AsyncIterator[Replica]:
    async with replica_on(own_redis_server, "gateway-1") as replica:
        await replica.limiter.beat()
        yield replica


@pytest.fixture
async def store(own_redis_server: RedisServer) -> AsyncIterator[RedisLimiter]:
    """The Redis itself, as somebody sees it who can wait."""
    async with redis_client(own_redis_server) as client, redis_limiter(client) as limiter:
        yield limiter


async def load(
    store: RedisLimiter, *budgets: Budget, spent: int = 0, under_way: Sequence[UnderWay] = ()
) -> None:
    for budget in budgets:
        (demand,) = hold_of(budget, now=SystemClock().now()).demands
        await store.load(demand, Spending(spent, tuple(under_way)))


def hold_now(*limits: Limit | Budget, tokens: int = 100) -> Hold:
    return hold_of(*limits, tokens=tokens, now=SystemClock().now())


async def look(store: RedisLimiter, limit: Limit | Budget) -> Look:
    (found,) = await store.look(hold_now(limit).demands)
    return found


async def as_much_as_fits(limiter: Limiter, limit: Limit, tokens: int) -> int:
    """What it lets through, in requests of so many tokens."""
    given = 0
    while isinstance(await limiter.reserve(hold_now(limit, tokens=tokens)), Grant):
        given += tokens
    return given


class TestGoing:
    @pytest.mark.parametrize("fault", ["stopped", "frozen"])
    async def test_requests_go_on_within_250_ms(self, replica: Replica, fault: str) -> None:
        server, limiter, time = replica.server, replica.limiter, asyncio.get_running_loop().time
        await granted(limiter, hold_now(MANY))
        server.stop() if fault == "stopped" else server.freeze()
        waits = []
        for _ in range(6):
            began, hold = time(), hold_now(MANY)
            await granted(limiter, hold)
            waits.append(time() - began)
            await limiter.settle([spent(hold, 50)])
        assert max(waits) < 0.25
        assert limiter.degraded

    @pytest.mark.parametrize("fault", ["stopped", "frozen"])
    async def test_it_opens_with_the_first_calls_that_fail_together(
        self, replica: Replica, fault: str
    ) -> None:
        await granted(replica.limiter, hold_now(MANY))
        replica.server.stop() if fault == "stopped" else replica.server.freeze()
        await asyncio.gather(*(replica.limiter.reserve(hold_now(MANY)) for _ in range(3)))
        assert replica.limiter.degraded


class TestReturning:
    @pytest.mark.parametrize("fault", ["stopped", "frozen"])
    async def test_redis_decides_again(self, replica: Replica, store: RedisLimiter, fault: str) -> None:
        server = replica.server
        server.stop() if fault == "stopped" else server.freeze()
        await replica.knows_it_is_away()
        server.start() if fault == "stopped" else server.thaw()
        await replica.is_back()
        assert replica.changes == [True, False]
        await granted(replica.limiter, hold_now(MANY, tokens=SIZE))
        assert (await look(store, MANY)).level >= (SIZE - 1) * 10**6

    async def test_what_was_spent_away_is_charged(self, replica: Replica, store: RedisLimiter) -> None:
        replica.server.freeze()
        await replica.knows_it_is_away()
        await granted(replica.limiter, hold_now(MANY, tokens=900))
        replica.server.thaw()
        await replica.is_back()
        assert await remaining(store, MANY) == SIZE - 900

    async def test_settlements_that_redis_missed_are_delivered(
        self, replica: Replica, store: RedisLimiter
    ) -> None:
        hold = hold_now(SLOTS, MANY, tokens=5000)
        await granted(replica.limiter, hold)
        replica.server.freeze()
        await replica.knows_it_is_away()
        await replica.limiter.settle([spent(hold, 700)])
        replica.server.thaw()
        await replica.is_back()
        assert await look(store, SLOTS) == Look(0)
        assert await remaining(store, MANY) == SIZE - 700

    async def test_what_redis_did_without_answering_is_undone(
        self, replica: Replica, store: RedisLimiter
    ) -> None:
        replica.server.freeze()
        hold = hold_now(MANY, SLOTS, tokens=1000)
        await granted(replica.limiter, hold)
        await replica.knows_it_is_away()
        await replica.limiter.settle([spent(hold, 600)])
        replica.server.thaw()
        await replica.is_back()
        assert await look(store, SLOTS) == Look(0)
        assert await remaining(store, MANY) == SIZE - 600

    async def test_what_still_runs_has_its_slot(self, replica: Replica, store: RedisLimiter) -> None:
        replica.server.freeze()
        await replica.knows_it_is_away()
        hold = hold_now(SLOTS)
        await granted(replica.limiter, hold)
        replica.running.append(hold)
        replica.server.thaw()
        await replica.is_back()
        assert (await look(store, SLOTS)).level == 1
        await replica.limiter.settle([spent(hold)])
        assert await look(store, SLOTS) == Look(0)

    async def test_what_still_runs_is_given_more(self, replica: Replica, store: RedisLimiter) -> None:
        await load(store, SOFT)
        replica.server.freeze()
        await replica.knows_it_is_away()
        hold = hold_now(MANY, SOFT, tokens=500)
        await granted(replica.limiter, hold)
        replica.server.thaw()
        await replica.is_back()
        assert await replica.limiter.extend([More(hold, (300, 300))]) == [None]
        assert await remaining(store, MANY) == SIZE - 800
        assert (await look(store, SOFT)).level == 300
        await replica.limiter.settle([spent(hold, 600)])
        assert await remaining(store, MANY) == SIZE - 600
        assert await look(store, SOFT) == Look(600, spent=600)

    async def test_budgets_that_do_not_refuse_are_charged(
        self, replica: Replica, store: RedisLimiter
    ) -> None:
        await load(store, SOFT, spent=50)
        replica.server.freeze()
        await replica.knows_it_is_away()
        hold = hold_now(SOFT)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([spent(hold, 700)])
        replica.server.thaw()
        await replica.is_back()
        assert await look(store, SOFT) == Look(750, spent=750)
        assert [(each.before, each.after) for each in replica.charged] == [(50, 750)]


class TestSlices:
    @pytest.fixture(autouse=True)
    async def set_aside(self, replica: Replica, store: RedisLimiter) -> None:
        """As it is a second after the budget was first used."""
        await load(store, BUDGET)
        hold = hold_now(BUDGET, tokens=0)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([nothing(hold)])
        await replica.limiter.beat()
        assert (await look(store, BUDGET)).set_aside == SLICE

    async def test_it_is_all_that_may_be_spent_away(self, replica: Replica) -> None:
        replica.server.freeze()
        await replica.knows_it_is_away()
        await granted(replica.limiter, hold_now(BUDGET, tokens=SLICE))
        refusal = await refused(replica.limiter, hold_now(BUDGET, tokens=1))
        assert refusal.deny.code is ErrorCode.BUDGET_UNAVAILABLE

    async def test_what_was_spent_of_it_is_spent_in_redis(
        self, replica: Replica, store: RedisLimiter
    ) -> None:
        replica.server.freeze()
        await replica.knows_it_is_away()
        hold = hold_now(BUDGET, tokens=SLICE)
        await granted(replica.limiter, hold)
        await replica.limiter.settle([spent(hold, SLICE - 10)])
        replica.server.thaw()
        await replica.is_back()
        assert await look(store, BUDGET) == Look(SLICE - 10, spent=SLICE - 10)

    async def test_nobody_else_can_spend_it_meanwhile(self, replica: Replica, store: RedisLimiter) -> None:
        replica.server.freeze()
        await replica.knows_it_is_away()
        await granted(replica.limiter, hold_now(BUDGET, tokens=SLICE))
        replica.server.thaw()
        assert await as_much_as_fits_of_budget(store) == BUDGET.amount - SLICE

    async def test_a_request_that_it_is_in_the_way_of_passes(self, replica: Replica) -> None:
        await granted(replica.limiter, hold_now(BUDGET, tokens=BUDGET.amount))

    async def test_who_stops_gives_it_back(self, replica: Replica, store: RedisLimiter) -> None:
        await replica.limiter.retire()
        assert await look(store, BUDGET) == Look(0)


async def as_much_as_fits_of_budget(store: RedisLimiter) -> int:
    given = 0
    while isinstance(await store.reserve(hold_now(BUDGET, tokens=10)), Grant):
        given += 10
    return given


class TestEmptied:
    async def test_rates_owe_what_they_did(self, replica: Replica, store: RedisLimiter) -> None:
        await granted(replica.limiter, hold_now(MANY, tokens=30_000))
        replica.server.stop()
        await replica.knows_it_is_away()
        await granted(replica.limiter, hold_now(MANY, tokens=900))
        replica.server.start()
        await replica.is_back()
        assert await remaining(store, MANY) in range(SIZE - 30_900 - 2, SIZE - 30_900 + 60)

    async def test_slots_are_taken_by_what_runs(self, replica: Replica, store: RedisLimiter) -> None:
        there = hold_now(SLOTS)
        await granted(replica.limiter, there)
        replica.running.append(there)
        replica.server.stop()
        await replica.knows_it_is_away()
        replica.server.start()
        await replica.is_back()
        assert [holder.exchange_id for holder in (await look(store, SLOTS)).holders] == [there.exchange_id]

    async def test_budgets_are_what_the_ledger_says(self, replica: Replica, store: RedisLimiter) -> None:
        await load(store, SOFT)
        replica.server.stop()
        await replica.knows_it_is_away()
        settled, running = hold_now(SOFT), hold_now(SOFT)
        for hold in (settled, running):
            await granted(replica.limiter, hold)
        replica.running.append(running)
        await replica.limiter.settle([spent(settled, 70)])
        replica.server.start()
        await replica.is_back()
        await load(store, SOFT, spent=70, under_way=[UnderWay(running.exchange_id, 100)])
        await replica.limiter.settle([spent(running, 130)])
        assert await look(store, SOFT) == Look(200, spent=200)

    async def test_without_an_outage_it_is_seen_within_a_beat(
        self, replica: Replica, store: RedisLimiter, own_redis_server: RedisServer
    ) -> None:
        await granted(replica.limiter, hold_now(MANY, tokens=30_000))
        async with redis_client(own_redis_server) as client:
            await client.flushall()
        await replica.limiter.beat()
        assert await remaining(store, MANY) in range(SIZE - 30_000 - 2, SIZE - 30_000 + 60)


class WaitingBooks:
    """A ledger that answers what it knew when it was asked, once it is let."""

    def __init__(self, knew: Spending) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self._knew = knew

    async def spending(self, query: SpendingQuery) -> Spending:
        self.asked.set()
        await self.may_answer.wait()
        return self._knew


class TestEmptiedForTwo:
    """One is back and asks the ledger, while the other spends alone."""

    @pytest.fixture
    async def late(self, replica: Replica, store: RedisLimiter) -> AsyncIterator[Replica]:
        """The other, away behind a door of its own; Redis is empty, and the first one is back."""
        server = replica.server
        with fault_proxy(server.path) as door:
            async with replica_on(server, "gateway-2", url=door.url) as late:
                await late.limiter.beat()
                await load(store, SOFT)
                door.refuse()
                server.stop()
                for each in (replica, late):
                    await each.knows_it_is_away()
                server.start()
                await replica.is_back()
                late.heal = door.heal
                yield late

    async def test_what_it_spends_after_the_load_is_charged(self, store: RedisLimiter, late: Replica) -> None:
        running, later = hold_now(SOFT), hold_now(SOFT)
        await granted(late.limiter, running)
        await load(store, SOFT, spent=50, under_way=[UnderWay(running.exchange_id, 100)])
        await granted(late.limiter, later)
        for hold in (running, later):
            await late.limiter.settle([spent(hold, 70)])
        late.heal()
        await late.is_back()
        assert (await look(store, SOFT)).spent == 190

    async def test_what_it_tells_while_the_ledger_is_asked_is_charged(
        self, replica: Replica, store: RedisLimiter, late: Replica
    ) -> None:
        running, later = hold_now(SOFT), hold_now(SOFT)
        await granted(late.limiter, running)
        books = WaitingBooks(Spending(50, (UnderWay(running.exchange_id, 100),)))
        loader = BudgetLoader(books=books, limiter=replica.limiter, clock=SystemClock(), seconds=30.0)
        loading = asyncio.create_task(loader.load(running.demands))
        await books.asked.wait()
        await granted(late.limiter, later)
        for hold in (running, later):
            await late.limiter.settle([spent(hold, 70)])
        late.heal()
        await late.is_back()
        books.may_answer.set()
        await loading
        assert (await look(store, SOFT)).spent == 190

    async def test_what_it_tells_before_is_what_the_ledger_says(
        self, replica: Replica, store: RedisLimiter, late: Replica
    ) -> None:
        hold = hold_now(SOFT)
        await granted(late.limiter, hold)
        await late.limiter.settle([spent(hold, 70)])
        late.heal()
        await late.is_back()
        books = WaitingBooks(Spending(120))
        books.may_answer.set()
        loader = BudgetLoader(books=books, limiter=replica.limiter, clock=SystemClock())
        await loader.load(hold.demands)
        assert await look(store, SOFT) == Look(120, spent=120)


class TestLoading:
    """What Redis is told while the ledger is asked."""

    @staticmethod
    async def mark(store: RedisLimiter, load_id: str) -> None:
        await load(store, SOFT, under_way=[UnderWay(load_id, 0)])

    async def test_a_mark_loads_nothing(self, store: RedisLimiter) -> None:
        await self.mark(store, "load_a")
        assert await look(store, SOFT) == Look(0, loaded=False)

    async def test_each_load_has_a_mark_of_its_own(self, store: RedisLimiter) -> None:
        await self.mark(store, "load_a")
        await store.settle([spent(hold_now(SOFT), 70)])
        await self.mark(store, "load_b")
        await load(store, SOFT, spent=50, under_way=[UnderWay("load_a", 0)])
        await load(store, SOFT, spent=120, under_way=[UnderWay("load_b", 0)])
        assert await look(store, SOFT) == Look(120, spent=120)

    async def test_what_came_before_the_mark_is_not_spent_twice(self, store: RedisLimiter) -> None:
        await self.mark(store, "load_a")
        await store.settle([spent(hold_now(SOFT), 70)])
        await self.mark(store, "load_b")
        await load(store, SOFT, spent=120, under_way=[UnderWay("load_b", 0)])
        assert await look(store, SOFT) == Look(120, spent=120)

    async def test_what_is_under_way_is_spent_once(self, store: RedisLimiter) -> None:
        hold = hold_now(SOFT)
        await self.mark(store, "load_a")
        await store.settle([spent(hold, 70)])
        await load(store, SOFT, spent=50, under_way=[UnderWay("load_a", 0), UnderWay(hold.exchange_id, 100)])
        assert await look(store, SOFT) == Look(120, spent=120)

    async def test_a_redis_that_lost_the_mark_is_loaded_at_the_second_time(
        self, store: RedisLimiter, own_redis_server: RedisServer
    ) -> None:
        await self.mark(store, "load_a")
        async with redis_client(own_redis_server) as client:
            await client.flushall()
        await store.settle([spent(hold_now(SOFT), 70)])
        await load(store, SOFT, spent=50, under_way=[UnderWay("load_a", 0)])
        assert await look(store, SOFT) == Look(0, loaded=False)
        await load(store, SOFT, spent=120, under_way=[UnderWay("load_a", 0)])
        assert await look(store, SOFT) == Look(120, spent=120)


@pytest.mark.parametrize("fault", ["frozen", "stopped"])
async def test_three_replicas_let_through_105_percent_at_most(
    own_redis_server: RedisServer, fault: str
) -> None:
    """Everything that fits, before an outage, in it and after it."""
    server, given = own_redis_server, SIZE // 2
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica_on(server, f"gateway-{n}")) for n in range(3)]
        for _ in range(2):
            for replica in replicas:
                await replica.limiter.beat()
        await granted(replicas[0].limiter, hold_now(MANY, tokens=given))
        for _ in range(2):
            server.freeze() if fault == "frozen" else server.stop()
            for replica in replicas:
                await replica.knows_it_is_away()
            given += sum([await as_much_as_fits(replica.limiter, MANY, 50) for replica in replicas])
            server.thaw() if fault == "frozen" else server.start()
            for replica in replicas:
                await replica.is_back()
        given += sum([await as_much_as_fits(replica.limiter, MANY, 100) for replica in replicas])
    assert 0.98 * SIZE <= given <= 1.05 * SIZE
