"""Why a request ended as it did: what was decided about the last exchanges, by which rule of which file.

Its law: of an exchange only small, immutable things are kept, and no word of its body; that costs each about
a microsecond, and none waits for it. Every replica keeps its own, and they ask each other.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ERRORS, GatewayError, Owner, Refused
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import Budget, Model, Policy, Scope
from gateway.core.principal import CredentialKind, Principal
from gateway.core.standing import Standing
from gateway.limits.interfaces import Demand, Refusal
from gateway.policies.book import PolicyBook
from gateway.signals.interfaces import MOST_BYTES, Signals

MOST_REFUSALS: Final = 100
"""Refusals that are told at once."""

_EXPLAIN: Final = "explain"
_REFUSALS: Final = "refusals"
_LONGEST: Final = 500
"""Characters of a sentence that are kept: one can quote a name that the client chose."""
_METHODS: Final = {name: name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
"""Our own words for them: what a client sends in their place is its own, and is not kept."""
_GRANTED: Final = ("key.", "limits.key.", "budgets.key.")
"""How rules are called that no policy says, but the credential itself."""
_DEPRECATED: Final = "models.deprecated"
"""Said of models by the file that lists them, for all teams."""
_TURNED_AWAY: Final = frozenset({Outcome.REFUSED, Outcome.CUT})

Origin = Callable[[Policy, str, str], str]
"""File and line of a policy's rule, for a key of this name: `teams/search.yaml:12`; empty where no file of
those in force says it."""


class Decided(Struct, frozen=True, kw_only=True):
    """What one rule said."""

    rule: str
    """Empty: no rule of a policy file, but the gateway itself, for every request."""
    code: str
    mode: str
    reason: str
    where: str
    """`teams/search.yaml:12`; `the key a1B2c3D4e5F6` for what a key brings of its own. Empty for what no file
    says, or no file that is in force."""
    param: str | None = None
    retry_after: float | None = None


class Counter(Struct, frozen=True, kw_only=True):
    """How full a limit was."""

    name: str
    counts: str
    """The unit. Dollars are micro-dollars."""
    limit: int
    remaining: int
    reset_seconds: float


class WouldSend(Struct, frozen=True, kw_only=True):
    """What a dry run would have sent, and what would have been held for it."""

    upstream: str
    model: str
    """As the upstream calls it."""
    stream: bool
    changed: list[str]
    """Members of the request that shaping sets, or takes out."""
    input_tokens: int
    output_tokens: int
    cost: int | None
    """Micro-dollars; None: it has no price."""
    most_cost: int | None
    """What strict budgets hold; None where there are none."""


class Explanation(Struct, frozen=True, kw_only=True):
    """What was decided about one request, and why."""

    request_id: str
    at: float
    """Seconds since 1970."""
    replica: str
    method: str
    endpoint: str
    """Its name in the endpoint table; empty for a path that is not in it."""
    status: int | None
    outcome: str
    owner: str | None
    """Whose fault it was: `client`, `policy`, `gateway`, `upstream`; None when nothing went wrong."""
    code: str | None
    message: str | None
    """What the client was told; or what there is to say of an end of which it was told nothing."""
    team: str
    key_id: str
    key_name: str
    subject: str
    credential: str
    model: str
    """The catalogue's name; empty for one that is not in it."""
    upstream: str
    """The one that was asked; empty when none was."""
    policy_version: str
    policy_in_force: bool
    """False: other files are in force by now, so nobody can say where a rule stands."""
    decisions: list[Decided]
    """The one that refused it first; then those in shadow and warn mode."""
    counters: list[Counter]
    attempts: int = 0
    duration_ms: float | None = None
    would_send: WouldSend | None = None
    """Of a dry run that nothing refused."""


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
        kept = _kept(exchange)
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
            if kept.outcome in _TURNED_AWAY and (teams is None or _team(kept) in teams)
        ]
        found.sort(key=lambda kept: kept.at, reverse=True)
        return found[:most]


class _Wanted(Struct, frozen=True):
    """Whose refusals another replica asks for."""

    teams: frozenset[str] | None
    most: int


