"""The operators' API over stores in memory: four people who may administer, two teams, and what they own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from gateway.admin.about_page import AboutPage
from gateway.admin.audit_page import AuditPage
from gateway.admin.explain_page import ExplainPage
from gateway.admin.interfaces import Kept, KeyReused, UnderWay
from gateway.admin.keys_page import KeysPage
from gateway.admin.limits_page import LimitsPage
from gateway.admin.operators import Operators
from gateway.admin.organization_page import OrganizationPage
from gateway.admin.revocations_page import RevocationsPage
from gateway.admin.sessions import Sessions
from gateway.admin.sign_in import AdminToken, SignIn
from gateway.admin.teams_page import TeamsPage
from gateway.admin.usage_page import UsagePage
from gateway.audit.reading import Line, Verdict
from gateway.audit.refusals import RefusalTally
from gateway.audit.sign_ins import SignIns
from gateway.auth.interfaces import Revocation
from gateway.auth.keys.checks import KeyChecks
from gateway.auth.keys.desk import KeyDesk
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.revocation.desk import RevocationDesk
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.actor import Act, Actor, Role
from gateway.core.errors import StoreUnavailable
from gateway.core.identity import Identity, Issuer
from gateway.core.policy import AllowList, Catalogue, Counted, Limit, Model, Policy, Scope
from gateway.core.principal import Principal
from gateway.explaining.explanation import Counter, Decided, Explanation
from gateway.local_answers import LocalAnswers
from gateway.metering.interfaces import Admission, UsageRow
from gateway.metering.reports.turns import Turns
from gateway.policies.policy_set import PolicySet, TeamPolicies
from gateway.telemetry.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.limit_store import LimitStore
from tests.support.log import Log
from tests.support.memory import MemoryUsage

Client = TestClient[Any, Any]
Connect = Callable[[Operators], Awaitable[Client]]

ADMINS: Final[Mapping[str, AdminToken]] = MappingProxyType(
    {
        name: AdminToken(name, SecretStr(f"canary-token-of-{name}"), role, frozenset(teams))
        for name, role, teams in (
            ("ops", Role.OPERATOR, ()),
            ("viewer", Role.VIEWER, ()),
            ("auditor", Role.AUDITOR, ()),
            ("search-lead", Role.TEAM_ADMIN, ("search",)),
            ("ads-lead", Role.TEAM_ADMIN, ("ads",)),
            ("both-lead", Role.TEAM_ADMIN, ("ads", "search")),
        )
    }
)
PEPPER: Final = b"a pepper for tests only"
SESSION_KEY: Final = b"a key for the sessions of tests."
CATALOGUE: Final = Catalogue(models={"gpt-5": Model("gpt-5", "openai", "gpt-5")}, price_version="77aa")
ROW: Final = UsageRow(group=("search",), attempts=2, requests=2, input_tokens=90, cost=1234, estimated=1)
AN_IMPORTED: Final = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"


def by(name: str) -> dict[str, str]:
    """The headers of one who may administer."""
    return {"authorization": f"Bearer {ADMINS[name].token.get_secret_value()}"}


def an_explanation(request_id: str, team: str = "search", at: float = 1.0) -> Explanation:
    """Of a request that was refused."""
    return Explanation(
        request_id=request_id,
        at=at,
        replica="replica_1",
        method="POST",
        endpoint="chat_completions",
        status=429,
        outcome="refused",
        owner="policy",
        code="rate_limit_exceeded",
        message="Too many requests.",
        team=team,
        key_id="",
        key_name="web" if team else "",
        subject=f"key:{team}/web" if team else "",
        credential="api_key" if team else "",
        model="gpt-5",
        upstream="",
        policy_version="5f3c",
        policy_in_force=True,
        decisions=[
            Decided(
                rule="limits.team-requests",
                code="rate_limit_exceeded",
                mode="enforce",
                reason="Too many requests.",
                where="teams/search.yaml:12",
            )
        ],
        counters=[Counter(name="team-requests", counts="requests", limit=10, remaining=0, reset_seconds=6.0)],
    )


class MemoryReports:
    """`UsageReports` with rows that are known beforehand, whoever is meant."""

    def __init__(self) -> None:
        self.rows: Sequence[UsageRow] = [ROW]
        self.asked: list[tuple[tuple[str, ...], int | None, int | None]] = []
        self.narrowed: list[Mapping[str, str]] = []
        self.away = False

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        if self.away:
            raise StoreUnavailable("the password is hush")
        if not set(by) <= {"team", "model", "key", "day", "endpoint"}:
            raise ValueError("there is no such group")
        self.asked.append((tuple(by), since, until))
        self.narrowed.append(only)
        return [
            UsageRow(group=tuple("x" for _ in by), attempts=row.attempts, cost=row.cost) for row in self.rows
        ]

    async def unsettled(self) -> Sequence[Admission]:
        return []


class MemoryRevocations:
    """A `RevocationStore`."""

    def __init__(self) -> None:
        self.revocations: list[Revocation] = []
        self.acts: list[Act] = []

    async def add(self, revocation: Revocation, act: Act) -> None:
        self.revocations.append(revocation)
        self.acts.append(act)

    async def list(self) -> Sequence[Revocation]:
        return list(self.revocations)


class MemoryTrail:
    """An `AuditTrail` of lines that are known beforehand."""

    def __init__(self) -> None:
        self.lines = [
            Line(number, 1000 * number, "token:ops", "key.created", f"key:k{number}", team, {}, "ab" * 32)
            for number, team in enumerate(("search", "ads", "search", "", "search"), 1)
        ]

    async def list(self, *, team: str | None = None, before: int | None = None, most: int) -> Sequence[Line]:
        found = [line for line in reversed(self.lines) if team in (None, line.team)]
        return [line for line in found if before is None or line.number < before][:most]

    async def verify(self, head: str | None = None) -> Verdict:
        if head is not None and not head.startswith("5:"):
            raise ValueError("a head is of this trail")
        return Verdict(len(self.lines), "5:" + "ab" * 32)


class MemoryExplainer:
    """An `Explainer` that was told what to remember."""

    def __init__(self) -> None:
        self.known = [
            an_explanation("req_1", "search", 3.0),
            an_explanation("req_2", "ads", 2.0),
            an_explanation("req_3", "", 1.0),
        ]

    async def explain(self, request_id: str) -> Explanation | None:
        return next((each for each in self.known if each.request_id == request_id), None)

    async def refusals(self, teams: frozenset[str] | None, most: int) -> Sequence[Explanation]:
        return [each for each in self.known if teams is None or each.team in teams][:most]


class MemoryRehearsal:
    """A `Rehearsal` that tells who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Principal, str, str, bytes]] = []
        self.away = False

    async def rehearse(self, principal: Principal, method: str, path: str, body: bytes) -> Explanation:
        if self.away:
            raise StoreUnavailable("Redis is away")
        if path == "/v1/files":
            raise ValueError("POST /v1/files takes a form. Dry runs are of JSON alone.")
        self.asked.append((principal, method, path, body))
        return msgspec.structs.replace(an_explanation("dry_1", principal.team), subject=principal.subject)


