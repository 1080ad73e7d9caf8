"""Turns a key into a Principal: from memory when it was seen within the last minute, else from the store.

The memory is keyed by the HMAC of the whole key, so nothing short of the whole key ever finds an entry. It
is emptied whenever the store's epoch moves (`refresh`, polled), and a look-up that was under way then does
not enter its finding: a revoked key can never be remembered again by a request in flight.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Final

from gateway.auth.keys.api_keys import LENGTH, KeyHash, parse_key, subject_of
from gateway.auth.bearer import find_credential
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.recent import Recent
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.incoming import Headers
from gateway.core.principal import CredentialKind, Principal

RULE: Final = "auth.api_key"

_INCORRECT: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "Incorrect API key provided. Use a key that this gateway gave your team; it may have been revoked.",
    RULE,
)
_EXPIRED: Final = Deny(
    ErrorCode.TOKEN_EXPIRED, "This API key has expired. Ask for a new one for your team.", RULE
)


class KeyAuthenticator:
    """An Authenticator for the gateway's own keys."""

    def __init__(
        self,
        *,
        store: KeyStore,
        pepper: bytes,
        clock: Clock,
        capacity: int = 10_000,
        good_for: float = 60.0,
        bad_for: float = 5.0,
        deadline: float = 0.1,
    ) -> None:
        """`capacity`: keys remembered as good, and as many strings as bad. Times in seconds: how long a key
        is remembered as good and as bad, and how long the store may take.
        """
        self._store = store
        self._hash = KeyHash(pepper)
        self._clock = clock
        self._good: Recent[_Known] = Recent(capacity)
        self._bad: Recent[float] = Recent(capacity)
        self._good_for = good_for
        self._bad_for = bad_for
        self._deadline = deadline
        self._lookups: dict[str, asyncio.Future[StoredKey | None]] = {}
        self._epoch: int | None = None
        self.changed_at = float("-inf")
        self._emptied = 0
        """How often the cache was emptied: a look-up that began before the last time is out of date."""

    async def authenticate(self, headers: Headers) -> Principal | Deny:
        credential = find_credential(headers)
        if isinstance(credential, Deny):
            return credential
        if len(credential) != LENGTH or not credential.isascii():
            return _INCORRECT
        digest = self._hash.of(credential)
        known = self._good.get(digest)
        if known is not None and self._clock.monotonic() < known.until:
            return known.principal if self._clock.now() < known.expires_at else _EXPIRED
        return await self._ask(credential, digest)

    async def is_revoked(self, principal: Principal) -> bool:
        key = await self._find(principal.key_id)
        return key is None or key.revoked_at is not None

    async def refresh(self) -> None:
        """Forget everything if any process has added or revoked a key since the last time. To be called
        twice a second. Raises StoreUnavailable; entries then grow old by themselves.
        """
        epoch = await self._store.epoch()
        if epoch != self._epoch:
            self._epoch = epoch
            self.changed_at = self._clock.monotonic()
            self._emptied += 1
            self._good.clear()
            self._bad.clear()
            self._lookups.clear()

    async def _ask(self, credential: str, digest: bytes) -> Principal | Deny:
        parsed = parse_key(credential)
        if parsed is None or self._clock.monotonic() < (self._bad.get(digest) or 0.0):
            return _INCORRECT
        emptied = self._emptied
        key = await self._look_up(parsed.id)
        now = self._clock.monotonic()
        if key is None or key.revoked_at is not None or not hmac.compare_digest(key.secret_hash, digest):
            if emptied == self._emptied:
                self._bad.put(digest, now + self._bad_for)
            return _INCORRECT
        known = _known(key, until=now + self._good_for)
        if emptied == self._emptied:
            self._good.put(digest, known)
        return known.principal if self._clock.now() < known.expires_at else _EXPIRED

    async def _look_up(self, key_id: str) -> StoredKey | None:
        """One question at a time for each key: who asks meanwhile shares the answer, or the failure."""
        while (lookup := self._lookups.get(key_id)) is not None:
            await asyncio.wait([lookup])
            if not lookup.cancelled():
                return lookup.result()
        lookup = self._lookups[key_id] = asyncio.get_running_loop().create_future()
        try:
            lookup.set_result(await self._find(key_id))
        except StoreUnavailable as error:
            lookup.set_exception(error)
        finally:
            if self._lookups.get(key_id) is lookup:
                del self._lookups[key_id]
            lookup.cancel()  # of no effect, unless our own client has left: then another asks in our place
        return lookup.result()

    async def _find(self, key_id: str) -> StoredKey | None:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._store.find(key_id)
        except TimeoutError as error:
            raise StoreUnavailable("the key store did not answer in time") from error


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that was good when it was looked up."""

    principal: Principal
    until: float
    """By the monotonic clock: how long that may be believed."""
    expires_at: float
    """By the calendar: when the key itself ends."""


def _known(key: StoredKey, *, until: float) -> _Known:
    principal = Principal(
        subject=subject_of(key.team, key.name),
        team=key.team,
        key_id=key.id,
        key_name=key.name,
        kind=CredentialKind.API_KEY,
    )
    return _Known(principal, until, float("inf") if key.expires_at is None else key.expires_at)
