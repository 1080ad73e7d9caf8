"""One try at one upstream. Each is its own pair of ledger lines, whatever becomes of it."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.usage import Usage


class Cause(StrEnum):
    """Why an attempt ended."""

    SERVED = "served"
    CLIENT_LEFT = "client_left"
    UPSTREAM_FAILED = "upstream_failed"
    FAILED = "failed"
    """Our own fault, or our own end."""
    BUDGET_CUT = "budget_cut"
    """We ended it: a budget had no room for more of its answer."""
    REVOKED = "revoked"
    """We ended it: the key was revoked."""
    CRASH = "crash"
    """Found admitted and never settled, by whoever came next."""


@dataclass(slots=True)
class Attempt:
    """Filled in as it happens; read by the recorder when it is over."""

    id: str
    upstream: str
    """The configured name of the upstream."""
    number: int
    """1 for the first try of the exchange."""
    status: int | None = None
    """The upstream's HTTP status; None when no answer came."""
    upstream_request_id: str | None = None
    sent: bool = False
    """Whether any byte of the request can have reached the upstream: then it may have cost."""
    usage: Usage | None = None
    """As it is in the ledger; None until it is settled."""
    cost: int | None = None
    """Micro-dollars; None until it is settled, and for ever when the model has no price."""
    admitted_at: int = 0
    """Milliseconds since 1970: the moment whose prices hold. 0 until it is admitted."""
