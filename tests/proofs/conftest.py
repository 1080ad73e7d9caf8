"""Proofs that limits and budgets hold: on a real Redis, by several processes at once, with figures.

`make test` runs them at a small size, `make prove` (`pytest tests/proofs --full`) at their full one: the same
facts of more rounds, decisions and clients. What they measured is told at the end.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from gateway.limits.redis.connect import connect
from tests.proofs.limiter import PATIENT
from tests.support.redis_server import RedisServer, running_redis
from tests.support.workers import Workers, workers

WORKERS = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the proofs at their full size: minutes")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the proofs run at their full size."""
    return bool(pytestconfig.getoption("--full", default=False))


@pytest.fixture(scope="session")
def replicas() -> Iterator[Workers]:
    """Processes that stand for replicas of the gateway."""
    with workers(WORKERS) as started:
        yield started


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A connection of the test's own."""
    client = connect(redis_server.url, timeout=PATIENT)
    assert isinstance(client, Redis)
    await client.ping()
    yield client
    await client.aclose()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that proofs have recorded."""
    told = [
        (report.nodeid.rpartition("::")[2], report.user_properties)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call" and report.user_properties
    ]
    if told:
        terminalreporter.section("figures")
    for name, figures in told:
        terminalreporter.write_line(name)
        for what, figure in figures:
            terminalreporter.write_line(f"  {what:<40} {figure:>20}")
