"""Clamp: a number stays within bounds. What is absent stays so; what is no number the upstream refuses."""

from typing import Any

from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.change import Change

_LONGEST_NUMBER = 32


def clamp(rule: ShapingRule, value: Any, _principal: Principal) -> Change | None:
    """Bring the value up to `at_least` or down to `at_most`."""
    number = _number(value)
    if number is None:
        return None
    if rule.at_most is not None and number > rule.at_most:
        return _change(rule, number, rule.at_most)
    if rule.at_least is not None and number < rule.at_least:
        return _change(rule, number, rule.at_least)
    return None


def _change(rule: ShapingRule, number: float, bound: float) -> Change:
    reason = f"`{rule.member}` is {number:g}; by the rule it would be {bound:g}."
    return Change(bound, ErrorCode.REQUEST_EXCEEDS_LIMIT, reason)


def _number(value: Any) -> float | None:
    """The number that the value is or spells: forms have only text, and lenient upstreams read "9" as 9."""
    kind = type(value)
    if kind is int or kind is float:
        return value  # type: ignore[no-any-return] # the type was just looked at
    if kind is not str or len(value) > _LONGEST_NUMBER:
        return None
    try:
        return float(value)
    except ValueError:
        return None
