"""Default: a member that the client left out, or set to null, gets a value."""

from typing import Any

from gateway.core.call import REMOVED
from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.change import Change


def default(rule: ShapingRule, value: Any, _principal: Principal) -> Change | None:
    """Fill in. Null is OpenAI's spelling of "as if I had not said it"."""
    if value is not None and value is not REMOVED:
        return None
    reason = f"`{rule.member}` is not set; by the rule it would be."
    return Change(rule.value, ErrorCode.INVALID_VALUE, reason)