_explanations: Final = msgspec.json.Decoder(list[Explanation])
_wanted: Final = msgspec.json.Decoder(_Wanted)


class Explainer:
    """Explains what this replica remembers, and asks the others for what they do."""

    def __init__(
        self, *, recent: Recent, policies: PolicyBook, signals: Signals, replica: str, origin: Origin
    ) -> None:
        """`policies`: of which the version is asked. Answers the questions of other replicas from now on."""
        self._recent = recent
        self._policies = policies
        self._signals = signals
        self._replica = replica
        self._origin = origin
        signals.answer(_EXPLAIN, self._answer)
        signals.answer(_REFUSALS, self._answer_refusals)

    async def explain(self, request_id: str) -> Explanation | None:
        """What was decided about this request; None when no replica that answers remembers it."""
        kept = self._recent.find(request_id)
        if kept is not None:
            return self._told(kept)
        for answer in await self._signals.ask(_EXPLAIN, request_id.encode("utf-8", "replace"), enough=1):
            for found in _read(answer):
                if found.request_id == request_id:
                    return found
        return None

    async def refusals(self, teams: frozenset[str] | None, most: int) -> list[Explanation]:
        """The last requests that were refused or cut, of all replicas, newest first. `teams`: only theirs;
        None: all, and of callers of whom nobody knows who they are. At most `MOST_REFUSALS`; of another
        replica, as many as one answer holds."""
        wanted = _Wanted(teams, min(most, MOST_REFUSALS))
        answers = await self._signals.ask(_REFUSALS, msgspec.json.encode(wanted))
        told = [each for answer in answers for each in _read(answer)]
        own = [self._told(kept) for kept in self._recent.turned_away(wanted.teams, wanted.most)]
        found = {each.request_id: each for each in (*told, *own) if teams is None or each.team in teams}
        return sorted(found.values(), key=lambda each: each.at, reverse=True)[: wanted.most]

    def tell(self, exchange: Exchange) -> Explanation:
        """What was decided about an exchange at hand."""
        return self._told(_kept(exchange))

    def _answer(self, question: bytes) -> bytes | None:
        kept = self._recent.find(question.decode("utf-8", "replace"))
        return None if kept is None else msgspec.json.encode([self._told(kept)])

    def _answer_refusals(self, question: bytes) -> bytes | None:
        try:
            wanted = _wanted.decode(question)
        except msgspec.DecodeError:
            return None
        most = max(0, min(wanted.most, MOST_REFUSALS))
        found = self._recent.turned_away(wanted.teams, most)
        return _as_many_as_fit(map(self._told, found)) if found else None

    def _told(self, kept: Kept) -> Explanation:
        principal, policy, error = kept.principal, kept.policy, kept.error
        return Explanation(
            request_id=kept.id,
            at=kept.at,
            replica=self._replica,
            method=kept.method,
            endpoint=kept.endpoint.name if kept.endpoint else "",
            status=kept.status,
            outcome=kept.outcome.value if kept.outcome else "",
            owner=_owner(kept),
            code=error.code.value if error else None,
            message=error.reason if error else _unsaid(kept),
            team=_team(kept),
            key_id=principal.key_id if principal else "",
            key_name=principal.key_name if principal else "",
            subject=principal.subject if principal else "",
            credential=principal.kind.value if principal else "",
            model=kept.model.name if kept.model else "",
            upstream=kept.model.upstream if kept.model and kept.attempts else "",
            policy_version=policy.version if policy else "",
            policy_in_force=policy is None or policy.version == self._policies.version,
            decisions=[self._decided(deny, kept) for deny in _decisions(kept)],
            counters=[counter(standing) for standing in (*_missed(kept), *kept.standings)],
            attempts=kept.attempts,
            duration_ms=_milliseconds(kept),
        )

    def _decided(self, deny: Deny, kept: Kept) -> Decided:
        return Decided(
            rule=deny.rule,
            code=deny.code.value,
            mode=deny.mode.value,
            reason=deny.reason,
            where=self._where(deny.rule, kept),
            param=deny.param,
            retry_after=deny.retry_after,
        )

    def _where(self, rule: str, kept: Kept) -> str:
        if not rule or kept.policy is None or kept.principal is None:
            return ""
        if rule == _DEPRECATED:
            return "models.yaml"
        found = self._origin(kept.policy, kept.principal.key_name, rule)
        return found if found or not rule.startswith(_GRANTED) else _granted_by(kept.principal)


