"""`gateway reconcile`: two books, what differs, and what people and machines are told of it."""

import csv
import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.simulator.bill import Bill, Kind, Purchase
from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.support.database import open_file
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.reconciling import Result, reconciled, reconciled_beside, records
from tests.support.written_lines import write
from tests.unit.cli.conftest import Installation

KEY = "sk-admin-hush"
DAY = 86_400


def days_ago(days: int) -> int:
    """Noon of that day, in seconds since 1970."""
    return int(time.time()) // DAY * DAY - days * DAY + DAY // 2


def spelled(days: int) -> str:
    return datetime.fromtimestamp(days_ago(days), UTC).date().isoformat()


class Both:
    """An installation, and the provider before which it stands."""

    def __init__(self, gateway: Installation, provider: Simulator, url: str) -> None:
        self.gateway = gateway
        self.provider = provider
        self.environment = {
            **gateway.environment,
            "GATEWAY_UPSTREAM__BASE_URL": url,
            "GATEWAY_UPSTREAM__ADMIN_KEY": KEY,
        }

    async def __call__(self, *words: str, **environment: str) -> Result:
        """Run it. `environment`: more of it, by name without `GATEWAY_`."""
        own = {f"GATEWAY_{name.upper()}": value for name, value in environment.items()}
        printed = await reconciled_beside(*words, environment={**self.environment, **own})
        assert "hush" not in printed.output
        return printed

    def count(self, *, days: int = 3, model: str = "gpt-4o-2024-08-06", **bill: int) -> None:
        """One request that the provider bills: what the ledger's usual line has, and what is said."""
        units = {"input_tokens": 90, "cached_tokens": 30, "output_tokens": 11} | bill
        purchase = Purchase(kind=Kind.COMPLETIONS, model=model, project="proj_a", bill=Bill(**units))
        self.provider.account.add(purchase, at=days_ago(days))

    async def record(self, *, days: int = 3, upstream: str = "openai", **changes: Any) -> None:
        """One attempt in the ledger, priced as the provider does."""
        name = f"att_{time.monotonic_ns()}"
        settled = {"settled_at": days_ago(days) * 1000, "cost": 298} | changes
        async with open_file(self.gateway.folder / "gateway.db") as database:
            write(database, an_admission(name, upstream=upstream), a_settlement(name, **settled))


@pytest.fixture
async def both(gateway: Installation) -> AsyncIterator[Both]:
    provider = Simulator(admin_keys=frozenset({KEY}), pace=Pace.instant())
    async with running(provider) as url:
        yield Both(gateway, provider, url)


async def test_books_that_agree_are_status_0(both: Both) -> None:
    both.count()
    await both.record()
    printed = await both()
    assert printed.exit_code == 0
    assert [line.split()[:2] for line in printed.stdout.splitlines() if line.strip()][1:] == [
        ["all", "provider"],
        ["all", "ledger"],
        ["all", "difference"],
    ]
    assert printed.stderr.splitlines()[-1] == (
        f"✓ Provider and ledger agree from {spelled(8)} up to, and without, {spelled(1)} (UTC): "
        "0.000 % is off, 0.5 % may be."
    )


async def test_books_that_differ_are_status_1_with_their_reasons(both: Both) -> None:
    both.count()
    both.count(output_tokens=500)
    await both.record()
    printed = await both()
    assert printed.exit_code == 1
    (row,) = [line.split() for line in printed.stdout.splitlines() if spelled(3) in line]
    assert row[1:5] == ["openai", "gpt-4o-2024-08-06", "+1", "+90"]
    assert printed.stderr.startswith("openai gpt-4o-2024-08-06, 1 day: traffic outside the gateway.")
    assert "✗ Provider and ledger do not agree" in printed.stderr


async def test_the_tolerance_is_the_askers_choice(both: Both) -> None:
    for _ in range(10):
        both.count()
        await both.record()
    both.count(output_tokens=500)
    assert (await both("--tolerance", "5%")).exit_code == 1
    assert (await both("--tolerance", "100%")).exit_code == 0


async def test_today_and_yesterday_are_asked_for_by_name_only(both: Both) -> None:
    both.count(days=0)
    both.count(days=1)
    assert (await both()).exit_code == 0
    assert (await both("--since", spelled(1), "--until", spelled(-1))).exit_code == 1
    assert (await both("--since", spelled(1), "--until", spelled(0))).exit_code == 1


async def test_nothing_counted_is_nothing_printed(both: Both) -> None:
    printed = await both("--format", "jsonl")
    assert (printed.exit_code, printed.stdout) == (0, "")
    assert printed.stderr.startswith("Neither the provider nor the ledger knows of anything from ")


EXPECTED = {
    "upstream": "openai",
    "model": "gpt-4o-2024-08-06",
    "provider_requests": 2,
    "ledger_requests": 1,
    "difference_requests": 1,
    "provider_cost_microdollars": 595,
    "ledger_cost_microdollars": 298,
    "difference_cost_microdollars": 297,
    "reasons": "traffic outside the gateway",
    "price_ratio": None,
    "unexplained_tokens": 0,
}


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
async def test_machines_get_every_place_with_both_books(both: Both, form: str) -> None:
    both.count()
    both.count()
    await both.record()
    printed = (await both("--format", form)).stdout
    if form == "csv":
        (record,) = csv.DictReader(io.StringIO(printed))
        texts = {name: "" if value is None else str(value) for name, value in EXPECTED.items()}
        assert {"day": spelled(3), **texts}.items() <= record.items()
        return
    (record,) = msgspec.json.decode(printed) if form == "json" else [msgspec.json.decode(printed)]
    assert {"day": spelled(3), **EXPECTED}.items() <= record.items()


