"""Facts about `gateway/filters/patterns.py`."""

from gateway.core.policy import FilterKind, FilterRule
from gateway.filters.patterns import Patterns

RULE = FilterRule("names", FilterKind.PATTERNS, patterns=("a+", "b+"))


def test_the_rule_brings_the_patterns() -> None:
    assert Patterns().patterns(RULE) == ("a+", "b+")


def test_a_finding_names_the_filter_and_no_pattern() -> None:
    finding = Patterns().finding(RULE, 1)

    assert "`names`" in finding
    assert "b+" not in finding
