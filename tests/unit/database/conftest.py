"""A database in a file, its tables made."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.database.engine import Database
from tests.support.database import open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "gateway.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with open_file(path) as database:
        yield database
