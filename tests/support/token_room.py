"""Everything that looks at tokens, put together as a gateway does it, over issuers that are in memory."""

import asyncio
from dataclasses import replace

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.tokens.authenticator import TokenAuthenticator
from gateway.auth.tokens.exchange import TokenExchange
from gateway.auth.tokens.exchanged import ExchangedKeys
from gateway.auth.tokens.fetching import Fetch, NotFetched
from gateway.auth.tokens.key_sets import KeySets
from gateway.auth.tokens.verifier import TokenVerifier
from gateway.core.identity import Identity, Issuer
from tests.support.clock import ManualClock
from tests.support.issuer import SigningIssuer

PEPPER = b"a pepper for tests"


class Publications:
    """A Fetch that needs no network."""

    def __init__(self, *issuers: SigningIssuer) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self.asked: list[str] = []
        self.away = False
        self.hold = asyncio.Event()
        self.hold.set()

    @property
    def fetches(self) -> int:
        """Of key sets."""
        return sum(url.endswith("/keys") for url in self.asked)

    async def fetch(self, issuer: Issuer, url: str) -> bytes:
        self.asked.append(url)
        await self.hold.wait()
        if self.away:
            raise NotFetched("it answered with status 503")
        told = self._issuers[issuer.name]
        return told.key_set if url.endswith("/keys") else told.discovery


class TokenRoom:
    """`identity` may be set anew, as a reload does."""

    def __init__(self, *issuers: Issuer, fetch: Fetch, clock: ManualClock) -> None:
        self.clock = clock
        self.identity = Identity(issuers={issuer.name: issuer for issuer in issuers})
        self.changes: list[tuple[str, str | None]] = []
        """What was told of issuers that went away, or came back."""
        self.revocations = KnownRevocations()
        self.key_sets = KeySets(
            clock=clock, fetch=fetch, on_change=lambda *change: self.changes.append(change)
        )
        self.verifier = TokenVerifier(identity=lambda: self.identity, key_sets=self.key_sets, clock=clock)
        self.authenticator = TokenAuthenticator(
            identity=lambda: self.identity,
            verifier=self.verifier,
            revocations=self.revocations,
            clock=clock,
        )
        self.exchanged = ExchangedKeys(
            pepper=PEPPER, identity=lambda: self.identity, clock=clock, revocations=self.revocations
        )
        self.exchange = TokenExchange(
            verifier=self.verifier, exchanged=self.exchanged, revocations=self.revocations, clock=clock
        )

    def revoke(self, kind: RevocationKind, value: str = "", *, until: int | None = None) -> None:
        """Take back what was issued until then, or until now; and tell, as the watch does."""
        now = int(self.clock.now())
        self.revocations.replace(
            [Revocation("r1", kind, value, 0, now if until is None else until, now * 1000, "cli:root")]
        )
        self.authenticator.forget()

    def reread(self, **changes: object) -> None:
        """identity.yaml was written anew: every issuer is as before, but for this."""
        issuers = self.identity.issuers.items()
        self.identity = Identity(issuers={name: replace(each, **changes) for name, each in issuers})  # type: ignore[arg-type]
