"""Why a request ended as it did: what was decided, by which rule of which file. Every replica knows of its
own, and they ask each other.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from gateway.core.decision import Deny
from gateway.core.errors import ERRORS, Owner
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import Policy
from gateway.core.principal import CredentialKind, Principal
from gateway.core.standing import Standing
from gateway.explaining.counters import counter
from gateway.explaining.explanation import Decided, Explanation
from gateway.explaining.recent import Kept, Recent, kept_of, team_of
from gateway.policies.book import PolicyBook
from gateway.signals.interfaces import MOST_BYTES, Signals

MOST_REFUSALS: Final = 100
"""Refusals that are told at once."""

_EXPLAIN: Final = "explain"

_REFUSALS: Final = "refusals"

_GRANTED: Final = ("key.", "limits.key.", "budgets.key.")
"""How rules are called that no policy says, but the credential itself."""

_DEPRECATED: Final = "models.deprecated"
"""Said of models by the file that lists them, for all teams."""

Origin = Callable[[Policy, str, str], str]
"""File and line of a policy's rule, for a key of this name: `teams/search.yaml:12`; empty where no file of
those in force says it."""


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
        return self._told(kept_of(exchange))

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
            team=team_of(kept),
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
