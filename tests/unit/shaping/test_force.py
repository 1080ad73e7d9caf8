"""Facts about `gateway/shaping/force.py`."""

from typing import Any

import pytest

from gateway.core.call import REMOVED
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.force import force

SEARCH = Principal(subject="search/daily", team="search", key_id="k1", key_name="daily")


def rule(value: Any = None, source: str | None = None) -> ShapingRule:
    return ShapingRule("it", ShapingKind.FORCE, member="m", value=value, from_principal=source)


@pytest.mark.parametrize("value", [REMOVED, None, True, 0, "false", "", [False]])
def test_whatever_the_client_said_is_replaced(value: Any) -> None:
    change = force(rule(False), value, SEARCH)

    assert change is not None
    assert change.value is False


@pytest.mark.parametrize(("source", "expected"), [("subject", "search/daily"), ("team", "search")])
def test_the_value_can_be_who_asks(source: str, expected: str) -> None:
    change = force(rule(source=source), "somebody else", SEARCH)

    assert change is not None
    assert change.value == expected


@pytest.mark.parametrize("value", [False, 3, 2.5, "x", None])
def test_what_is_right_already_is_not_touched(value: Any) -> None:
    assert force(rule(value), value, SEARCH) is None


@pytest.mark.parametrize(
    ("wanted", "said"), [(False, 0), (1, True), (1, 1.0), ([True], [1]), ({"a": 1}, {"a": True})]
)
def test_what_only_python_takes_for_equal_is_replaced(wanted: Any, said: Any) -> None:
    assert force(rule(wanted), said, SEARCH) is not None


def test_the_note_does_not_quote_what_the_client_said() -> None:
    change = force(rule(source="subject"), "jane@example.com", SEARCH)

    assert change is not None
    assert "jane" not in change.reason
