"""The pepper that an installation makes for itself, and one that is not the one from before."""

import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.auth.keys.pepper import check_pepper, own_pepper
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from tests.support.database import open_url


def test_a_pepper_is_made_when_there_is_none(tmp_path: Path) -> None:
    assert len(own_pepper(tmp_path / "pepper")) == 64


def test_the_same_pepper_is_found_again(tmp_path: Path) -> None:
    assert own_pepper(tmp_path / "pepper") == own_pepper(tmp_path / "pepper")


def test_no_two_installations_have_the_same(tmp_path: Path) -> None:
    assert own_pepper(tmp_path / "one") != own_pepper(tmp_path / "two")


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    own_pepper(tmp_path / "var" / "pepper")
    assert stat.S_IMODE((tmp_path / "var" / "pepper").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) & 0o077 == 0


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    own_pepper(tmp_path / "pepper")
    assert [file.name for file in tmp_path.iterdir()] == ["pepper"]


def test_a_pepper_that_somebody_wrote_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("  a pepper of our own\n")
    assert own_pepper(tmp_path / "pepper") == b"a pepper of our own"


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_file_without_a_pepper_is_not_taken_for_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "pepper").write_text(content)
    with pytest.raises(ValueError, match="holds no pepper"):
        own_pepper(tmp_path / "pepper")
    assert (tmp_path / "pepper").read_text() == content


def test_who_comes_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    """As when the first `serve` and the first `keys create` are started together."""
    for number in range(20):
        file = tmp_path / str(number)
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(own_pepper, [file] * 8))) == 1


def test_a_place_where_none_can_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        own_pepper(tmp_path / "file" / "pepper")


# Of one that is another.


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as opened:
        yield opened


async def test_the_first_pepper_is_taken(database: Database) -> None:
    await check_pepper(database, b"the first one")


async def test_the_same_pepper_is_taken_again(database: Database) -> None:
    await check_pepper(database, b"the first one")
    await check_pepper(database, b"the first one")


async def test_another_pepper_is_told_with_what_to_do(database: Database) -> None:
    await check_pepper(database, b"the first one")
    with pytest.raises(ValueError, match="every key would be refused"):
        await check_pepper(database, b"another one")


async def test_another_pepper_does_not_take_the_place_of_the_first(database: Database) -> None:
    await check_pepper(database, b"the first one")
    with pytest.raises(ValueError, match="another pepper"):
        await check_pepper(database, b"another one")
    await check_pepper(database, b"the first one")


async def test_a_lost_pepper_is_given_up_as_the_sentence_says(database: Database) -> None:
    await check_pepper(database, b"the first one")
    await database.write(lambda connection: connection.execute(text("DELETE FROM installation")))
    await check_pepper(database, b"another one")


async def test_what_is_kept_is_not_the_pepper(database: Database) -> None:
    await check_pepper(database, b"the first one")
    kept = await database.read(
        lambda connection: connection.execute(text("SELECT pepper_check FROM installation")).scalar_one()
    )
    assert b"the first one" not in bytes(kept)


async def test_a_database_that_is_away_is_not_taken_for_another_pepper(database: Database) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE installation")))
    with pytest.raises(StoreUnavailable):
        await check_pepper(database, b"the first one")
