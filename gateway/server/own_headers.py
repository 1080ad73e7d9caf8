"""The headers that are the gateway's own, on every answer of every kind."""

from collections.abc import Callable

from gateway.core.decision import Mode
from gateway.core.exchange import Exchange
from gateway.core.incoming import HeaderList
from gateway.limits.headers import ratelimit_headers


def own_headers(exchange: Exchange, is_degraded: Callable[[], bool]) -> HeaderList:
    """The request id, what is left of the limits, warnings of rules, and whether limits are degraded."""
    headers = [("x-request-id", exchange.id), ("server", "gateway")]
    if exchange.standings:
        headers += ratelimit_headers(exchange.standings)
    if exchange.notes:
        warned = [f"{note.rule}; {note.code}" for note in exchange.notes if note.mode is Mode.WARN]
        if warned:
            headers.append(("x-gateway-warning", ", ".join(warned)))
    if is_degraded():
        headers.append(("x-gateway-degraded", "limits"))
    return headers
