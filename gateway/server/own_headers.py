"""The headers that are the gateway's own, on every answer of every kind."""

from collections.abc import Callable
from typing import Final

from gateway.core.decision import Deny, Mode
from gateway.core.exchange import Exchange
from gateway.core.incoming import HeaderList
from gateway.limits.headers import ratelimit_headers

_MOST_WARNINGS: Final = 4
_LONGEST_REASON: Final = 200


def own_headers(exchange: Exchange, is_degraded: Callable[[], bool]) -> HeaderList:
    """The request id, what is left of the limits, warnings of rules, and whether limits are degraded."""
    headers = [("x-request-id", exchange.id), ("server", "gateway")]
    if exchange.standings:
        headers += ratelimit_headers(exchange.standings)
    if exchange.notes:
        warned = [note for note in exchange.notes if note.mode is Mode.WARN]
        if warned:
            headers.append(("x-gateway-warning", " | ".join(map(_warning, warned[:_MOST_WARNINGS]))))
    if is_degraded():
        headers.append(("x-gateway-degraded", "limits"))
    return headers


def _warning(note: Deny) -> str:
    """`rule; code; reason`. A reason can have words of policy files and clients in it: ASCII stays."""
    reason = "".join(c if c.isascii() and c.isprintable() else "?" for c in note.reason[:_LONGEST_REASON])
    return f"{note.rule}; {note.code}; {reason}"
