"""What every ledger does, and what its reports say."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.attempt import Cause
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import Ledger, UsageReports, UsageRow
from gateway.metering.ledger.memory import MemoryLedger
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.clock import ManualClock
from tests.support.database import open_url
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.ledgers import a_ledger


class World:
    """A ledger, and its reports once everything is written."""

    def __init__(self, ledger: Ledger, reports: UsageReports) -> None:
        self.ledger = ledger
        self.reports = reports

    async def attempt(self, attempt_id: str, *, admission: Any = None, settlement: Any = None) -> None:
        await self.ledger.admit(an_admission(attempt_id, **(admission or {})))
        self.ledger.settle(a_settlement(attempt_id, **(settlement or {})))

    async def usage(self, *by: str, since: int | None = None, until: int | None = None) -> list[UsageRow]:
        await self.ledger.close()
        return list(await self.reports.usage(by, since, until))


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
        yield World(ledger, SqlUsageReports(database))


async def test_a_settled_attempt_is_in_the_report_with_all_its_units(world: World) -> None:
    usage = Usage(
        UsageSource.PROVIDER,
        input_tokens=90,
        cached_tokens=30,
        output_tokens=11,
        reasoning_tokens=5,
        images=2,
        audio_milliseconds=1500,
        characters=70,
    )
    await world.attempt("att_1", settlement={"usage": usage, "cost": 340})
    assert await world.usage("team") == [
        UsageRow(
            group=("search",),
            attempts=1,
            requests=1,
            input_tokens=90,
            cached_tokens=30,
            output_tokens=11,
            reasoning_tokens=5,
            images=2,
            audio_milliseconds=1500,
            characters=70,
            cost=340,
            unpriced=0,
            estimated=0,
        )
    ]


async def test_an_attempt_that_is_admitted_twice_is_one(world: World) -> None:
    await world.ledger.admit(an_admission("att_1"))
    await world.attempt("att_1")
    assert [row.attempts for row in await world.usage("team")] == [1]


async def test_of_two_settlements_the_first_counts(world: World) -> None:
    await world.attempt("att_1", settlement={"cost": 340})
    world.ledger.settle(a_settlement("att_1", cost=999))
    assert [(row.attempts, row.cost) for row in await world.usage("team")] == [(1, 340)]


async def test_the_first_settlement_counts_across_writes_too(world: World) -> None:
    await world.attempt("att_1", settlement={"cost": 340})
    await world.attempt("att_2", settlement={"cost": 1})
    world.ledger.settle(a_settlement("att_1", cost=999))
    assert [(row.attempts, row.cost) for row in await world.usage("team")] == [(2, 341)]


async def test_what_is_admitted_and_not_settled_is_unsettled(world: World) -> None:
    await world.attempt("att_1")
    await world.ledger.admit(an_admission("att_2"))
    await world.usage()
    assert list(await world.reports.unsettled()) == [an_admission("att_2")]


async def test_what_is_not_settled_costs_nothing_yet(world: World) -> None:
    await world.ledger.admit(an_admission("att_1"))
    assert await world.usage("team") == []


async def test_a_settlement_without_a_price_is_unpriced_and_not_free(world: World) -> None:
    await world.attempt("att_1", settlement={"cost": None})
    await world.attempt("att_2", settlement={"cost": 0})
    assert [(row.cost, row.unpriced) for row in await world.usage("team")] == [(0, 1)]


@pytest.mark.parametrize(
    ("usage", "estimated"),
    [
        (Usage(UsageSource.PROVIDER, input_tokens=1), 0),
        (Usage(UsageSource.ESTIMATED, input_tokens=1), 1),
        (Usage(UsageSource.PARTIAL, output_tokens=1), 1),
        (Usage(UsageSource.ESTIMATED, images=1), 1),
        (Usage(UsageSource.ESTIMATED, audio_milliseconds=1), 1),
        (Usage(UsageSource.ESTIMATED, characters=1), 1),
        (Usage(UsageSource.ESTIMATED), 0),
    ],
)
async def test_what_was_used_by_our_own_count_is_counted_as_estimated(
    world: World, usage: Usage, estimated: int
) -> None:
    await world.attempt("att_1", settlement={"usage": usage})
    assert [row.estimated for row in await world.usage("team")] == [estimated]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (("team",), [("legal",), ("search",)]),
        (("model",), [("gpt-4o",), ("o3",)]),
        (("key",), [("k1",), ("k2",)]),
        (("endpoint",), [("create_chat_completion",), ("create_embedding",)]),
        (("day",), [("2026-11-18",), ("2026-11-19",)]),
        (("day", "team"), [("2026-11-18", "legal"), ("2026-11-18", "search"), ("2026-11-19", "search")]),
        (("team", "day"), [("legal", "2026-11-18"), ("search", "2026-11-18"), ("search", "2026-11-19")]),
        ((), [()]),
    ],
)
async def test_usage_is_grouped_and_sorted_by_what_is_asked(
    world: World, by: tuple[str, ...], groups: list[tuple[str, ...]]
) -> None:
    await world.attempt("att_1")
    await world.attempt("att_2", admission={"team": "legal", "key_id": "k2", "model": "o3"})
    await world.attempt(
        "att_3", admission={"endpoint": "create_embedding"}, settlement={"settled_at": NOON + DAY}
    )
    rows = await world.usage(*by)
    assert [row.group for row in rows] == groups
    assert sum(row.attempts for row in rows) == 3


async def test_a_day_ends_at_midnight_utc(world: World) -> None:
    midnight = NOON + DAY // 2
    await world.attempt("att_1", settlement={"settled_at": midnight - 1})
    await world.attempt("att_2", settlement={"settled_at": midnight})
    assert [row.group for row in await world.usage("day")] == [("2026-11-18",), ("2026-11-19",)]


@pytest.mark.parametrize(
    ("since", "until", "attempts"),
    [(None, None, 3), (NOON, None, 2), (None, NOON, 1), (NOON, NOON + 1, 1), (NOON + 2, None, 0)],
)
async def test_a_report_begins_with_since_and_ends_before_until(
    world: World, since: int | None, until: int | None, attempts: int
) -> None:
    for number, at in enumerate((NOON - 1, NOON, NOON + 1)):
        await world.attempt(f"att_{number}", settlement={"settled_at": at})
    assert sum(row.attempts for row in await world.usage("team", since=since, until=until)) == attempts


@pytest.mark.parametrize("by", [(), ("team",), ("day", "model")])
async def test_a_report_on_nothing_is_empty(world: World, by: tuple[str, ...]) -> None:
    assert await world.usage(*by) == []


async def test_usage_by_something_unknown_is_refused_in_words(world: World) -> None:
    with pytest.raises(ValueError, match="weather"):
        await world.usage("team", "weather")


async def test_everything_that_was_handed_over_is_written_by_the_close(world: World) -> None:
    await asyncio.gather(*[world.ledger.admit(an_admission(f"att_{number}")) for number in range(500)])
    for number in range(500):
        world.ledger.settle(a_settlement(f"att_{number}"))
    assert [(row.attempts, row.cost) for row in await world.usage("team")] == [(500, 170_000)]


async def test_closing_twice_is_closing_once(world: World) -> None:
    await world.attempt("att_1")
    await world.ledger.close()
    await world.ledger.close()
    assert len(await world.usage("team")) == 1


async def test_there_is_nothing_to_recover_of_the_living(world: World) -> None:
    await world.ledger.admit(an_admission("att_1"))
    assert len(await world.ledger.recover()) == 0


@pytest.mark.parametrize("cause", list(Cause))
async def test_every_cause_can_be_written(world: World, cause: Cause) -> None:
    await world.attempt("att_1", settlement={"cause": cause, "status": None})
    assert [row.attempts for row in await world.usage("team")] == [1]
