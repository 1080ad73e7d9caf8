"""tests/unit mirrors gateway/, file for file: tests/unit/wire/test_sse.py is about gateway/wire/sse.py."""

from pathlib import Path
from typing import Final

from tests.repo.tree import GATEWAY, ROOT, files, name_of

UNIT: Final = ROOT / "tests" / "unit"


def subject_of(test: Path) -> Path:
    """The file of gateway/ that a unit test is about."""
    return GATEWAY / test.relative_to(UNIT).with_name(test.name.removeprefix("test_"))


def test_every_unit_test_is_about_a_file_of_the_gateway() -> None:
    tests = [path for path in files(UNIT) if path.name.startswith("test_")]
    assert [name_of(test) for test in tests if not subject_of(test).exists()] == []


def test_a_unit_test_is_about_the_file_at_the_same_place() -> None:
    assert subject_of(UNIT / "wire" / "test_sse.py") == GATEWAY / "wire" / "sse.py"
