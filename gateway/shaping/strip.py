"""Strip: a member is taken out."""

from typing import Any

from gateway.core.call import REMOVED
from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.change import Change


def strip(rule: ShapingRule, value: Any, _principal: Principal) -> Change | None:
    """Take the member out, whatever it holds."""
    if value is REMOVED:
        return None
    return Change(REMOVED, ErrorCode.INVALID_VALUE, f"`{rule.member}` would be taken out.")