class MemoryRepeats:
    """`Repeats` for one process."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[bytes, Kept | None]] = {}
        self.away = False

    async def begin(self, actor: str, key: str, request_hash: bytes) -> Kept | None:
        if (actor, key) not in self.rows:
            self.rows[actor, key] = (request_hash, None)
            return None
        known, kept = self.rows[actor, key]
        if known != request_hash:
            raise KeyReused
        if kept is None:
            raise UnderWay
        return kept

    async def keep(self, actor: str, key: str, kept: Kept) -> None:
        if self.away:
            raise StoreUnavailable("the password is hush")
        self.rows[actor, key] = (self.rows[actor, key][0], kept)

    async def forget(self, actor: str, key: str) -> None:
        del self.rows[actor, key]


def _policies() -> PolicySet:
    limit = Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), 10, burst=10)
    teams = {
        name: TeamPolicies(
            Policy(
                team=name,
                version="5f3c",
                catalogue=CATALOGUE,
                models=AllowList(("gpt-*",)),
                limits=(limit,),
                cost_centre=f"cc-{name}",
            ),
            description=f"The team {name}.",
        )
        for name in ("search", "ads")
    }
    entra = Issuer("entra", "https://login.example.com", ("gateway",))
    return PolicySet("5f3c", CATALOGUE, teams, Identity(issuers={"entra": entra}))


async def _told() -> None:
    """Every replica."""


@dataclass
class OperatorsHouse:
    """What the operators look at, and change."""

    clock: ManualClock = field(default_factory=ManualClock)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    reports: MemoryReports = field(default_factory=MemoryReports)
    usage: MemoryUsage = field(default_factory=MemoryUsage)
    keys: MemoryKeyStore = field(default_factory=MemoryKeyStore)
    uses: MemoryUseStore = field(default_factory=MemoryUseStore)
    revocations: MemoryRevocations = field(default_factory=MemoryRevocations)
    limits: LimitStore = field(default_factory=LimitStore)
    trail: MemoryTrail = field(default_factory=MemoryTrail)
    explainer: MemoryExplainer = field(default_factory=MemoryExplainer)
    rehearsal: MemoryRehearsal = field(default_factory=MemoryRehearsal)
    repeats: Any = field(default_factory=MemoryRepeats)
    policies: PolicySet = field(default_factory=_policies)
    admins: Sequence[AdminToken] = tuple(ADMINS.values())
    console: Any = None
    ready: bool = True
    tokens: dict[str, Actor] = field(default_factory=dict)
    """Of issuers."""
    acts: list[Act] = field(default_factory=list)
    """Of signing in, and refusals to; these once the tally is flushed."""
    turned_out: list[Actor] = field(default_factory=list)
    """Whose sessions hold no longer."""

    def __post_init__(self) -> None:
        self.sessions = Sessions(SESSION_KEY, self.clock, holds=lambda actor: actor not in self.turned_out)
        self.tally = RefusalTally(record=self._record, replica="replica_1")
        self.sign_ins = SignIns(note=self.acts.append, tally=self.tally, clock=self.clock)
        self.desk = KeyDesk(
            store=self.keys,
            uses=self.uses,
            pepper=PEPPER,
            clock=self.clock,
            checks=KeyChecks(
                teams=lambda: self.policies.teams.keys(),
                endpoints=lambda: {"chat_completions"},
                models=lambda: self.policies.catalogue.models.keys(),
            ),
            changed=_told,
        )
        self.revoking = RevocationDesk(
            store=self.revocations,
            clock=self.clock,
            teams=lambda: self.policies.teams.keys(),
            issuers=lambda: self.policies.identity.issuers.keys(),
            changed=_told,
        )

    async def _record(self, acts: Sequence[Act]) -> None:
        self.acts += acts

    async def whose_token(self, token: str) -> Actor | None:
        return self.tokens.get(token)

    def taken_back(self) -> KnownRevocations:
        """As a replica knows it that has just looked."""
        known = KnownRevocations()
        known.replace(self.revocations.revocations)
        return known

    def operators(self) -> Operators:
        """All of it, put together."""
        answers = LocalAnswers(usage=self.usage, turns=Turns(most=2, patience=1.0), clock=self.clock)
        return Operators(
            pages=[
                AboutPage(),
                TeamsPage(policies=lambda: self.policies),
                KeysPage(desk=self.desk, revocations=self.taken_back(), clock=self.clock),
                RevocationsPage(desk=self.revoking, keys=self.keys),
                UsagePage(reports=self.reports, clock=self.clock),
                LimitsPage(
                    policies=lambda: self.policies,
                    keys=self.keys,
                    overview=self.limits.overview(self.clock),
                ),
                ExplainPage(
                    explainer=self.explainer, rehearsal=self.rehearsal, keys=self.keys, clock=self.clock
                ),
                AuditPage(trail=self.trail),
                OrganizationPage(answers=answers),
            ],
            sign_in=SignIn(
                tokens=self.admins,
                token_actor=self.whose_token,
                sessions=self.sessions,
                on_refused=self.sign_ins.refused,
            ),
            repeats=self.repeats,
            metrics=self.metrics,
            is_ready=lambda: self.ready,
            clock=self.clock,
            log=self.log.logger,
            console=self.console,
        )


async def problem(answer: ClientResponse) -> dict[str, Any]:
    """What an answer says is wrong."""
    assert answer.content_type == "application/problem+json"
    told: dict[str, Any] = await answer.json()
    assert told["status"] == answer.status
    assert told["request_id"] == answer.headers["x-request-id"]
    return told
