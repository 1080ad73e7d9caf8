"""Facts about `gateway/policies/filter_rules.py`."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.decision import Mode
from gateway.core.policy import FilterKind, FilterRule
from gateway.policies.filter_rules import FilterSpelling


def compiled(**rule: Any) -> tuple[FilterRule, ...]:
    spelling: Any = TypeAdapter(FilterSpelling).validate_python(rule)
    return spelling.compiled("it")  # type: ignore[no-any-return]


def test_patterns_are_kept_as_they_are_written() -> None:
    pattern = r"(?i)\bproject\s+x\b"

    assert compiled(kind="patterns", patterns=[pattern], message="No.", mode="shadow") == (
        FilterRule("it", FilterKind.PATTERNS, Mode.SHADOW, (pattern,), "No."),
    )


def test_a_secrets_filter_needs_nothing_more() -> None:
    assert compiled(kind="secrets") == (FilterRule("it", FilterKind.SECRETS),)


def test_a_filter_that_is_off_is_no_filter() -> None:
    assert compiled(kind="secrets", mode="off") == ()
    assert compiled(mode="off") == ()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?=a)", "not an RE2 pattern"),
        ("(?<!a)b", "not an RE2 pattern"),
        (r"(a)\1", "not an RE2 pattern"),
        ("(a", "not an RE2 pattern"),
        (r"\pL{1000}", "too large"),
        ("a*", "every request"),
        ("^", "every request"),
        (r"\Aa", "ends of a line"),
        (r"a\z", "ends of a line"),
        (r"a\Cb", "ends of a line"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        compiled(kind="patterns", patterns=[pattern])


@pytest.mark.parametrize("pattern", [r"\\A", r"\\\\zoo", "A", "^a$", r"\bC\b"])
def test_a_pattern_that_only_looks_like_a_text_anchor_is_good(pattern: str) -> None:
    assert compiled(kind="patterns", patterns=[pattern])


def test_a_bad_pattern_writes_nothing_to_the_processs_error_output(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError):
        compiled(kind="patterns", patterns=["("])

    assert capfd.readouterr().err == ""
