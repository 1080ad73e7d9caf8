from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.metering.interfaces import Settlement
from gateway.metering.reconciliation.amounts import NOTHING, Amounts, Lines, Place
from gateway.metering.reconciliation.explain import Explained, Reason
from gateway.metering.reconciliation.provider import Page, Provider
from gateway.metering.reconciliation.reconcile import reconcile
from gateway.metering.reconciliation.sums import LedgerSums
from tests.support.database import migrated, open_url
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import write
from tests.unit.metering.reconciliation.books import DAY

USAGE = {
    "model": "gpt-4o",
    "num_model_requests": 1,
    "input_tokens": 90,
    "input_cached_tokens": 30,
    "output_tokens": 11,
}
COST = {"amount": {"value": 0.00034, "currency": "usd"}, "line_item": "gpt-4o, input"}


class Asked(LedgerSums):
    """A ledger that remembers of which days its lines were read."""

    days: list[int]

    async def lines(self, day: int) -> Mapping[Place, Lines]:
        self.days = [*getattr(self, "days", []), day]
        return await super().lines(day)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_url(migrated(f"sqlite:///{tmp_path}/gateway.db")) as opened:
        yield opened


@pytest.fixture
def ledger(database: Database) -> Asked:
    return Asked(database, labels={"openai": "openai", "other": "other"}, upstream_models={})


def provider(upstream: str = "openai", **changes: int) -> Provider:
    """It counts one request of that day; of nothing else it knows anything."""

    async def fetch(path: str, query: Sequence[tuple[str, str]]) -> Page:
        results = {"completions": [USAGE | changes], "costs": [COST]}.get(path.rpartition("/")[2], [])
        return Page(200, msgspec.json.encode({"data": [{"start_time": DAY * 86_400, "results": results}]}))

    async def pause(seconds: float) -> None:
        raise AssertionError("nobody needs to wait")

    return Provider(upstream=upstream, project="", fetch=fetch, pause=pause)


async def found(ledger: LedgerSums, *providers: Provider) -> Sequence[Explained]:
    return await reconcile(providers or (provider(),), ledger, since=DAY, until=DAY + 1, today=DAY + 9)


async def test_books_that_agree_cost_no_look_at_the_lines(database: Database, ledger: Asked) -> None:
    write(database, an_admission(), a_settlement())
    (each,) = await found(ledger)
    assert (each.comparison.place.model, each.comparison.difference, list(each.shares)) == (
        "gpt-4o",
        NOTHING,
        [],
    )
    assert not hasattr(ledger, "days")


async def test_rounding_costs_no_look_at_the_lines(database: Database, ledger: Asked) -> None:
    write(database, an_admission(), a_settlement(cost=341))
    (each,) = await found(ledger)
    assert [share.reason for share in each.shares] == [Reason.ROUNDING]
    assert not hasattr(ledger, "days")


async def test_the_lines_of_a_day_that_differs_are_read(database: Database, ledger: Asked) -> None:
    write(database, an_admission(), a_settlement())
    write(database, an_admission("att_2"), failed("att_2"))
    (each,) = await found(ledger)
    assert ledger.days == [DAY, DAY + 1]
    assert each.comparison.difference == NOTHING


async def test_what_was_settled_after_midnight_is_found_there(database: Database, ledger: Asked) -> None:
    write(database, an_admission(), a_settlement(settled_at=(DAY + 1) * 86_400_000, answered_model="gpt-4o"))
    write(database, an_admission("att_2"), a_settlement("att_2", answered_model="gpt-4o"))
    (each,) = await found(ledger, provider(num_model_requests=2, input_tokens=180, output_tokens=22))
    assert [(share.reason, share.amounts.requests) for share in each.shares] == [(Reason.MIDNIGHT, 1)]


async def test_a_difference_is_explained(database: Database, ledger: Asked) -> None:
    write(database, an_admission(), a_settlement())
    (each,) = await found(ledger, provider(num_model_requests=2, output_tokens=20))
    assert [(share.reason, share.amounts) for share in each.shares] == [
        (Reason.OUTSIDE, Amounts(requests=1, output_tokens=9))
    ]


async def test_each_upstream_has_a_provider_of_its_own(database: Database, ledger: Asked) -> None:
    write(database, an_admission(upstream="other"), a_settlement())
    one, other = await found(ledger, provider(), provider("other"))
    assert [share.reason for share in one.shares] == [Reason.UNMETERED_PATH]
    assert (other.comparison.place.upstream, list(other.shares)) == ("other", [])


async def test_what_retention_has_taken_is_not_held_against_the_ledger(
    database: Database, ledger: Asked
) -> None:
    write(database, an_admission(), a_settlement(), an_admission("att_2"), failed("att_2"))
    with database.transaction(writes=True) as connection:
        connection.exec_driver_sql("DELETE FROM settlements")
    (each,) = await found(ledger)
    assert (each.comparison.gone, each.comparison.difference) == (2, NOTHING)


def failed(attempt_id: str) -> Settlement:
    return a_settlement(
        attempt_id, status=500, usage=Usage(UsageSource.PROVIDER), cost=0, answered_model=None
    )
