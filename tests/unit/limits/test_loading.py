"""When the ledger is asked, and for what; and when it is not."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Budget, Counted, Limit, Period, Scope
from gateway.core.principal import Principal
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.limits.budget import window_of
from gateway.limits.demands import bucket_of, demand_of
from gateway.limits.interfaces import LOAD, Demand, Hold, Look, Spent
from gateway.limits.loading import BudgetLoader, question
from gateway.limits.memory.limiter import MemoryLimiter
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS

SPENDING = Spending(31, (UnderWay("ex_1", 4),))
PATIENT = 30.0


class Shelf:
    """Books that answer when they are let, and count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[SpendingQuery] = []
        self.open = asyncio.Event()
        self.open.set()
        self.trouble: StoreUnavailable | None = None
        self.reading = 0
        self.most_readers = 0

    async def spending(self, query: SpendingQuery) -> Spending:
        self.asked.append(query)
        self.reading += 1
        self.most_readers = max(self.most_readers, self.reading)
        try:
            await self.open.wait()
        finally:
            self.reading -= 1
        if self.trouble is not None:
            raise self.trouble
        return SPENDING


class Counters(MemoryLimiter):
    """A memory store that remembers what was loaded into it, and may be away."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.marks: list[UnderWay] = []
        self.loaded: list[tuple[Demand, Spending]] = []
        self.trouble: StoreUnavailable | None = None

    async def load(self, demand: Demand, spending: Spending) -> None:
        if self.trouble is not None:
            raise self.trouble
        mark, *under_way = spending.under_way
        if mark in self.marks:
            self.loaded.append((demand, Spending(spending.spent, tuple(under_way))))
        self.marks.append(mark)
        await super().load(demand, spending)

    async def settle_unknown(self, demand: Demand, spents: Sequence[tuple[str, int]]) -> None:
        """Exchanges that it does not know are settled."""
        await self.settle([Spent(Hold(exchange_id, (demand,)), (amount,)) for exchange_id, amount in spents])


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def counters(clock: ManualClock) -> Counters:
    return Counters(clock)


@pytest.fixture
def loader(shelf: Shelf, counters: Counters, clock: ManualClock) -> BudgetLoader:
    return BudgetLoader(books=shelf, limiter=counters, clock=clock, seconds=PATIENT)


def demand_for(
    limit: Budget | Limit, clock: ManualClock, *, team: str = "search", model: str | None = "gpt-4o"
) -> Demand:
    who = Principal(subject=f"ann@{team}", team=team, key_id="k1", key_name="batch")
    return demand_of(limit, bucket_of(team, limit, who, model), 1, clock.now())


@pytest.fixture
def demand(clock: ManualClock) -> Demand:
    return demand_for(DOLLARS, clock)


async def turns(count: int = 10) -> None:
    """Let everybody go as far as he can."""
    for _ in range(count):
        await asyncio.sleep(0)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


# What the ledger is asked


@pytest.mark.parametrize(
    ("per", "asked"),
    [
        ((Scope.TEAM,), {"team": "search"}),
        ((Scope.ORGANIZATION,), {}),
        ((Scope.ORGANIZATION, Scope.USER), {"subject": "ann@search"}),
        ((Scope.USER,), {"team": "search", "subject": "ann@search"}),
        ((Scope.KEY,), {"team": "search", "key_id": "k1"}),
        ((Scope.TEAM, Scope.MODEL), {"team": "search", "model": "gpt-4o", "models": ("*",)}),
        (
            (Scope.USER, Scope.KEY, Scope.MODEL),
            {
                "team": "search",
                "subject": "ann@search",
                "key_id": "k1",
                "model": "gpt-4o",
                "models": ("*",),
            },
        ),
    ],
)
def test_the_ledger_is_asked_for_those_whom_the_bucket_counts(
    per: tuple[Scope, ...], asked: dict[str, str], clock: ManualClock
) -> None:
    demand = demand_for(replace(DOLLARS, per=per, models=("gpt*",)), clock)
    query, _ = question(demand, clock.now())
    since, until = seconds("2026-11-01"), seconds("2026-12-01")
    assert query == SpendingQuery(Counted.DOLLARS, since, until, **({"models": ("gpt*",)} | asked))


@pytest.mark.parametrize("counts", [counts for counts in Counted if counts is not Counted.CONCURRENT])
def test_the_ledger_is_asked_for_what_the_budget_counts(counts: Counted, clock: ManualClock) -> None:
    query, _ = question(demand_for(replace(DOLLARS, counts=counts), clock), clock.now())
    assert query.counts is counts


@pytest.mark.parametrize(
    ("period", "zone", "since", "until"),
    [
        (Period.DAY, "UTC", "2026-11-18T00:00", "2026-11-19T00:00"),
        (Period.DAY, "Asia/Tokyo", "2026-11-17T15:00", "2026-11-18T15:00"),
        (Period.WEEK, "UTC", "2026-11-16T00:00", "2026-11-23T00:00"),
        (Period.MONTH, "Europe/Berlin", "2026-10-31T23:00", "2026-11-30T23:00"),
    ],
)
def test_the_ledger_is_asked_for_the_window_of_the_budgets_calendar(
    period: Period, zone: str, since: str, until: str, clock: ManualClock
) -> None:
    query, _ = question(demand_for(replace(DOLLARS, period=period, zone=zone), clock), clock.now())
    assert (query.since, query.until) == (seconds(since), seconds(until))


def test_a_demand_of_before_midnight_is_loaded_with_the_window_of_after(clock: ManualClock) -> None:
    daily = replace(DOLLARS, period=Period.DAY)
    demand = demand_for(daily, clock)
    clock.advance(86_400)
    query, renewed = question(demand, clock.now())
    assert (query.since, query.until) == (seconds("2026-11-19"), seconds("2026-11-20"))
    assert renewed == demand._replace(window=window_of(daily, clock.now()))


def test_only_budgets_are_loaded(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="no budget"):
        question(demand_for(REQUESTS, clock), clock.now())


# What becomes of the answer


async def test_what_the_ledger_says_is_loaded(
    loader: BudgetLoader, counters: Counters, demand: Demand
) -> None:
    await loader.load([demand])
    assert counters.loaded == [(demand, SPENDING)]
    assert [(look.loaded, look.spent) for look in await counters.look([demand])] == [(True, 31)]


async def test_every_budget_is_loaded(loader: BudgetLoader, counters: Counters, clock: ManualClock) -> None:
    demands = [demand_for(replace(DOLLARS, name=name), clock) for name in ("day", "week", "month")]
    await loader.load(demands)
    assert [demand for demand, _ in counters.loaded] == demands


async def test_of_nothing_nothing_is_asked(loader: BudgetLoader, shelf: Shelf) -> None:
    await loader.load([])
    assert shelf.asked == []


# What is settled while it is asked


async def test_each_load_says_so_before_it_asks(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand
) -> None:
    shelf.open.clear()
    loading = asyncio.create_task(loader.load([demand]))
    await turns()
    assert (len(shelf.asked), len(counters.marks), counters.loaded) == (1, 1, [])
    shelf.open.set()
    await loading
    first, again = counters.marks
    assert first == again
    assert first.exchange_id.startswith(LOAD)
    assert first.amount == 0


@pytest.mark.parametrize(
    ("before", "meanwhile", "found"),
    [
        pytest.param([], [("ex_2", 7)], Look(42, 38), id="what the ledger may have missed is spent"),
        pytest.param([("ex_2", 7)], [], Look(35, 31), id="what it has heard of is not spent twice"),
        pytest.param([], [("ex_1", 5)], Look(36, 36), id="what it calls under way is spent once"),
        pytest.param([("ex_1", 5)], [("ex_2", 7)], Look(43, 43), id="whenever that is settled"),
    ],
)
async def test_nothing_that_is_settled_meanwhile_is_missed(
    loader: BudgetLoader,
    shelf: Shelf,
    counters: Counters,
    demand: Demand,
    before: list[tuple[str, int]],
    meanwhile: list[tuple[str, int]],
    found: Look,
) -> None:
    await counters.settle_unknown(demand, before)
    shelf.open.clear()
    loading = asyncio.create_task(loader.load([demand]))
    await turns()
    await counters.settle_unknown(demand, meanwhile)
    shelf.open.set()
    await loading
    (seen,) = await counters.look([demand])
    assert (seen.level, seen.spent) == (found.level, found.spent)


# One question for all


async def test_who_comes_meanwhile_waits_for_the_same_answer(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand
) -> None:
    shelf.open.clear()
    waiting = [asyncio.create_task(loader.load([demand])) for _ in range(50)]
    await turns()
    shelf.open.set()
    await asyncio.gather(*waiting)
    assert (len(shelf.asked), len(counters.loaded)) == (1, 1)


async def test_who_comes_later_asks_again(loader: BudgetLoader, shelf: Shelf, demand: Demand) -> None:
    await loader.load([demand])
    await loader.load([demand])
    assert len(shelf.asked) == 2


async def test_when_the_one_who_asks_leaves_another_asks_in_his_place(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand
) -> None:
    shelf.open.clear()
    first, second, third = (asyncio.create_task(loader.load([demand])) for _ in range(3))
    await turns()
    first.cancel()
    await turns()
    shelf.open.set()
    await asyncio.gather(second, third)
    assert (len(shelf.asked), len(counters.loaded)) == (2, 1)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_when_one_who_waits_leaves_nobody_notices(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand
) -> None:
    shelf.open.clear()
    first, second = (asyncio.create_task(loader.load([demand])) for _ in range(2))
    await turns()
    second.cancel()
    shelf.open.set()
    await first
    assert (len(shelf.asked), len(counters.loaded)) == (1, 1)


async def test_of_many_budgets_a_few_are_asked_for_at_once(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, clock: ManualClock
) -> None:
    shelf.open.clear()
    demands = [demand_for(DOLLARS, clock, team=f"team-{number}") for number in range(20)]
    waiting = [asyncio.create_task(loader.load([demand])) for demand in demands]
    await turns()
    assert shelf.reading == 2
    shelf.open.set()
    await asyncio.gather(*waiting)
    assert (shelf.most_readers, len(counters.loaded)) == (2, 20)


async def test_who_leaves_before_his_turn_takes_it_from_nobody(
    loader: BudgetLoader, shelf: Shelf, clock: ManualClock
) -> None:
    shelf.open.clear()
    demands = [demand_for(DOLLARS, clock, team=f"team-{number}") for number in range(6)]
    waiting = [asyncio.create_task(loader.load([demand])) for demand in demands]
    await turns()
    for task in waiting[:4]:
        task.cancel()
    await turns()
    assert shelf.reading == 2
    shelf.open.set()
    await asyncio.gather(*waiting[4:])


# The ledger, or the store, is away


def ledger_away(shelf: Shelf, counters: Counters) -> None:
    shelf.trouble = StoreUnavailable("the database failed")


def store_away(shelf: Shelf, counters: Counters) -> None:
    counters.trouble = StoreUnavailable("Redis: ConnectionError")


@pytest.mark.parametrize(("break_it", "asked"), [(ledger_away, 1), (store_away, 0)])
async def test_what_is_away_is_told_to_all_who_wait(
    loader: BudgetLoader,
    shelf: Shelf,
    counters: Counters,
    demand: Demand,
    break_it: Callable[[Shelf, Counters], None],
    asked: int,
) -> None:
    break_it(shelf, counters)
    shelf.open.clear()
    waiting = [asyncio.create_task(loader.load([demand])) for _ in range(3)]
    await turns()
    shelf.open.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in told] == [StoreUnavailable] * 3
    assert len({id(each) for each in told}) == 3
    assert len(shelf.asked) == asked


async def test_what_failed_is_not_tried_again_within_a_second(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand, clock: ManualClock
) -> None:
    ledger_away(shelf, counters)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await loader.load([demand])
        clock.advance(0.19)
    assert len(shelf.asked) == 1


async def test_what_failed_is_tried_again_after_a_second(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand, clock: ManualClock
) -> None:
    ledger_away(shelf, counters)
    with pytest.raises(StoreUnavailable):
        await loader.load([demand])
    shelf.trouble = None
    clock.advance(1.0)
    await loader.load([demand])
    assert len(counters.loaded) == 1


async def test_one_budget_that_cannot_be_loaded_keeps_no_other_from_it(
    loader: BudgetLoader, shelf: Shelf, counters: Counters, demand: Demand, clock: ManualClock
) -> None:
    ledger_away(shelf, counters)
    with pytest.raises(StoreUnavailable):
        await loader.load([demand])
    shelf.trouble = None
    other = demand_for(DOLLARS, clock, team="legal")
    with pytest.raises(StoreUnavailable):
        await loader.load([demand, other])
    assert [loaded for loaded, _ in counters.loaded] == [other]


async def test_a_ledger_that_does_not_answer_in_time_is_away(
    shelf: Shelf, counters: Counters, demand: Demand, clock: ManualClock
) -> None:
    loader = BudgetLoader(books=shelf, limiter=counters, clock=clock, seconds=0.01)
    shelf.open.clear()
    with pytest.raises(StoreUnavailable, match="in time"):
        await loader.load([demand])
    assert shelf.reading == 0


async def test_who_does_not_get_his_turn_in_time_is_told(
    shelf: Shelf, counters: Counters, clock: ManualClock
) -> None:
    loader = BudgetLoader(books=shelf, limiter=counters, clock=clock, seconds=0.01)
    shelf.open.clear()
    demands = [demand_for(DOLLARS, clock, team=f"team-{number}") for number in range(6)]
    told = await asyncio.gather(*[loader.load([each]) for each in demands], return_exceptions=True)
    assert [type(each) for each in told] == [StoreUnavailable] * 6


async def test_a_fault_of_ours_reaches_whoever_asked_and_keeps_nobody_waiting(
    loader: BudgetLoader, shelf: Shelf, demand: Demand, clock: ManualClock
) -> None:
    impossible = demand_for(REQUESTS, clock)
    told = await asyncio.gather(*[loader.load([impossible]) for _ in range(3)], return_exceptions=True)
    assert [type(each) for each in told] == [ValueError] * 3
    await loader.load([demand])


async def test_of_failures_the_newest_are_remembered(
    shelf: Shelf, counters: Counters, clock: ManualClock
) -> None:
    loader = BudgetLoader(books=shelf, limiter=counters, clock=clock, seconds=PATIENT, most=2)
    ledger_away(shelf, counters)

    async def asks(team: str) -> bool:
        before = len(shelf.asked)
        with pytest.raises(StoreUnavailable):
            await loader.load([demand_for(DOLLARS, clock, team=team)])
        return len(shelf.asked) > before

    assert await asks("art")
    clock.advance(0.6)
    assert await asks("legal")
    clock.advance(0.6)
    assert [await asks(team) for team in ("art", "search")] == [True, True]  # legal is forgotten for it
    assert [await asks(team) for team in ("art", "search", "legal")] == [False, False, True]
