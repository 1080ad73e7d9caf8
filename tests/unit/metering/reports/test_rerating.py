"""Re-rating over the ledger: what differs is corrected, once. On both engines."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from gateway.core.attempt import Cause
from gateway.core.endpoint import Meter
from gateway.core.policy import Catalogue, Model, Price, Rates, Unpriced
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, CHARGES, DAILY, SETTLEMENTS
from gateway.metering.interfaces import PricedBy
from gateway.metering.reports import rerating
from gateway.metering.reports.closing import GRACE, Closings
from gateway.metering.reports.month import Month
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.rerating import Change, Report, Rerating, Rules
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.written_lines import rows, write

NOVEMBER = Month(2026, 11)
ALL = Range()
METERS = {"chat_completions": Meter.TOKENS, "images_generations": Meter.IMAGES, "moderations": Meter.FREE}
TOKENS = Usage(UsageSource.PROVIDER, input_tokens=1_000_000)
"""Costs in micro-dollars what a line says."""


async def no_pause(seconds: float) -> None:
    pass


def alarm(team: str, key_id: str) -> Unpriced:
    return Unpriced.ALARM


def book(
    models: Mapping[str, tuple[Price, ...] | int] | None = None,
    *,
    ceiling: int | None = None,
    unpriced: Callable[[str, str], Unpriced] = alarm,
) -> Rules:
    """Models by their lines, or by the price of a million input tokens."""
    found = {"gpt-4o": 50} if models is None else models
    lines = {
        name: (Price(Rates(input=said)),) if isinstance(said, int) else said for name, said in found.items()
    }
    catalogue = Catalogue(
        models={name: Model(name, "openai", name, prices=prices) for name, prices in lines.items()},
        price_version="88e2",
        ceiling=None if ceiling is None else Rates(input=ceiling),
    )
    return Rules(catalogue=catalogue, meters=METERS, unpriced=unpriced)


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Pages are small."""
    monkeypatch.setattr(rerating, "_PAGE", 2)
    with closing_database(database_url) as database:
        yield database


def attempt(database: Database, name: str, admitted: dict[str, Any] | None = None, **settled: Any) -> None:
    """Of a million input tokens that cost 40."""
    write(database, an_admission(name, **({"endpoint": "chat_completions"} | (admitted or {}))))
    values = {"settled_at": NOON, "usage": TOKENS, "cost": 40} | settled
    write(database, a_settlement(name, **values))


def desk(database: Database, rules: Rules) -> Rerating:
    return Rerating(database=database, clock=ManualClock(), rules=rules, pause=no_pause)


async def rerate(
    database: Database, rules: Rules, asked: Range = ALL, *, writes: bool = True, models: tuple[str, ...] = ()
) -> Report:
    return await desk(database, rules).rerate(asked, models=models, writes=writes, by="cli:ops")


def costs(database: Database) -> dict[str, int | None]:
    """As budgets count them."""
    return {row["attempt_id"]: row["cost"] for row in rows(database, CHARGES)}


def total(database: Database) -> tuple[int, int]:
    """As reports have it: cost, and attempts without one."""
    sums = rows(database, DAILY)
    return sum(row["cost"] for row in sums), sum(row["unpriced"] for row in sums)


async def test_what_differs_is_corrected(database: Database) -> None:
    attempt(database, "att_1")
    report = await rerate(database, book())
    assert report.changes == {("search", "gpt-4o"): Change(attempts=1, touched=1, before=40, after=50)}
    assert report.price_version == "88e2"
    (line,) = rows(database, ADJUSTMENTS)
    assert (line["cost"], line["reason"], line["price_version"]) == (10, "rerated", "88e2")
    assert (line["adjusted_at"], line["settled_at"]) == (int(ManualClock().now() * 1000), NOON)
    assert costs(database) == {"att_1": 50}
    assert total(database) == (50, 0)


async def test_it_is_on_record_that_it_began_and_what_it_corrected(database: Database) -> None:
    for number in range(5):
        attempt(database, f"att_{number}", cost=None if number == 4 else 40)
    await rerate(database, book(), Range(NOON - DAY, None), models=("gpt-4o",))
    begun, ended = acts(database)
    asked = {"settled": str(Range(NOON - DAY, None)), "models": ["gpt-4o"], "price_version": "88e2"}
    assert (begun.actor, begun.action, begun.target) == ("cli:ops", "prices.rerating", "ledger")
    assert begun.details == asked
    assert (ended.actor, ended.action, ended.target) == ("cli:ops", "prices.rerated", "ledger")
    assert ended.details == {**asked, "attempts": 5, "difference_microdollars": 90}


@pytest.mark.parametrize(("price", "writes"), [(40, True), (50, False)])
async def test_what_changes_nothing_leaves_no_line(database: Database, price: int, writes: bool) -> None:
    attempt(database, "att_1")
    await rerate(database, book({"gpt-4o": price}), writes=writes)
    assert acts(database) == []


