"""The sums of each day follow from the ledger's lines, those of before and corrections included."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, CHARGES, DAILY, SETTLEMENTS
from gateway.metering.interfaces import Adjustment, Admission, PricedBy, Reason, Settlement
from tests.support.database import closing_database
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.unit.database.migrations.versions.conftest import rows, upgrade_to, write, write_together

WHOSE = (
    "day",
    "team",
    "subject",
    "key_id",
    "model",
    "answered_model",
    "endpoint",
    "upstream",
    "service_tier",
)
SUMS = tuple(name for name in DAILY.columns.keys() if name not in WHOSE)  # noqa: SIM118 - it is no mapping
FIRST = {
    **dict.fromkeys(SUMS, 0),
    "day": NOON // DAY,
    "team": "search",
    "subject": "key:search/web",
    "key_id": "k1",
    "model": "gpt-4o",
    "answered_model": "gpt-4o-2024-08-06",
    "endpoint": "create_chat_completion",
    "upstream": "openai",
    "service_tier": "default",
    "attempts": 1,
    "requests": 1,
    "input_tokens": 90,
    "cached_tokens": 30,
    "output_tokens": 11,
    "reasoning_tokens": 5,
    "cost": 340,
}
"""What one attempt of `ledger_lines` leaves in `daily`."""


def an_adjustment(attempt_id: str = "att_1", **changes: Any) -> Adjustment:
    """The provider's count came late: 5 input tokens less, 3 micro-dollars less."""
    values: dict[str, Any] = {
        "id": f"adj_{attempt_id}",
        "attempt_id": attempt_id,
        "settled_at": NOON + 1000,
        "adjusted_at": NOON + 9 * DAY,
        "reason": Reason.LATE,
        "usage": Usage(UsageSource.PROVIDER, input_tokens=-5, output_tokens=2),
        "cost": -3,
        "unpriced": 0,
        "estimated": 0,
        "priced_by": PricedBy.BOOK,
        "price_version": "77d1",
    }
    return Adjustment(**(values | changes))


def a_history(first: int, count: int) -> list[tuple[Admission, Settlement]]:
    """Attempts of some teams, models, tiers and days, priced or not, by all sources, retries among them."""
    chance = random.Random(first)
    return [
        (
            an_admission(
                f"att_{at:04}",
                number=chance.choice((1, 1, 2)),
                team=chance.choice(("search", "legal", "Legal", "")),
                key_id=chance.choice(("k1", "k2")),
                model=chance.choice(("gpt-4o", "o3")),
            ),
            a_settlement(
                f"att_{at:04}",
                settled_at=NOON // DAY * DAY + chance.choice((-1, 0, DAY - 1, DAY)),
                usage=Usage(
                    chance.choice([*UsageSource]), *(chance.choice((0, 0, 2**40)) for _ in range(12))
                ),
                cost=chance.choice((None, 0, 7, 2**40)),
                answered_model=chance.choice((None, "o3-2025-04-16")),
                service_tier=chance.choice((None, "flex")),
            ),
        )
        for at in range(first, first + count)
    ]


def counted_by_hand(history: Sequence[tuple[Admission, Settlement]]) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for admission, settlement in history:
        usage = settlement.usage
        whose = (
            settlement.settled_at // DAY,
            *(admission.team, admission.subject, admission.key_id, admission.model),
            settlement.answered_model or "",
            *(admission.endpoint, admission.upstream),
            settlement.service_tier or "",
        )
        billed = usage.total_tokens + usage.images + usage.audio_milliseconds + usage.characters
        units = {name: amount for name, amount in usage._asdict().items() if name != "source"}
        sums.setdefault(whose, Counter(dict.fromkeys(SUMS, 0))).update(
            units
            | {
                "attempts": 1,
                "requests": admission.number == 1,
                "cost": settlement.cost or 0,
                "unpriced": settlement.cost is None,
                "estimated": usage.source is not UsageSource.PROVIDER and billed > 0,
            }
        )
    return [dict(zip(WHOSE, whose, strict=True)) | dict(sums[whose]) for whose in sorted(sums)]


def in_order(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: tuple(row[name] for name in WHOSE))


