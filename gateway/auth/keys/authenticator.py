"""Turns a key into a Principal: from memory when it is known, else from the store.

The memory is keyed by the HMAC of the whole key, so nothing short of the whole key ever finds an entry. What
is remembered belongs to an era, which ends when anything is changed or taken back (`forget`): a look-up that
was under way then finds for an era that is over, so a request in flight can never bring a revoked key back.
Within an era known keys are good as long as somebody confirms that nothing has changed, and for a while
without: so they outlive an outage of the store, and cost no look-ups while all is well.

A wrong key is answered after the same time whatever is wrong with it: how long the store took tells nothing.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, NamedTuple

from gateway.auth.interfaces import KeyStore, Revocations, StoredKey
from gateway.auth.keys.api_keys import LENGTH, PREFIX, KeyHash, parse_key
from gateway.auth.keys.exactly import ExactPause
from gateway.auth.keys.imported import fingerprint, may_be_imported
from gateway.auth.keys.life import principal_of
from gateway.auth.keys.lookups import Lookups
from gateway.auth.keys.uses import KeyUses
from gateway.auth.network.addresses import is_within, network
from gateway.auth.recent import Recent
from gateway.background import Pause
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Network
from gateway.core.incoming import Arrival
from gateway.core.principal import Principal

RULE: Final = "auth.api_key"
ADDRESSES_RULE: Final = "auth.key_addresses"
NOTED_EVERY: Final = 60.0
"""Seconds after which the use of a key is noted again."""

_INCORRECT: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "Incorrect API key provided. Use a key that this gateway gave your team; it may have been revoked.",
    RULE,
)
_EXPIRED: Final = Deny(
    ErrorCode.TOKEN_EXPIRED, "This API key has expired. Ask for a new one for your team.", RULE
)
_REPLACED: Final = Deny(
    ErrorCode.TOKEN_EXPIRED,
    "This API key was rotated, and the time in which the old one was good as well is over. Use the new one.",
    RULE,
)
_ELSEWHERE: Final = Deny(
    ErrorCode.PERMISSION_DENIED,
    "This API key may not be used from where you are. Use it from the networks that it was made for, or ask "
    "who made it to add yours.",
    ADDRESSES_RULE,
)
_ANY_IMPORTED: Final = "any imported"
_NOBODYS: Final = bytes(32)
"""The hash of no key."""


class KeyAuthenticator:
    """For the gateway's own keys and for imported ones. A Forgetful."""

    def __init__(
        self,
        *,
        store: KeyStore,
        pepper: bytes,
        clock: Clock,
        revocations: Revocations,
        uses: KeyUses,
        address_of: Callable[[Arrival], str],
        capacity: int = 100_000,
        good_for: float = 60.0,
        bad_for: float = 5.0,
        deadline: float = 0.1,
        refuse_after: float = 0.01,
        pause: Pause | None = None,
    ) -> None:
        """`address_of`: whence a request comes. `capacity`: keys remembered as good, and as many strings as
        bad.

        Times in seconds. `good_for`: how long a key is good after it was found, or all were confirmed.
        `bad_for`: how long a wrong one is refused without asking. `deadline`: how long the store may take.
        `refuse_after`: how long after it came a wrong key is answered that was asked for, at the earliest; it
        should be longer than the store usually takes. `pause`: how that is waited for; to the microsecond
        unless it is said.
        """
        self._store = store
        self._hash = KeyHash(pepper)
        self._clock = clock
        self._revocations = revocations
        self._uses = uses
        self._address_of = address_of
        self._good: Recent[_Known] = Recent(capacity)
        self._bad: Recent[_Wrong] = Recent(capacity)
        self._good_for = good_for
        self._bad_for = bad_for
        self._refuse_after = refuse_after
        self._pause = pause or ExactPause()
        self._lookups = Lookups(deadline=deadline)
        self._era = 0
        self._confirmed_at = -inf
        self._any_imported: bool | None = None

    async def authenticate(self, credential: str, arrival: Arrival) -> Principal | Deny:
        """Who asks; or `invalid_api_key`; for whoever holds a right key `token_expired` and
        `permission_denied`.

        Raises StoreUnavailable when the key is not remembered and the store is away.
        """
        digest = self._digest_of(credential)
        if digest is None:
            return _INCORRECT
        known = self._good.peek(digest)
        if known is not None and self._is_good(known):
            return self._judged(known, digest, arrival)
        return await self._ask(credential, digest, arrival)

    def forget(self) -> None:
        """What is remembered counts no longer. Costs nothing, however much that is."""
        self._era += 1
        self._lookups.forget()
        self._any_imported = None

    def confirm(self, at: float) -> None:
        self._confirmed_at = max(at, self._confirmed_at)

    def _digest_of(self, credential: str) -> bytes | None:
        """By what it is remembered; None for what cannot be a key. The cost is bounded, whatever was sent."""
        if len(credential) == LENGTH and credential.startswith(PREFIX):
            return self._hash.of(credential) if credential.isascii() else None
        return self._hash.of(fingerprint(credential)) if may_be_imported(credential) else None

    def _is_good(self, known: "_Known") -> bool:
        since = self._clock.monotonic() - self._good_for
        return known.era == self._era and (self._confirmed_at > since or known.found_at > since)

    def _judged(self, known: "_Known", digest: bytes, arrival: Arrival) -> Principal | Deny:
        """What may have changed since it was found: the time, and the place."""
        now = self._clock.now()
        if now < known.undoubted_until:
            return known.principal
        if now >= known.ends_at:
            return known.ended
        address = self._address_of(arrival)
        if known.networks and not is_within(address, known.networks):
            return _ELSEWHERE
        if now >= known.note_at:
            self._uses.note(known.principal.key_id, address)
            self._good.use(digest)
            known.note_at = now + NOTED_EVERY
        if not known.networks:
            known.undoubted_until = min(known.note_at, known.ends_at)
        return known.principal

    async def _ask(self, credential: str, digest: bytes, arrival: Arrival) -> Principal | Deny:
        came, era = self._clock.monotonic(), self._era
        wrong = self._bad.get(digest)
        if wrong is not None and wrong.era == era and came < wrong.until:
            return _INCORRECT
        if credential.startswith(PREFIX):
            parsed = parse_key(credential)
            if parsed is None:
                return _INCORRECT
            key = await self._lookups.shared(parsed.id, partial(self._store.find, parsed.id))
        elif await self._is_any_imported():
            key = await self._lookups.shared(digest, partial(self._store.find_imported, digest))
        else:
            return _INCORRECT
        known = _known(key, digest, era=era, found_at=came)
        if known is None or self._revocations.covers(known.principal) is not None:
            return await self._refused(digest, came, era)
        if era == self._era:
            self._good.put(digest, known)
        return self._judged(known, digest, arrival)

    async def _refused(self, digest: bytes, came: float, era: int) -> Deny:
        self._bad.put(digest, _Wrong(era, self._clock.monotonic() + self._bad_for))
        await self._pause(came + self._refuse_after - self._clock.monotonic())
        return _INCORRECT

    async def _is_any_imported(self) -> bool:
        """Asked once an era: where there is none, strings that are no keys of ours cost no look-up."""
        if self._any_imported is not None:
            return self._any_imported
        era = self._era
        found = await self._lookups.shared(_ANY_IMPORTED, self._store.has_imported)
        if era == self._era:
            self._any_imported = found
        return found


