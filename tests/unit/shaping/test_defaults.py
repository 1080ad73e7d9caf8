"""Facts about `gateway/shaping/defaults.py`."""

from typing import Any

import pytest

from gateway.core.call import REMOVED
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.defaults import default

ANYONE = Principal("s", "t", "k", "n")
RULE = ShapingRule("calm", ShapingKind.DEFAULT, member="temperature", value=0.2)


@pytest.mark.parametrize("value", [REMOVED, None])
def test_what_is_absent_or_null_is_filled_in(value: Any) -> None:
    change = default(RULE, value, ANYONE)

    assert change is not None
    assert change.value == 0.2


@pytest.mark.parametrize("value", [0, 0.0, False, "", [], {}, 1.5])
def test_what_the_client_said_stays(value: Any) -> None:
    assert default(RULE, value, ANYONE) is None
