"""Decisions as values. Concerns decide; `pipeline.py` alone enforces."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.errors import ErrorCode


class Mode(StrEnum):
    """How strictly a rule is meant. Every rule of every kind has these four."""

    OFF = "off"
    SHADOW = "shadow"
    """Count and log what would have happened; the client notices nothing."""
    WARN = "warn"
    """As shadow, and tell the client in the `x-gateway-warning` header."""
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Do not go on, if the rule's mode says so."""

    code: ErrorCode
    reason: str
    """A sentence for the client: what, where, what to do. Says nothing about others."""
    rule: str
    """Where the rule stands, `limits.team-requests`: a name from the policy files, safe as a label."""
    mode: Mode = Mode.ENFORCE
    param: str | None = None
    """The member of the request that is at fault."""
    retry_after: float | None = None
    """Seconds after which the same request may pass; None when waiting does not help."""
    quotes: str = ""
    """What of the request stands in the reason. Its sender may read it, and nobody else."""

    @property
    def told(self) -> str:
        """The reason for others than the sender."""
        return self.reason.replace(self.quotes, "…") if self.quotes else self.reason


ALLOW: Final = Allow()

Decision = Allow | Deny