async def test_a_ratio_of_prices_is_told_to_machines(both: Both) -> None:
    both.count()
    await both.record(cost=596)
    record = records(await both("--format", "jsonl"))["gpt-4o-2024-08-06"]
    assert (record["reasons"], record["price_ratio"]) == ("price change", pytest.approx(0.5, abs=0.01))


async def test_the_result_can_go_into_a_file(both: Both, tmp_path: Path) -> None:
    both.count()
    await both.record()
    file = tmp_path / "found.json"
    printed = await both("--format", "json", "--output", str(file))
    assert (printed.exit_code, printed.stdout) == (0, "")
    assert len(msgspec.json.decode(file.read_bytes())) == 1


async def test_metrics_that_cannot_be_written_are_told(both: Both, tmp_path: Path) -> None:
    printed = await both("--metrics", str(tmp_path / "nowhere" / "file.prom"))
    assert printed.exit_code == 1
    assert "cannot be written" in printed.stderr


async def test_a_provider_that_is_away_leaves_nothing_written(both: Both, tmp_path: Path) -> None:
    target, metrics = tmp_path / "found.csv", tmp_path / "found.prom"
    words = ("--format", "csv", "--output", str(target), "--metrics", str(metrics))
    printed = await both(*words, upstream__base_url="http://127.0.0.1:9/v1")
    assert (printed.exit_code, printed.stdout) == (1, "")
    assert "http://127.0.0.1:9/v1 cannot be reached" in printed.stderr
    assert not target.exists()
    assert not metrics.exists()


async def test_a_place_that_is_not_openai_is_told(both: Both) -> None:
    url = both.environment["GATEWAY_UPSTREAM__BASE_URL"].removesuffix("/v1")
    printed = await both(upstream__base_url=url)
    assert printed.exit_code == 1
    assert "up to and including /v1" in printed.stderr


async def test_upstreams_of_one_project_are_compared_as_one(both: Both) -> None:
    both.count()
    both.count()
    await both.record()
    await both.record(upstream="backup")
    printed = await both(
        "--format",
        "jsonl",
        upstream__project="proj_a",
        upstreams__backup__project="proj_a",
        upstreams__backup__admin_key=KEY,
        upstreams__backup__base_url=both.environment["GATEWAY_UPSTREAM__BASE_URL"],
    )
    (record,) = records(printed).values()
    assert (record["upstream"], record["provider_requests"], record["reasons"]) == (
        "openai+backup",
        2,
        "rounding",
    )


async def test_only_the_wanted_upstream_is_asked(both: Both) -> None:
    both.count()
    await both.record()
    printed = await both(
        "--upstream",
        "openai",
        upstreams__eu__admin_key=KEY,
        upstreams__eu__base_url="http://127.0.0.1:9/v1",
    )
    assert printed.exit_code == 0


async def test_upstreams_that_cannot_be_asked_are_named(both: Both) -> None:
    printed = await both(
        upstreams__eu__kind="azure",
        upstreams__eu__admin_key=KEY,
        upstreams__eu__base_url="https://eu.example.com",
        upstreams__lab__base_url="http://lab:8000/v1",
    )
    assert printed.exit_code == 0
    assert "Not reconciled, since they have no admin_key or are no OpenAI: eu, lab." in printed.stderr


def test_without_an_admin_key_nobody_can_be_asked(gateway: Installation) -> None:
    printed = reconciled(environment=gateway.environment)
    assert printed.exit_code == 1
    assert "Set GATEWAY_UPSTREAM__ADMIN_KEY" in printed.stderr


def test_an_admin_key_is_not_sent_in_the_clear(gateway: Installation) -> None:
    own = {"GATEWAY_UPSTREAM__ADMIN_KEY": KEY, "GATEWAY_UPSTREAM__BASE_URL": "http://10.1.2.3/v1"}
    printed = reconciled(environment={**gateway.environment, **own})
    assert printed.exit_code == 1
    assert "http://10.1.2.3/v1 is not https" in printed.stderr
    assert "hush" not in printed.output


@pytest.mark.parametrize(
    "words",
    [
        ("--tolerance", "much"),
        ("--tolerance", "0.5"),
        ("--tolerance", "101%"),
        ("--tolerance", "-1%"),
        ("--since", "12h"),
        ("--since", "1d"),
        ("--since", "yesterday"),
        ("--since", "2026-10-02", "--until", "2026-10-01"),
        ("--since", "2999-01-01", "--until", "2999-01-02"),
        ("--upstream", "elsewhere"),
        ("--format", "xml"),
    ],
)
def test_what_cannot_be_asked_is_status_2(gateway: Installation, words: tuple[str, ...]) -> None:
    environment = {**gateway.environment, "GATEWAY_UPSTREAM__ADMIN_KEY": KEY}
    printed = reconciled(*words, environment=environment)
    assert (printed.exit_code, printed.stdout) == (2, "")
