"""One client request and all that was decided about it, to its end."""

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.attempt import Attempt
from gateway.core.call import Call
from gateway.core.decision import Deny
from gateway.core.endpoint import Endpoint
from gateway.core.errors import GatewayError
from gateway.core.policy import Model, Policy
from gateway.core.principal import Principal
from gateway.core.standing import Standing
from gateway.core.usage import Observed, Usage


class Outcome(StrEnum):
    """How an exchange ended. Set exactly once."""

    SERVED = "served"
    REFUSED = "refused"
    UPSTREAM_FAILED = "upstream_failed"
    CLIENT_LEFT = "client_left"
    FAILED = "failed"
    """Our own fault."""
    CUT = "cut"
    """Stopped by the gateway on the way: a budget ran out, or the key was revoked."""


@dataclass(slots=True)
class Exchange:
    """Filled in along the journey; everything that logs, counts or records reads it here."""

    id: str
    method: str
    received_at: float
    """Seconds since 1970."""
    started: float
    """The monotonic clock when the request arrived."""
    endpoint: Endpoint | None = None
    principal: Principal | None = None
    policy: Policy | None = None
    call: Call | None = None
    asked_model: str | None = None
    """The model's name as the client wrote it, an alias perhaps. Never a label: it may be junk."""
    model: Model | None = None
    standings: tuple[Standing, ...] = ()
    missed: Standing | None = None
    """The slots or the budget that had no room for it, which clients are not told of in numbers."""
    notes: list[Deny] = field(default_factory=list)
    """What rules in shadow or warn mode would have done."""
    attempts: list[Attempt] = field(default_factory=list)
    client_left: bool = False
    """The client is gone, and its answer is read on without it: whatever happens now, it ended with that."""
    answered: float | None = None
    """The monotonic clock at the first relayed byte."""
    finished: float | None = None
    observed: Observed | None = None
    generated: int = 0
    """Tokens that passed, by our own count; counted only when the provider did not say."""
    thought_aloud: bool = False
    """Whether the model's reasoning was among what passed, so that none of it was hidden."""
    usage: Usage | None = None
    cost: int | None = None
    """Micro-dollars; None while unknown, and for ever when the model has no price."""
    status: int | None = None
    outcome: Outcome | None = None
    error: GatewayError | None = None

    def conclude(self, outcome: Outcome, error: GatewayError | None = None) -> None:
        """Set the outcome, once: what happens to a dead exchange does not change how it died."""
        if self.outcome is None:
            self.outcome = outcome
            self.error = error
            if error is not None and self.status is None:
                self.status = error.kind.status
