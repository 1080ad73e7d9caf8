"""The ledger's bench admits and settles in earnest, and takes off what a round without a ledger costs."""

from pathlib import Path

from gateway.database.tables import CHARGES
from tests.bench.attempts import Arrivals
from tests.bench.ledger import cells
from tests.bench.ledgers import Way, kept
from tests.support.database import open_file, open_url
from tests.support.written_lines import rows


async def test_each_attempt_is_settled(tmp_path: Path, empty_postgres_url: str) -> None:
    async with kept(Way.SERVER, tmp_path / "server", empty_postgres_url) as ledger:
        assert len(await Arrivals(ledger, per_second=5000).come(50)) == 50
    async with kept(Way.FILE, tmp_path / "file", empty_postgres_url) as ledger:
        assert len(await Arrivals(ledger, per_second=5000).come(50)) == 50
    async with open_url(empty_postgres_url) as server, open_file(tmp_path / "file" / "gateway.db") as file:
        for database in (server, file):
            assert len(rows(database, CHARGES)) == 50


def test_what_a_round_without_a_ledger_costs_is_taken_off() -> None:
    def figures(cpu: float) -> dict[str, float]:
        return {"cpu_us": cpu, "p50_us": 5, "p99_us": 40}

    table = cells({Way.NOTHING: [figures(10), figures(20)], Way.FILE: [figures(40), figures(60)]})
    assert [list(row) for row in table.rows] == [["none", "0.0", "5", "40"], ["SQLite", "35.0", "5", "40"]]
