"""Names by pattern."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "GPT-4o", False),
        ("*", "", True),
        ("*", "anything", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "gpt-4o", True),
        ("gpt-*", "o3", False),
        ("*-mini", "gpt-4o-mini", True),
        ("*-mini", "mini", False),
        ("gpt-*-mini", "gpt-4o-mini", True),
        ("gpt-*-mini", "gpt-mini", False),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("gpt-4.1", "gpt-4x1", False),
        ("gpt-[45]", "gpt-4", False),
        ("gpt-?", "gpt-4", False),
    ],
)
def test_a_star_stands_for_any_run_of_characters_and_all_else_for_itself(
    pattern: str, name: str, expected: bool
) -> None:
    assert matches((pattern,), name) is expected


def test_one_matching_pattern_is_enough() -> None:
    assert matches(("o3", "gpt-*"), "gpt-4o")


def test_no_pattern_matches_nothing() -> None:
    assert not matches((), "gpt-4o")


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_it_matches_as_the_shell_does(pattern: str, name: str) -> None:
    assert matches((pattern,), name) is fnmatchcase(name, pattern)
