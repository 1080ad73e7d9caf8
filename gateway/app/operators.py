"""Who looks after the gateway: the operators' API, the console, and who may sign in."""

import hmac
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
from aiohttp import web

from gateway.admin.about_page import AboutPage
from gateway.admin.audit_page import AuditPage
from gateway.admin.console_page import ConsolePage
from gateway.admin.explain_page import ExplainPage
from gateway.admin.keys_page import KeysPage
from gateway.admin.limits_page import LimitsPage
from gateway.admin.oidc_sign_in import OidcSignIn
from gateway.admin.operators import Operators
from gateway.admin.organization_page import OrganizationPage
from gateway.admin.repeats import SqlRepeats
from gateway.admin.revocations_page import RevocationsPage
from gateway.admin.sessions import Sessions
from gateway.admin.sign_in import AdminToken, SignIn
from gateway.admin.teams_page import TeamsPage
from gateway.admin.usage_page import UsagePage
from gateway.app.desks import key_desk_of, revocation_desk_of
from gateway.app.ground import Ground
from gateway.app.identity import CHANGED, Identities
from gateway.app.limits import Limits
from gateway.audit.reading import SqlAuditTrail
from gateway.audit.sign_ins import SignIns
from gateway.auth.interfaces import Revocations
from gateway.auth.tokens.claims import administrator_of
from gateway.auth.tokens.fetching import discovered
from gateway.auth.tokens.verifier import Verified
from gateway.core.actor import Actor, Role
from gateway.core.decision import Deny
from gateway.core.identity import Identity
from gateway.core.policy import Policy
from gateway.core.principal import Principal
from gateway.explaining.explainer import Explainer
from gateway.explaining.recent import Recent
from gateway.limits.overview import Overview
from gateway.local_answers import LocalAnswers
from gateway.metering.reports.sql import SqlUsageReports
from gateway.pipeline import Pipeline
from gateway.policies.book import PolicyBook
from gateway.rehearsal import Rehearsal
from gateway.settings.sections import ConsoleSettings
from gateway.settings.tree import ADMIN, Settings

_SIGN_IN_SECONDS: Final = 10.0
_REPORT_THREADS: Final = 2
"""Long reports that operators have read at once: keys are looked up, and taken back, beside them."""
_REPORT_SECONDS: Final = 15.0
"""How long a short one may take."""
_SESSIONS: Final = b"gateway console sessions"

Holds = Callable[[Actor], bool]


async def operators(
    ground: Ground,
    stack: AsyncExitStack,
    *,
    pepper: bytes,
    book: PolicyBook,
    known: Identities,
    revocations: Revocations,
    left: Limits,
    local_answers: LocalAnswers,
    pipeline: Pipeline,
    recent: Recent,
    sign_ins: SignIns,
    is_ready: Callable[[], bool],
) -> web.Application:
    """What the operators' listener serves."""
    settings, clock, database = ground.settings, ground.clock, ground.database
    reports = ground.further_threads(stack, threads=_REPORT_THREADS, timeout=_REPORT_SECONDS)

    async def changed() -> None:
        await ground.signals.tell(CHANGED)

    def holds(actor: Actor) -> bool:
        """Whether what somebody was let in by is still good."""
        return actor.holder is None or _is_let_in(actor, actor.holder, book.policy_set.identity, revocations)

    async def whose_token(token: str) -> Actor | None:
        return _actor(await known.verifier.verified(token), holds)

    def origin(policy: Policy, key_name: str, rule: str) -> str:
        in_force = policy.version == book.version
        return book.policy_set.origin(policy.team, key_name, rule) if in_force else ""

    tokens = _admin_tokens(settings)
    session_key = _session_key(pepper, tokens)
    sessions = Sessions(session_key, clock, holds=holds)
    sign_in = SignIn(tokens=tokens, token_actor=whose_token, sessions=sessions, on_refused=sign_ins.refused)
    explainer = Explainer(
        recent=recent, policies=book, signals=ground.signals, replica=ground.replica, origin=origin
    )
    rehearsal = Rehearsal(pipeline=pipeline, explainer=explainer, limiter=left.limiter, loader=left.loader)
    pages = (
        AboutPage(),
        TeamsPage(policies=lambda: book.policy_set),
        KeysPage(
            desk=key_desk_of(
                database, pepper=pepper, policies=lambda: book.policy_set, clock=clock, changed=changed
            ),
            revocations=revocations,
            clock=clock,
        ),
        RevocationsPage(
            desk=revocation_desk_of(database, policies=lambda: book.policy_set, clock=clock, changed=changed),
            keys=known.keys,
        ),
        UsagePage(reports=SqlUsageReports(reports), clock=clock),
        LimitsPage(
            policies=lambda: book.policy_set,
            keys=known.keys,
            overview=Overview(limiter=left.limiter, loader=left.loader, clock=clock),
        ),
        ExplainPage(explainer=explainer, rehearsal=rehearsal, keys=known.keys, clock=clock),
        AuditPage(trail=SqlAuditTrail(reports)),
        OrganizationPage(answers=local_answers),
    )
    console = ConsolePage(
        sessions=sessions,
        sign_in=sign_in.whose_token,
        oidc=await _oidc(ground, stack, settings.console, session_key, book, known, holds),
        audit=sign_ins,
        clock=clock,
    )
    return Operators(
        pages=pages,
        sign_in=sign_in,
        repeats=SqlRepeats(database, clock),
        metrics=ground.metrics,
        is_ready=is_ready,
        clock=clock,
        log=ground.log,
        console=console,
    ).application()


