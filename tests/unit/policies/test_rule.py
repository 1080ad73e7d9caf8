"""Facts about `gateway/policies/rule.py`."""

from typing import Annotated, Any

import pytest
from pydantic import Tag, TypeAdapter, ValidationError

from gateway.policies.rule import OFF_TAG, NamePattern, SwitchedOff, kinds_by_verb, spoken


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


VERBS: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        Annotated[dict[str, int], Tag("(one)")]
        | Annotated[dict[str, bool], Tag("(several)")]
        | Annotated[SwitchedOff, Tag(OFF_TAG)],
        kinds_by_verb("one", several=("two", "three")),
    ]
)


@pytest.mark.parametrize("rule", [{"one": 1}, {"two": True}, {"three": False}])
def test_a_rule_is_told_by_its_verb(rule: dict[str, Any]) -> None:
    assert VERBS.validate_python(rule) == rule


@pytest.mark.parametrize("rule", [{}, {"one": 1, "two": True}, {"two": True, "three": True}, {"four": 4}, 5])
def test_a_rule_has_one_verb(rule: Any) -> None:
    with pytest.raises(ValidationError, match="must have exactly one of `two`, `three` or `one`"):
        VERBS.validate_python(rule)


def test_a_rule_that_says_nothing_but_off_needs_no_verb() -> None:
    assert VERBS.validate_python({"mode": "off"}) == SwitchedOff(mode="off")
