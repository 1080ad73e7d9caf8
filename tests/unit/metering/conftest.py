"""A ledger in a file, and a clock that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.database.engine import Database
from tests.support.clock import ManualClock
from tests.support.database import open_file

PATIENT = 30.0
"""Seconds that tests of other facts than time-outs wait for the disk, on a machine that may be busy."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with open_file(path) as database:
        yield database