def _admin_tokens(settings: Settings) -> list[AdminToken]:
    further = [
        AdminToken(name, token.token, Role(token.role), frozenset(token.teams))
        for name, token in settings.admin_tokens.items()
    ]
    if settings.admin_token is None:
        return further
    return [AdminToken(ADMIN, settings.admin_token, Role.OPERATOR), *further]


def _session_key(pepper: bytes, tokens: Sequence[AdminToken]) -> bytes:
    """The same for all replicas. Another one as soon as any token is: sessions end with what began them."""
    key = hmac.new(pepper, _SESSIONS, "sha256")
    for token in tokens:
        secret = hmac.digest(pepper, token.token.get_secret_value().encode(), "sha256")
        key.update(f"\n{token.name} {token.role} {sorted(token.teams)} {secret.hex()}".encode())
    return key.digest()


def _actor(verified: Verified | Deny, holds: Holds) -> Actor | None:
    """Who may administer by a token, if its issuer's rules say so and it was not taken back."""
    if isinstance(verified, Deny):
        return None
    actor = administrator_of(verified.issuer, verified.claims)
    return actor if actor is not None and holds(actor) else None


def _is_let_in(actor: Actor, holder: Principal, identity: Identity, revocations: Revocations) -> bool:
    """Whether the holder's issuer still gives somebody this role, and nothing was taken back."""
    issuer = identity.issuers.get(holder.issuer)
    rules = issuer.roles if issuer else ()
    is_given = any(rule.role is actor.role and actor.teams == {*rule.teams} for rule in rules)
    return is_given and revocations.covers(holder) is None


async def _oidc(
    ground: Ground,
    stack: AsyncExitStack,
    console: ConsoleSettings,
    key: bytes,
    book: PolicyBook,
    known: Identities,
    holds: Holds,
) -> OidcSignIn | None:
    """None where nobody signs in by an identity provider. Raises ValueError for one that there is not."""
    if not console.issuer:
        return None
    issuer = book.policy_set.identity.issuers.get(console.issuer)
    if issuer is None:
        raise ValueError(f"GATEWAY_CONSOLE__ISSUER: identity.yaml has no issuer `{console.issuer}`")
    tls = ssl.create_default_context(cafile=issuer.ca_file)
    http = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_SIGN_IN_SECONDS),
    )
    stack.push_async_callback(http.close)

    async def discover() -> Mapping[str, str]:
        issuer = book.policy_set.identity.issuers.get(console.issuer)
        if issuer is None:
            raise ValueError("identity.yaml does not name it any more")
        return await discovered(known.fetch, issuer)

    async def verified(token: str, nonce: str) -> Actor | None:
        found = await known.verifier.verified(token, audiences=[console.client_id])
        if isinstance(found, Deny) or found.issuer.name != console.issuer:
            return None
        given = str(found.claims.get("nonce")).encode("utf-8", "replace")
        return _actor(found, holds) if hmac.compare_digest(given, nonce.encode()) else None

    return OidcSignIn(
        issuer=console.issuer,
        client_id=console.client_id,
        client_secret=console.client_secret,
        url=console.url,
        key=key,
        http=http,
        discover=discover,
        verified=verified,
        clock=ground.clock,
    )
