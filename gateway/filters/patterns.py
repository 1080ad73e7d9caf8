"""Deny patterns: what the policy's authors do not want said."""

from collections.abc import Sequence

from gateway.core.policy import FilterRule


class Patterns:
    """Expressions that stand in the rule itself. Which one matched is not told: it may be a secret itself."""

    def patterns(self, rule: FilterRule) -> Sequence[str]:
        return rule.patterns

    def finding(self, rule: FilterRule, which: int) -> str:
        return f"The request has text that the filter `{rule.name}` does not let pass."
