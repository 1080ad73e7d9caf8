"""What a shaping rule does to one member of a request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.policy import ShapingRule
from gateway.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Change:
    """A new value, and the sentence that says so where the rule only watches. It never quotes the client."""

    value: Any
    """REMOVED takes the member out."""
    code: ErrorCode
    reason: str

    def noted(self, rule: ShapingRule) -> Deny:
        """What a rule that is not enforced would have done."""
        return Deny(self.code, self.reason, f"shaping.{rule.name}", rule.mode, rule.member)


Act = Callable[[ShapingRule, Any, Principal], Change | None]
"""Takes the rule, the member's value (REMOVED when it is absent) and who asks. None: nothing to change."""