class _Wrong(NamedTuple):
    """What was no key when it was looked up."""

    era: int
    until: float
    """By the monotonic clock: how long that is believed."""


@dataclass(slots=True, eq=False)
class _Known:
    """A key that was good when it was looked up. All that is decided of it then is decided once."""

    principal: Principal
    era: int
    found_at: float
    """By the monotonic clock: when the look-up began."""
    ends_at: float
    """By the calendar: when the key itself ends, or the overlap in which this secret of it is good …"""
    ended: Deny
    """… and what is said then."""
    networks: tuple[Network, ...]
    note_at: float = 0.0
    """By the calendar: when a use is noted again."""
    undoubted_until: float = 0.0
    """By the calendar: until then there is nothing to look at. Always 0 for a key that has networks."""


def _known(key: StoredKey | None, digest: bytes, *, era: int, found_at: float) -> _Known | None:
    """None when there is no such key, or it is not to be used any more."""
    if key is None:
        return None
    is_present = hmac.compare_digest(key.secret_hash, digest)
    is_previous = hmac.compare_digest(key.previous_hash or _NOBODYS, digest)
    if not (is_present or is_previous) or key.revoked_at is not None or key.disabled_at is not None:
        return None
    ends_at = inf if key.expires_at is None else key.expires_at
    issued_at, ended = key.issued_at, _EXPIRED
    if is_previous:
        issued_at = key.previous_issued_at or 0
        if (key.previous_until or 0) < ends_at:
            ends_at, ended = key.previous_until or 0, _REPLACED
    networks = tuple(map(network, key.addresses))
    return _Known(principal_of(key, issued_at), era, found_at, ends_at, ended, networks)
