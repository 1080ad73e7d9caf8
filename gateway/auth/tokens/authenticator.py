"""Turns a token into a Principal: from memory while it is good, else by checking it.

The memory is keyed by the SHA-256 of the whole token, so nothing short of the very same token finds an entry.
It is emptied when anything was taken back, when `identity.yaml` changed and when an issuer withdrew a key; a
check that was under way then does not enter its finding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway.auth.interfaces import Revocations
from gateway.auth.recent import Recent
from gateway.auth.tokens.claims import principal_of
from gateway.auth.tokens.compact import LONGEST
from gateway.auth.tokens.verifier import RULE, UNVERIFIED, TokenVerifier, Verified
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Identity
from gateway.core.principal import Principal

BAD_FOR: Final = 5.0
"""Seconds for which a refusal is remembered."""
_MOST_BAD: Final = 1_000

REVOKED: Final = Deny(ErrorCode.INVALID_API_KEY, "The token was revoked. Sign in again for a new one.", RULE)


@dataclass(frozen=True, slots=True)
class _Good:
    principal: Principal
    until: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Bad:
    refusal: Deny
    until: float
    """By the monotonic clock."""


def principal_behind(verified: Verified, revocations: Revocations) -> Principal | Deny:
    """Whom a token that holds stands for, if it was not taken back."""
    principal = principal_of(verified.issuer, verified.claims)
    if isinstance(principal, Principal) and revocations.covers(principal) is not None:
        return REVOKED
    return principal


class TokenAuthenticator:
    """For tokens that issuers of `identity.yaml` have signed."""

    def __init__(
        self,
        *,
        identity: Callable[[], Identity],
        verifier: TokenVerifier,
        revocations: Revocations,
        clock: Clock,
        capacity: int = 10_000,
    ) -> None:
        """`capacity`: tokens remembered as good."""
        self._identity = identity
        self._verifier = verifier
        self._revocations = revocations
        self._clock = clock
        self._good: Recent[_Good] = Recent(capacity)
        self._bad: Recent[_Bad] = Recent(_MOST_BAD)
        self._followed, self._withdrawals = identity(), verifier.withdrawals
        """By what everything that is remembered was decided."""
        self._emptied = 0
        """How often the memory was emptied: a check that began before the last time is out of date."""

    async def authenticate(self, token: str) -> Principal | Deny:
        """Who asks, or a Deny: `invalid_api_key`, `token_expired`, `permission_denied`. Waits only when an
        issuer's keys have to be fetched.
        """
        if len(token) > LONGEST or not token.isascii():
            return UNVERIFIED
        if self._is_outdated():
            self.forget()
        digest = sha256(token.encode()).digest()
        good = self._good.get(digest)
        if good is not None and self._clock.now() < good.until:
            return good.principal
        bad = self._bad.get(digest)
        if bad is not None and self._clock.monotonic() < bad.until:
            return bad.refusal
        return await self._check(token, digest)

    def forget(self) -> None:
        self._followed, self._withdrawals = self._identity(), self._verifier.withdrawals
        self._emptied += 1
        self._good.clear()
        self._bad.clear()

    def confirm(self, at: float) -> None:
        """Of no meaning: tokens are remembered for as long as they are good."""

    def _is_outdated(self) -> bool:
        """Whether there are other rules, or fewer keys, than what is remembered was decided by."""
        return self._identity() is not self._followed or self._verifier.withdrawals != self._withdrawals

    async def _check(self, token: str, digest: bytes) -> Principal | Deny:
        emptied = self._emptied
        verified = await self._verifier.verified(token)
        found = verified if isinstance(verified, Deny) else principal_behind(verified, self._revocations)
        if emptied != self._emptied:
            return found
        if isinstance(verified, Verified) and isinstance(found, Principal):
            self._good.put(digest, _Good(found, verified.expires_at + verified.issuer.leeway))
        elif isinstance(found, Deny):
            self._bad.put(digest, _Bad(found, self._clock.monotonic() + BAD_FOR))
        return found