def standing_of(demand: Demand, level: int, at: float) -> Standing:
    """Of any limit: a rate, slots or a budget. `level` as in `limits.interfaces.Look`, `at` in seconds since
    1970. Slots are free when somebody is done, which nobody knows: their reset is 0."""
    limit, _, _, rate, window = demand
    if rate is not None:
        left, reset = rate.remaining(level), rate.seconds_to_pay(level)
        return Standing(limit.name, limit.counts, limit.amount, left, reset)
    if window is None:
        return Standing(limit.name, limit.counts, limit.amount, max(0, limit.amount - level), 0.0)
    left, reset = max(0, window.amount - level), max(0.0, window.edges[2] - at)
    return Standing(limit.name, limit.counts, window.amount, left, reset)


def missed(refusal: Refusal | None, at: float) -> Standing | None:
    """What had no room, where a refusal's own standings do not tell: those are of rates alone."""
    if refusal is None or refusal.demand.rate is not None or is_shared(refusal.demand):
        return None
    return standing_of(refusal.demand, refusal.level, at)


def is_shared(demand: Demand) -> bool:
    """Whether several teams draw on this budget: what others have spent is nobody's business."""
    return isinstance(demand.limit, Budget) and Scope.ORGANIZATION in demand.limit.per


def counter(standing: Standing) -> Counter:
    """As it is told."""
    return Counter(
        name=standing.limit,
        counts=standing.counts.value,
        limit=standing.amount,
        remaining=standing.remaining,
        reset_seconds=round(standing.reset, 3),
    )


def _kept(exchange: Exchange) -> Kept:
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


def _missed(kept: Kept) -> tuple[Standing, ...]:
    return () if kept.missed is None else (kept.missed,)


def _decisions(kept: Kept) -> tuple[Deny, ...]:
    return (kept.error, *kept.notes) if kept.error is not None and kept.refused else kept.notes


def _owner(kept: Kept) -> str | None:
    if kept.error is not None:
        return ERRORS[kept.error.code].owner.value
    if kept.outcome is Outcome.UPSTREAM_FAILED:
        return Owner.UPSTREAM.value
    is_clients = kept.outcome is Outcome.CLIENT_LEFT or (kept.status or 0) >= 400
    return Owner.CLIENT.value if is_clients else None


def _unsaid(kept: Kept) -> str | None:
    """What there is to say where the gateway said nothing."""
    if kept.outcome is Outcome.CLIENT_LEFT:
        return "The client closed its connection before its answer was over."
    if kept.outcome is Outcome.REFUSED:
        return "The token exchange refused: its answer says why."
    if kept.status is not None and kept.status >= 400:
        return f"The upstream itself answered with status {kept.status}, which was passed on."
    if kept.in_band:
        return "The upstream told an error inside its answer, which was passed on."
    return None


def _granted_by(principal: Principal) -> str:
    """Who narrowed what this caller's credential is good for."""
    return f"the key {principal.key_id}" if principal.kind is CredentialKind.API_KEY else "identity.yaml"


def _team(kept: Kept) -> str:
    return kept.principal.team if kept.principal else ""


def _milliseconds(kept: Kept) -> float | None:
    return None if kept.finished is None else round((kept.finished - kept.started) * 1000, 3)


def _as_many_as_fit(told: Iterable[Explanation]) -> bytes:
    """Into one answer to another replica."""
    parts, size = [], 2
    for each in told:
        part = msgspec.json.encode(each)
        size += len(part) + 1
        if size > MOST_BYTES:
            break
        parts.append(part)
    return b"[" + b",".join(parts) + b"]"


def _read(answer: bytes) -> list[Explanation]:
    """What another replica says; nothing, when it speaks another language."""
    try:
        return _explanations.decode(answer)
    except msgspec.DecodeError:
        return []
