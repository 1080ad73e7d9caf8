"""Facts about `gateway/policies/rule.py`."""

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.policies.rule import NamePattern, SwitchedOff, spoken


@pytest.mark.parametrize("pattern", ["*", "gpt-4o", "gpt-4o*", "ft:gpt-4o:org::id", "org/model-7b"])
def test_a_name_in_which_stars_may_stand_is_a_pattern(pattern: str) -> None:
    assert TypeAdapter(NamePattern).validate_python(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "gpt-?", "gpt-[45]", "gpt 4o", "a\nb", "x" * 129])
def test_what_looks_like_another_kind_of_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NamePattern).validate_python(pattern)


def test_a_rule_that_is_switched_off_is_no_rule() -> None:
    assert SwitchedOff(mode="off").compiled("name") == ()


@pytest.mark.parametrize(("words", "text"), [(("a",), "`a`"), (("a", "b", "c"), "`a`, `b` or `c`")])
def test_words_are_listed_as_people_say_them(words: tuple[str, ...], text: str) -> None:
    assert spoken(words) == text
