"""The pepper that an installation makes for itself."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.auth.keys.pepper import own_pepper


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