def test_lines_of_before_are_summed_exactly(database: Database) -> None:
    history = a_history(0, 200)
    upgrade_to(database, "0002")
    write_together(database, [admission for admission, _ in history] + [an_admission("att_open")])
    write_together(database, [settlement for _, settlement in history])
    upgrade_to(database, "0003")
    assert in_order(rows(database, DAILY)) == counted_by_hand(history)


def test_lines_that_come_are_added_to_those_of_before(database: Database) -> None:
    before, after = a_history(0, 100), a_history(100, 100)
    upgrade_to(database, "0002")
    write(database, *(line for attempt in before for line in attempt))
    upgrade_to(database, "0003")
    write(database, *(line for attempt in after for line in attempt))
    assert in_order(rows(database, DAILY)) == counted_by_hand(before + after)


def test_lines_that_come_together_are_summed_exactly(database: Database) -> None:
    history = a_history(0, 200)
    upgrade_to(database, "0003")
    write_together(database, [admission for admission, _ in history])
    write_together(database, [settlement for _, settlement in history])
    assert in_order(rows(database, DAILY)) == counted_by_hand(history)


def test_charges_are_of_all_lines_that_come_together(database: Database) -> None:
    history = a_history(0, 50)
    upgrade_to(database, "0003")
    write_together(database, [admission for admission, _ in history])
    write_together(database, [settlement for _, settlement in history])
    charged = {(row["attempt_id"], row["settled_at"], row["cost"]) for row in rows(database, CHARGES)}
    assert charged == {(line.attempt_id, line.settled_at, line.cost) for _, line in history}


@pytest.mark.parametrize(("cost", "priced_by"), [(340, "book"), (0, "book"), (None, "nothing")])
def test_of_a_settlement_of_before_it_is_said_whether_it_had_a_price(
    database: Database, cost: int | None, priced_by: str
) -> None:
    upgrade_to(database, "0002")
    write(database, an_admission(), a_settlement(cost=cost))
    upgrade_to(database, "0003")
    row = rows(database, SETTLEMENTS)[0]
    assert (row["priced_by"], row["price_version"]) == (priced_by, "")


def test_an_admission_of_before_is_no_retry_of_any(database: Database) -> None:
    upgrade_to(database, "0002")
    write(database, an_admission())
    upgrade_to(database, "0003")
    assert rows(database, ADMISSIONS)[0]["retry_of"] is None


def test_a_process_of_the_release_before_may_go_on_writing(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission())
    of_before = [column.name for column in SETTLEMENTS.columns if not column.name.startswith("price")]
    assert len(of_before) == len(SETTLEMENTS.columns) - 2
    with database.transaction(writes=True) as connection:
        values = dict.fromkeys(of_before, 0) | {
            "attempt_id": "att_1",
            "cause": "served",
            "source": "provider",
        }
        values |= {"answered_model": "", "service_tier": "", "upstream_request_id": ""}
        names, marks = ", ".join(of_before), ", ".join(f":{name}" for name in of_before)
        connection.execute(text(f"INSERT INTO settlements ({names}) VALUES ({marks})"), values)
    assert [row["attempts"] for row in rows(database, DAILY)] == [1]


def test_an_attempt_is_in_the_sums_of_its_day(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission(), a_settlement())
    assert rows(database, DAILY) == [FIRST]


def test_what_is_not_settled_is_in_no_sum(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission())
    assert rows(database, DAILY) == []


def test_a_settlement_without_an_admission_changes_nothing(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, a_settlement("att_of_nobody"))
    assert rows(database, DAILY) == rows(database, CHARGES) == []


def test_a_line_that_is_there_already_is_never_counted_twice(database: Database) -> None:
    upgrade_to(database, "0003")
    lines = an_admission(), a_settlement(), an_adjustment()
    write(database, *lines)
    once = rows(database, DAILY), rows(database, CHARGES)
    write(database, *lines, a_settlement(cost=999, settled_at=NOON), an_adjustment(cost=999))
    assert (rows(database, DAILY), rows(database, CHARGES)) == once


def test_of_lines_that_come_together_only_those_count_that_are_new(database: Database) -> None:
    upgrade_to(database, "0003")
    write_together(database, [an_admission("att_1"), an_admission("att_2")])
    write(database, a_settlement("att_1"))
    write_together(database, [a_settlement("att_1", cost=999), a_settlement("att_2", cost=1)])
    assert [(row["attempts"], row["cost"]) for row in rows(database, DAILY)] == [(2, 341)]


