"""What all books say of the ledger: of small cases in words, and of any history what is counted by hand."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from gateway.core.patterns import matches
from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.statements import insertion
from gateway.database.tables import ADMISSIONS, CHARGES, SETTLEMENTS, UNDER_WAY
from gateway.limits.interfaces import Books
from gateway.metering.interfaces import Admission, Ledger, Settlement
from gateway.metering.ledger.memory import MemoryLedger
from gateway.metering.ledger.rows import admission_row, settlement_row
from gateway.metering.reports.books import SqlBooks
from tests.support.clock import ManualClock
from tests.support.database import open_url
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.ledgers import a_ledger

SINCE = NOON // 1000
UNTIL = SINCE + DAY // 1000


@dataclass
class World:
    """A ledger, and the books of it once everything is written."""

    ledger: Ledger
    books: Books

    async def attempt(self, attempt_id: str, *, admission: Any = None, settlement: Any = None) -> None:
        await self.under_way(attempt_id, **(admission or {}))
        self.ledger.settle(a_settlement(attempt_id, **(settlement or {})))

    async def under_way(self, attempt_id: str, **changes: Any) -> None:
        values = {"exchange_id": f"of_{attempt_id}"} | changes
        await self.ledger.admit(an_admission(attempt_id, **values))

    async def spending(self, counts: Counted = Counted.DOLLARS, **changes: Any) -> Spending:
        await self.ledger.close()
        values: dict[str, Any] = {"since": SINCE, "until": UNTIL} | changes
        return await self.books.spending(SpendingQuery(counts, **values))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = MemoryLedger()
        yield World(memory, memory)
        return
    async with (
        open_url(request.getfixturevalue(f"{request.param}_url")) as database,
        a_ledger(database, tmp_path, clock=ManualClock()) as ledger,
    ):
        yield World(ledger, SqlBooks(database, flush=ledger.flush))


USED = Usage(
    UsageSource.PROVIDER, input_tokens=90, output_tokens=11, images=2, audio_milliseconds=1500, characters=70
)
AMOUNTS = [
    (Counted.REQUESTS, 1),
    (Counted.TOKENS, 101),
    (Counted.INPUT_TOKENS, 90),
    (Counted.OUTPUT_TOKENS, 11),
    (Counted.IMAGES, 2),
    (Counted.AUDIO_SECONDS, 2),
    (Counted.DOLLARS, 340),
]


@pytest.mark.parametrize(("counts", "amount"), AMOUNTS)
async def test_what_was_settled_is_spent(world: World, counts: Counted, amount: int) -> None:
    await world.attempt("att_1", settlement={"usage": USED, "cost": 340})
    assert await world.spending(counts) == Spending(amount)


@pytest.mark.parametrize(("counts", "amount"), AMOUNTS)
async def test_what_is_not_settled_is_under_way_as_estimated(
    world: World, counts: Counted, amount: int
) -> None:
    await world.under_way("att_1", estimate=USED, estimated_cost=340)
    assert await world.spending(counts) == Spending(0, (UnderWay("of_att_1", amount),))


async def test_of_nothing_nothing_was_spent(world: World) -> None:
    assert await world.spending() == Spending(0)


async def test_an_attempt_is_under_way_for_as_long_as_it_is_not_settled(world: World) -> None:
    await world.under_way("att_1", admitted_at=NOON - 400 * DAY)
    assert await world.spending() == Spending(0, (UnderWay("of_att_1", 400),))


@pytest.mark.parametrize(
    ("settled_at", "spent"),
    [(SINCE * 1000 - 1, 0), (SINCE * 1000, 340), (UNTIL * 1000 - 1, 340), (UNTIL * 1000, 0)],
)
async def test_a_window_begins_with_its_first_millisecond(world: World, settled_at: int, spent: int) -> None:
    await world.attempt("att_1", settlement={"settled_at": settled_at})
    assert await world.spending() == Spending(spent)


async def test_an_exchange_of_two_windows_is_charged_where_it_was_settled(world: World) -> None:
    await world.attempt("att_1", admission={"admitted_at": SINCE * 1000 - DAY})
    assert (await world.spending()).spent == 340


async def test_what_has_no_price_costs_nothing(world: World) -> None:
    await world.attempt("att_1", settlement={"cost": None})
    await world.attempt("att_2", settlement={"cost": 5})
    await world.under_way("att_3", estimated_cost=None)
    assert await world.spending() == Spending(5, (UnderWay("of_att_3", 0),))


async def test_seconds_of_audio_are_rounded_up_for_each_attempt(world: World) -> None:
    for number, milliseconds in enumerate((1, 999, 1000, 1001, 0)):
        usage = USED._replace(audio_milliseconds=milliseconds)
        await world.attempt(f"att_{number}", settlement={"usage": usage})
    assert await world.spending(Counted.AUDIO_SECONDS) == Spending(1 + 1 + 1 + 2 + 0)


async def test_of_an_exchange_with_several_attempts_the_settled_are_spent(world: World) -> None:
    for name in ("att_1", "att_2"):
        await world.attempt(name, admission={"exchange_id": "ex_1"}, settlement={"cost": 7})
    await world.under_way("att_3", exchange_id="ex_1", estimated_cost=400)
    assert await world.spending() == Spending(14, (UnderWay("ex_1", 400),))


async def test_attempts_of_one_exchange_that_are_under_way_are_held_together(world: World) -> None:
    for name in ("att_1", "att_2"):
        await world.under_way(name, exchange_id="ex_1", estimated_cost=400)
    assert await world.spending() == Spending(0, (UnderWay("ex_1", 800),))


async def test_an_exchange_with_several_attempts_is_one_request(world: World) -> None:
    for name in ("att_1", "att_2"):
        await world.attempt(name, admission={"exchange_id": "ex_1"})
    await world.attempt("att_3", admission={"exchange_id": "ex_2"})
    assert await world.spending(Counted.REQUESTS) == Spending(2)


async def test_an_exchange_that_is_under_way_is_no_request_that_was_spent_as_well(world: World) -> None:
    await world.attempt("att_1", admission={"exchange_id": "ex_1"})
    await world.under_way("att_2", exchange_id="ex_1")
    await world.under_way("att_3", exchange_id="ex_1")
    assert await world.spending(Counted.REQUESTS) == Spending(0, (UnderWay("ex_1", 1),))


@pytest.mark.parametrize(
    "other", [{"team": "legal"}, {"subject": "key:search/app"}, {"key_id": "k2"}, {"model": "o3"}]
)
async def test_of_others_nothing_is_counted_when_somebody_is_asked_for(
    world: World, other: dict[str, str]
) -> None:
    await world.attempt("att_1", settlement={"cost": 1})
    await world.attempt("att_2", settlement={"cost": 10}, admission=other)
    await world.under_way("att_3", estimated_cost=2)
    await world.under_way("att_4", estimated_cost=20, **other)
    assert await world.spending(**other) == Spending(10, (UnderWay("of_att_4", 20),))


async def test_of_several_scopes_all_narrow(world: World) -> None:
    for number, (team, subject) in enumerate([("search", "ann"), ("search", "bob"), ("legal", "ann")]):
        who = {"team": team, "subject": subject}
        await world.attempt(f"att_{number}", admission=who, settlement={"cost": 10**number})
    assert await world.spending(team="search", subject="ann") == Spending(1)


async def test_who_asks_for_nobody_gets_all_teams(world: World) -> None:
    for number, team in enumerate(("search", "legal", "art", "search")):
        await world.attempt(f"att_{number}", admission={"team": team}, settlement={"cost": 10**number})
    assert await world.spending() == Spending(1111)


@pytest.mark.parametrize(
    ("models", "spent", "under_way"),
    [
        (("*",), 1111, 2222),
        (("gpt-4o",), 1, 2),
        (("gpt*",), 11, 22),
        (("*mini", "o3"), 110, 220),
        (("gpt-4o", "gpt*"), 11, 22),
        (("GPT*",), 0, 0),
        (("gpt_4o",), 0, 0),
        (("nothing", "*"), 1111, 2222),
    ],
)
async def test_models_are_picked_as_policies_pick_them(
    world: World, models: tuple[str, ...], spent: int, under_way: int
) -> None:
    for number, model in enumerate(("gpt-4o", "gpt-4o-mini", "o3", "")):
        await world.attempt(f"att_{number}", admission={"model": model}, settlement={"cost": 10**number})
        await world.under_way(f"more_{number}", model=model, estimated_cost=2 * 10**number)
    spending = await world.spending(models=models)
    assert (spending.spent, sum(each.amount for each in spending.under_way)) == (spent, under_way)


async def test_requests_are_picked_by_model_too(world: World) -> None:
    for number, model in enumerate(("gpt-4o", "gpt-4o", "o3")):
        await world.attempt(f"att_{number}", admission={"exchange_id": f"ex_{model}", "model": model})
    assert await world.spending(Counted.REQUESTS, models=("gpt*", "o*")) == Spending(2)


async def test_what_is_written_twice_is_counted_once(world: World) -> None:
    await world.attempt("att_1", settlement={"cost": 340})
    await world.under_way("att_1")
    world.ledger.settle(a_settlement("att_1", cost=999))
    assert await world.spending() == Spending(340)


# Any history

Attempt = tuple[Admission, Settlement | None]
"""None: under way."""

TEAMS, SUBJECTS, KEYS = ("legal", "search", "Search"), ("ann", "bob"), ("k1", "k2")
MODELS = ("", "gpt-4o", "GPT-4o", "gpt_4o", "gpt-4o-mini", "o3")
PATTERNS = ("*", "gpt*", "GPT*", "gpt_4o", "*o", "*4*mini", "o3", "%", "o_", "")
EDGES = [SINCE * 1000, UNTIL * 1000]

counts = st.integers(0, 3) | st.integers(0, 10**12)
costs = st.none() | counts
usages = st.tuples(counts, counts, counts, st.integers(0, 3001)).map(
    lambda each: USED._replace(
        input_tokens=each[0], output_tokens=each[1], images=each[2], audio_milliseconds=each[3]
    )
)
times = st.builds(int.__add__, st.sampled_from(EDGES), st.integers(-2, 2) | st.integers(-DAY, DAY))


@st.composite
def exchanges(draw: st.DrawFn) -> Sequence[Attempt]:
    """The attempts of one exchange: all by one caller, for one model."""
    exchange_id = f"ex_{draw(st.uuids())}"
    who = {
        "team": draw(st.sampled_from(TEAMS)),
        "subject": draw(st.sampled_from(SUBJECTS)),
        "key_id": draw(st.sampled_from(KEYS)),
        "model": draw(st.sampled_from(MODELS)),
    }
    attempts: list[Attempt] = []
    for number in range(draw(st.integers(1, 3))):
        attempt_id = f"att_{draw(st.uuids())}"
        admission = an_admission(
            attempt_id,
            exchange_id=exchange_id,
            number=number + 1,
            estimate=draw(usages),
            estimated_cost=draw(costs),
            **who,
        )
        settlement = a_settlement(attempt_id, settled_at=draw(times), usage=draw(usages), cost=draw(costs))
        attempts.append((admission, draw(st.sampled_from((settlement, settlement, None)))))
    return attempts


histories = st.lists(exchanges(), max_size=8).map(lambda each: [one for attempts in each for one in attempts])
queries = st.builds(
    SpendingQuery,
    st.sampled_from([counts for counts in Counted if counts is not Counted.CONCURRENT]),
    since=st.just(SINCE),
    until=st.just(UNTIL),
    team=st.none() | st.sampled_from(TEAMS),
    subject=st.none() | st.sampled_from(SUBJECTS),
    key_id=st.none() | st.sampled_from(KEYS),
    model=st.none() | st.sampled_from(MODELS),
    models=st.just(("*",)) | st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(tuple),
)


def counted_by_hand(history: Sequence[Attempt], query: SpendingQuery) -> Spending:
    """One line after the other."""
    spent, under_way = 0, dict[str, int]()
    open_exchanges = {admission.exchange_id for admission, settlement in history if settlement is None}
    requests = set[str]()
    for admission, settlement in history:
        if not asked_for(admission, query):
            continue
        exchange = admission.exchange_id
        if settlement is None:
            more = amount(query.counts, admission.estimate, admission.estimated_cost)
            under_way[exchange] = 1 if query.counts is Counted.REQUESTS else under_way.get(exchange, 0) + more
        elif EDGES[0] <= settlement.settled_at < EDGES[1]:
            spent += amount(query.counts, settlement.usage, settlement.cost)
            requests.add(exchange)
    if query.counts is Counted.REQUESTS:
        spent = len(requests - open_exchanges)
    return Spending(spent, tuple(UnderWay(*each) for each in sorted(under_way.items())))


def asked_for(admission: Admission, query: SpendingQuery) -> bool:
    return (
        query.team in (None, admission.team)
        and query.subject in (None, admission.subject)
        and query.key_id in (None, admission.key_id)
        and query.model in (None, admission.model)
        and matches(query.models, admission.model)
    )


def amount(counts: Counted, usage: Usage, cost: int | None) -> int:
    seconds, rest = divmod(usage.audio_milliseconds, 1000)
    amounts = {
        Counted.REQUESTS: 0,
        Counted.TOKENS: usage.input_tokens + usage.output_tokens,
        Counted.INPUT_TOKENS: usage.input_tokens,
        Counted.OUTPUT_TOKENS: usage.output_tokens,
        Counted.IMAGES: usage.images,
        Counted.AUDIO_SECONDS: seconds + (1 if rest else 0),
        Counted.DOLLARS: 0 if cost is None else cost,
    }
    return amounts[counts]


def in_order(spending: Spending) -> Spending:
    return spending._replace(under_way=tuple(sorted(spending.under_way)))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield database


def write_anew(database: Database, history: Sequence[Attempt]) -> None:
    """The ledger says this, and nothing else. Every line is written twice."""
    admissions = [admission_row(admission, "wrk_1") for admission, _ in history]
    settlements = [settlement_row(settlement) for _, settlement in history if settlement is not None]
    with database.transaction(writes=True) as connection:
        for table in (ADMISSIONS, SETTLEMENTS, UNDER_WAY, CHARGES):
            connection.execute(delete(table))
        for table, rows in [(ADMISSIONS, admissions), (SETTLEMENTS, settlements)] * 2:
            if rows:
                connection.exec_driver_sql(insertion(database.engine, table), rows)


any_case = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@any_case
@given(history=histories, asked=st.lists(queries, min_size=1, max_size=5))
async def test_the_database_adds_up_any_history_as_a_hand_does(
    database: Database, history: Sequence[Attempt], asked: Sequence[SpendingQuery]
) -> None:
    write_anew(database, history)
    for query in asked:
        assert in_order(await SqlBooks(database).spending(query)) == counted_by_hand(history, query)


@given(history=histories, query=queries)
async def test_memory_adds_up_any_history_as_a_hand_does(
    history: Sequence[Attempt], query: SpendingQuery
) -> None:
    memory = MemoryLedger()
    for admission, settlement in history:
        await memory.admit(admission)
        if settlement is not None:
            memory.settle(settlement)
    assert in_order(await memory.spending(query)) == counted_by_hand(history, query)