async def test_the_lines_of_before_stay_as_they_are(database: Database) -> None:
    attempt(database, "att_1")
    before = rows(database, ADMISSIONS), rows(database, SETTLEMENTS)
    await rerate(database, book())
    assert (rows(database, ADMISSIONS), rows(database, SETTLEMENTS)) == before


async def test_re_rating_twice_is_re_rating_once(database: Database) -> None:
    for number in range(5):
        attempt(database, f"att_{number}")
    await rerate(database, book())
    before = rows(database, ADJUSTMENTS)
    report = await rerate(database, book())
    assert report.changes == {("search", "gpt-4o"): Change(attempts=5, before=250, after=250)}
    assert rows(database, ADJUSTMENTS) == before
    assert len(before) == 5


async def test_a_book_that_did_not_change_changes_nothing(database: Database) -> None:
    attempt(database, "att_1")
    assert (await rerate(database, book({"gpt-4o": 40}))).changes[("search", "gpt-4o")].touched == 0
    assert rows(database, ADJUSTMENTS) == []


async def test_a_second_correction_adds_to_the_first(database: Database) -> None:
    attempt(database, "att_1")
    for price in (50, 45, 40):
        await rerate(database, book({"gpt-4o": price}))
        assert (costs(database), total(database)) == ({"att_1": price}, (price, 0))
    assert [row["cost"] for row in rows(database, ADJUSTMENTS)] == [10, -5, -5]


async def test_what_had_no_price_becomes_priced(database: Database) -> None:
    attempt(database, "att_1", cost=None, priced_by=PricedBy.NOTHING)
    assert total(database) == (0, 1)
    report = await rerate(database, book())
    assert report.changes == {("search", "gpt-4o"): Change(attempts=1, touched=1, priced=1, after=50)}
    assert (total(database), costs(database)) == ((50, 0), {"att_1": 50})
    assert (await rerate(database, book())).changes[("search", "gpt-4o")].touched == 0


async def test_what_has_no_price_stays_unpriced(database: Database) -> None:
    attempt(database, "att_1", cost=None, priced_by=PricedBy.NOTHING)
    report = await rerate(database, book({}))
    assert report.changes == {("search", "gpt-4o"): Change(attempts=1, unpriced=1)}
    assert total(database) == (0, 1)


async def test_what_has_left_the_book_keeps_its_cost(database: Database) -> None:
    attempt(database, "att_1")
    report = await rerate(database, book({}))
    assert report.kept == 1
    assert rows(database, ADJUSTMENTS) == []


async def test_an_endpoint_of_an_earlier_release_keeps_its_cost(database: Database) -> None:
    attempt(database, "att_1", {"endpoint": "engines"}, usage=Usage(UsageSource.PROVIDER, images=1))
    assert (await rerate(database, book())).kept == 1
    assert total(database) == (40, 0)


async def test_a_team_whose_policy_says_so_is_charged_the_ceiling(database: Database) -> None:
    def unpriced(team: str, key_id: str) -> Unpriced:
        return Unpriced.CEILING if (team, key_id) == ("ads", "k1") else Unpriced.ALARM

    for team in ("ads", "search"):
        attempt(database, f"att_{team}", {"team": team}, cost=None, priced_by=PricedBy.NOTHING)
    await rerate(database, book({}, ceiling=90, unpriced=unpriced))
    assert costs(database) == {"att_ads": 90, "att_search": None}
    (line,) = rows(database, ADJUSTMENTS)
    assert line["priced_by"] == "ceiling"


async def test_the_price_is_that_of_the_admission_of_the_tier_and_of_the_upstream(database: Database) -> None:
    def line(price: int, **changes: Any) -> Price:
        return Price(Rates(input=price), **changes)

    attempt(database, "att_before", {"admitted_at": NOON - 1}, settled_at=NOON + 5)
    attempt(database, "att_after", {"admitted_at": NOON})
    attempt(database, "att_flex", service_tier="flex")
    attempt(database, "att_azure", {"upstream": "azure"})
    attempt(database, "att_other_tier", service_tier="scale", cost=None, priced_by=PricedBy.NOTHING)
    at = NOON / 1000
    lines = (line(4, upstream="azure"), line(1, until=at), line(2, since=at), line(3, tier="flex"))
    await rerate(database, book({"gpt-4o": lines}))
    assert costs(database) == {
        "att_before": 1,
        "att_after": 2,
        "att_flex": 3,
        "att_azure": 4,
        "att_other_tier": None,
    }


async def test_it_is_billed_by_the_meter_of_its_endpoint(database: Database) -> None:
    image = Usage(UsageSource.PROVIDER, images=2)
    attempt(database, "att_image", {"endpoint": "images_generations"}, usage=image)
    attempt(database, "att_free", {"endpoint": "moderations"}, cost=0)
    await rerate(database, book({"gpt-4o": (Price(Rates(image=7)),)}))
    assert costs(database) == {"att_image": 14, "att_free": 0}