def test_a_correction_changes_the_sums_of_the_day_of_the_settlement(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission(), a_settlement(), an_adjustment())
    assert rows(database, DAILY) == [FIRST | {"input_tokens": 85, "output_tokens": 13, "cost": 337}]


def test_a_correction_changes_what_budgets_were_charged(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission(), a_settlement(), an_adjustment())
    row = rows(database, CHARGES)[0]
    assert (row["input_tokens"], row["output_tokens"], row["cost"]) == (85, 13, 337)


def test_a_cost_that_became_known_is_unpriced_no_more(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission(), a_settlement(cost=None), an_adjustment(cost=340, unpriced=-1))
    assert [(row["cost"], row["unpriced"]) for row in rows(database, DAILY)] == [(340, 0)]
    assert [row["cost"] for row in rows(database, CHARGES)] == [340]


def test_a_count_that_came_late_is_estimated_no_more(database: Database) -> None:
    upgrade_to(database, "0003")
    estimated = a_settlement(usage=Usage(UsageSource.ESTIMATED, input_tokens=80))
    write(database, an_admission(), estimated, an_adjustment(estimated=-1))
    assert [row["estimated"] for row in rows(database, DAILY)] == [0]


def test_several_corrections_of_one_attempt_may_come_together(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_admission(), a_settlement())
    write_together(database, [an_adjustment(id="adj_1"), an_adjustment(id="adj_2", cost=-30)])
    assert [row["cost"] for row in rows(database, DAILY)] == [307]
    assert [row["cost"] for row in rows(database, CHARGES)] == [307]


def test_a_correction_of_what_is_not_there_changes_nothing(database: Database) -> None:
    upgrade_to(database, "0003")
    write(database, an_adjustment("att_of_nobody"))
    assert rows(database, DAILY) == rows(database, CHARGES) == []
    assert len(rows(database, ADJUSTMENTS)) == 1


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Database]:
    with closing_database(postgres_url) as database:
        yield database


def of_many_teams(process: str) -> list[tuple[Admission, Settlement]]:
    """One attempt in each of 40 sums, which are the same for every process; the last sum first."""
    return [
        (an_admission(f"att_{process}_{at:02}", team=f"team-{at:02}"), a_settlement(f"att_{process}_{at:02}"))
        for at in reversed(range(40))
    ]


def ship(database: Database, attempts: Sequence[tuple[Admission, Settlement]]) -> None:
    write_together(database, [admission for admission, _ in attempts])
    write_together(database, [settlement for _, settlement in attempts])


def test_a_shipment_changes_sums_in_the_order_of_their_keys(postgresql: Database) -> None:
    """Whoever waits for the first has touched no other yet; so nobody can wait for him in turn."""
    ship(postgresql, of_many_teams("a"))
    with ThreadPoolExecutor(1) as threads, postgresql.engine.begin() as holder:
        holder.execute(select(DAILY).where(DAILY.c.team == "team-00").with_for_update())
        shipped = threads.submit(ship, postgresql, of_many_teams("b"))
        wait_until_somebody_waits(postgresql)
        with postgresql.engine.begin() as other:
            others = select(DAILY).where(DAILY.c.team != "team-00").with_for_update(nowait=True)
            assert len(other.execute(others).all()) == 39
        holder.commit()
        shipped.result()
    assert {row["attempts"] for row in rows(postgresql, DAILY)} == {2}


def wait_until_somebody_waits(database: Database) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(100_000):
        with database.transaction(writes=False) as connection:
            if connection.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")


def test_shipments_that_meet_are_all_counted(postgresql: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ship, [postgresql] * 24, [of_many_teams(f"p{number}") for number in range(24)]))
    assert [row["attempts"] for row in rows(postgresql, DAILY)] == [24] * 40


def test_a_shipment_reads_no_table_from_end_to_end(postgresql: Database) -> None:
    """Not even in a session that began when the tables were empty."""
    for number in range(5):
        ship(postgresql, of_many_teams(f"p{number}"))
    postgresql.engine.dispose()
    read = text("SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname = ANY(:names)")
    with postgresql.transaction(writes=False) as connection:
        assert connection.execute(read, {"names": ["admissions", "under_way", "charges"]}).scalar_one() == 0
