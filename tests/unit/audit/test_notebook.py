"""Acts that belong to no transaction: they get on record with their own moment, even if it takes a while."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.audit.notebook import MOST, Notebook
from gateway.core.actor import Act
from gateway.database.engine import Database
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.support.log import Log


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_file(tmp_path / "gateway.db") as opened:
        yield opened


@contextmanager
def away(database: Database, folder: Path) -> Iterator[None]:
    """The file is not where it was."""
    file, elsewhere = folder / "gateway.db", folder / "away.db"
    database.engine.dispose()
    file.rename(elsewhere)
    file.mkdir()
    yield
    file.rmdir()
    elsewhere.rename(file)


def an_act(number: int) -> Act:
    return Act("token:ops", "console.signed_in", f"console:{number}")


async def test_what_was_noted_is_put_on_record_in_its_order_once(database: Database) -> None:
    notebook = Notebook(database=database, clock=ManualClock(), log=Log().logger)
    for number in range(3):
        notebook.note(an_act(number))
    await notebook.flush()
    await notebook.flush()
    assert [act.target for act in acts(database)] == ["console:0", "console:1", "console:2"]


async def test_while_the_database_is_away_it_waits_and_keeps_its_moment(
    database: Database, tmp_path: Path
) -> None:
    clock = ManualClock()
    notebook = Notebook(database=database, clock=clock, log=Log().logger)
    done_at = int(clock.now() * 1000)
    with away(database, tmp_path):
        notebook.note(an_act(1))
        await notebook.flush()
        clock.advance(60)
        notebook.note(an_act(2))
    await notebook.flush()
    assert [(act.target, act.at) for act in acts(database)] == [
        ("console:1", done_at),
        ("console:2", done_at + 60_000),
    ]


async def test_what_finds_no_room_is_logged(database: Database) -> None:
    log = Log()
    notebook = Notebook(database=database, clock=ManualClock(), log=log.logger)
    for number in range(MOST + 1):
        notebook.note(an_act(number))
    await notebook.flush()
    assert len(acts(database)) == MOST
    (line,) = log.of("act_not_on_record")
    assert (line["actor"], line["target"]) == ("token:ops", f"console:{MOST}")
