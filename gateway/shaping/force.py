"""Force: a member has the policy's value, or says who asks, whatever the client said."""

from typing import Any, Final

from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.change import Change

_SCALARS: Final = (str, int, float, bool, type(None))


def force(rule: ShapingRule, value: Any, principal: Principal) -> Change | None:
    """Set the value. `from_principal` names an attribute of the principal to take it from."""
    wanted = getattr(principal, rule.from_principal) if rule.from_principal else rule.value
    if _is_same(value, wanted):
        return None
    reason = f"`{rule.member}` is not what the rule wants; it would be replaced."
    return Change(wanted, ErrorCode.INVALID_VALUE, reason)


def _is_same(value: Any, wanted: Any) -> bool:
    """In Python 0 == False, and so are lists of them: only scalars are compared, with their types."""
    return type(value) is type(wanted) and isinstance(wanted, _SCALARS) and value == wanted
