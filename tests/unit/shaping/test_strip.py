"""Facts about `gateway/shaping/strip.py`."""

from typing import Any

import pytest

from gateway.core.call import REMOVED
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.strip import strip

ANYONE = Principal("s", "t", "k", "n")
RULE = ShapingRule("it", ShapingKind.STRIP, member="seed")


@pytest.mark.parametrize("value", [None, 0, "x", [], {"a": 1}])
def test_a_member_is_taken_out_whatever_it_holds(value: Any) -> None:
    change = strip(RULE, value, ANYONE)

    assert change is not None
    assert change.value is REMOVED


def test_what_is_absent_cannot_be_taken_out() -> None:
    assert strip(RULE, REMOVED, ANYONE) is None