async def test_what_ended_in_a_crash_keeps_its_estimate(database: Database) -> None:
    attempt(database, "att_1", cause=Cause.CRASH, service_tier=None)
    report = await rerate(database, book())
    assert (report.crashed, report.changes) == (1, {})
    assert rows(database, ADJUSTMENTS) == []


async def test_a_dry_run_writes_nothing_and_tells_the_same(database: Database) -> None:
    attempt(database, "att_1")
    tried = await rerate(database, book(), writes=False)
    assert rows(database, ADJUSTMENTS) == []
    assert await rerate(database, book()) == tried


async def test_only_what_was_settled_in_the_time_is_touched(database: Database) -> None:
    for number in range(5):
        attempt(database, f"att_{number}", settled_at=NOON + number * DAY)
    asked = Range(NOON + DAY, NOON + 3 * DAY)
    assert await desk(database, book()).count(asked) == 2
    await rerate(database, book(), asked)
    assert list(costs(database).values()) == [40, 50, 50, 40, 40]


async def test_only_the_models_that_are_named_are_touched(database: Database) -> None:
    attempt(database, "att_1")
    attempt(database, "att_2", {"model": "gpt-4"})
    assert await desk(database, book()).count(ALL, ["gpt-4"]) == 1
    report = await rerate(database, book({"gpt-4o": 50, "gpt-4": 60}), models=("gpt-4",))
    assert list(report.changes) == [("search", "gpt-4")]
    assert costs(database) == {"att_1": 40, "att_2": 60}


async def test_every_page_is_told_of(database: Database) -> None:
    for number in range(5):
        attempt(database, f"att_{number}")
    told: list[int] = []
    await desk(database, book()).rerate(ALL, writes=True, by="cli:ops", told=told.append)
    assert told == [2, 2, 1]


async def test_closed_months_of_the_time_are_named(database: Database) -> None:
    closings = Closings(database=database, clock=ManualClock((NOVEMBER.until + GRACE) / 1000))
    closings.close(NOVEMBER, by="cli:ops")
    closings.close(Month(2026, 10), by="cli:ops")
    its = desk(database, book())
    assert await its.closed_months(Range(NOVEMBER.since, None)) == [NOVEMBER]
    assert await its.closed_months(Range(NOVEMBER.until - 1, NOVEMBER.until)) == [NOVEMBER]
    assert await its.closed_months(Range(NOVEMBER.until, None)) == []
    assert await its.closed_months(ALL) == [Month(2026, 10), NOVEMBER]


async def test_in_a_closed_month_it_is_a_restatement(database: Database) -> None:
    attempt(database, "att_1")
    closings = Closings(database=database, clock=ManualClock((NOVEMBER.until + GRACE) / 1000))
    closings.close(NOVEMBER, by="cli:ops")
    await rerate(database, book())
    (row,) = closings.restated(NOVEMBER)
    assert (row.frozen["cost"], row.difference["cost"], row.difference["attempts"]) == (40, 10, 0)


async def test_two_at_once_are_as_good_as_one(database: Database) -> None:
    for number in range(20):
        attempt(database, f"att_{number:02}", cost=None if number % 3 else 40)

    def work(_: int) -> Report:
        return asyncio.run(rerate(database, book()))

    with ThreadPoolExecutor(3) as threads:
        await asyncio.get_running_loop().run_in_executor(None, lambda: list(threads.map(work, range(3))))
    assert len(rows(database, ADJUSTMENTS)) == 20
    assert set(costs(database).values()) == {50}
    assert total(database) == (1000, 0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attempts=st.lists(st.tuples(st.none() | st.integers(0, 99), st.integers(0, 3)), max_size=6),
    prices=st.lists(st.none() | st.integers(0, 99), min_size=1, max_size=4),
)
async def test_after_any_books_the_sums_are_those_of_the_last(
    database: Database, attempts: list[tuple[int | None, int]], prices: list[int | None]
) -> None:
    for number, (cost, day) in enumerate(attempts):
        attempt(database, f"att_{number}", settled_at=NOON + day * DAY, cost=cost)
    for price in prices:
        await rerate(database, book({} if price is None else {"gpt-4o": price}))
        once = rows(database, ADJUSTMENTS), total(database)
        await rerate(database, book({} if price is None else {"gpt-4o": price}))
        assert (rows(database, ADJUSTMENTS), total(database)) == once
    last = next((price for price in reversed(prices) if price is not None), None)
    expected = [cost if last is None else last for cost, _ in attempts]
    assert costs(database) == {f"att_{number}": cost for number, cost in enumerate(expected)}
    assert total(database) == (sum(cost or 0 for cost in expected), expected.count(None))
    with database.transaction(writes=True) as connection:
        for table in (DAILY, ADMISSIONS, SETTLEMENTS, CHARGES, ADJUSTMENTS):
            connection.execute(delete(table))
