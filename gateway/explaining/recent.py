"""What is remembered of the last exchanges of this replica.

Its law: of an exchange only small, immutable things are kept, and no word of its body; that costs each about
a microsecond, and none waits for it.
"""

from collections import deque
from dataclasses import replace
from typing import Final

from msgspec import Struct

from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Endpoint
from gateway.core.errors import GatewayError, Refused
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import Model, Policy
from gateway.core.principal import Principal
from gateway.core.standing import Standing

_LONGEST: Final = 500
"""Characters of a sentence that are kept: one can quote a name that the client chose."""

_METHODS: Final = {name: name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
"""Our own words for them: what a client sends in their place is its own, and is not kept."""

_TURNED_AWAY: Final = frozenset({Outcome.REFUSED, Outcome.CUT})


class Kept(Struct, frozen=True, gc=False):
    """One exchange. Not looked at by the garbage collector: nothing in it can point back to it."""

    id: str
    method: str
    at: float
    started: float
    finished: float | None
    endpoint: Endpoint | None
    principal: Principal | None
    policy: Policy | None
    model: Model | None
    standings: tuple[Standing, ...]
    missed: Standing | None
    notes: tuple[Deny, ...]
    error: Deny | None
    """What the client was told. Never the error itself: its traceback holds the call."""
    refused: bool
    """Whether it was the gateway that said no; not the upstream, nor a fault of ours."""
    status: int | None
    outcome: Outcome | None
    attempts: int
    in_band: bool
    """Whether the upstream told an error inside a good status."""


class Recent:
    """The last exchanges of this replica."""

    def __init__(self, most: int = 5_000) -> None:
        """`most`: exchanges that are remembered. What was served, what was not, and what came from strangers
        does not push each other out."""
        self._served: deque[Kept] = deque(maxlen=max(1, most * 7 // 10))
        self._others: deque[Kept] = deque(maxlen=max(1, most * 2 // 10))
        self._strangers: deque[Kept] = deque(maxlen=max(1, most // 10))
        """Of whom nobody knows who they are: anybody can make as many of them as he likes."""

    def keep(self, exchange: Exchange) -> None:
        """Remember how it ended."""
        kept = kept_of(exchange)
        if kept.outcome is Outcome.SERVED:
            self._served.append(kept)
        elif kept.principal is not None:
            self._others.append(kept)
        else:
            self._strangers.append(kept)

    def find(self, request_id: str) -> Kept | None:
        """The exchange of this id, while it is remembered."""
        for ring in (self._others, self._served, self._strangers):
            for kept in reversed(ring):
                if kept.id == request_id:
                    return kept
        return None

    def turned_away(self, teams: frozenset[str] | None, most: int) -> list[Kept]:
        """Those that were refused or cut, of these teams (None: of all, and of strangers), newest first."""
        rings = (self._others,) if teams is not None else (self._others, self._strangers)
        found = [
            kept
            for ring in rings
            for kept in reversed(ring)
            if kept.outcome in _TURNED_AWAY and (teams is None or team_of(kept) in teams)
        ]
        found.sort(key=lambda kept: kept.at, reverse=True)
        return found[:most]


def kept_of(exchange: Exchange) -> Kept:
    error, observed = exchange.error, exchange.observed
    return Kept(
        exchange.id,
        _METHODS.get(exchange.method, ""),
        exchange.received_at,
        exchange.started,
        exchange.finished,
        exchange.endpoint,
        exchange.principal,
        exchange.policy,
        exchange.model,
        exchange.standings,
        exchange.missed,
        tuple([_for_others(note) for note in exchange.notes]) if exchange.notes else (),
        None if error is None else _said(error),
        isinstance(error, Refused),
        exchange.status,
        exchange.outcome,
        len(exchange.attempts),
        observed is not None and observed.error is not None,
    )


def _said(error: GatewayError) -> Deny:
    rule, param = error.rule or "", error.param
    return _for_others(
        Deny(error.code, error.message, rule, Mode.ENFORCE, param, error.retry_after, error.quotes)
    )


def _for_others(deny: Deny) -> Deny:
    """Without what it quotes, for somebody may have sent a key in the place of a model's name; and no longer
    than a sentence."""
    reason, param = deny.told, deny.param or ""
    if not deny.quotes and len(reason) <= _LONGEST and len(param) <= _LONGEST:
        return deny
    named = "" if param == deny.quotes else param[:_LONGEST]
    return replace(deny, reason=reason[:_LONGEST], param=named or None, quotes="")


def team_of(kept: Kept) -> str:
    return kept.principal.team if kept.principal else ""
