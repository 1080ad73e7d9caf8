"""Says whether a token is what it says it is: signed by an issuer that is believed, for us, and good now.

The order is the law. First its form; then who claims to have signed it, of those in `identity.yaml`; then the
signature, with that issuer's own keys; and only then its claims. Until the signature holds, every refusal is
the same sentence. A token's header chooses among the issuer's keys and algorithms, and never brings its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from gateway.auth.tokens.compact import SignedToken, read_token
from gateway.auth.tokens.key_sets import KeySets
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Identity, Issuer

RULE: Final = "auth.token"

UNVERIFIED: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "The token could not be verified. Send a whole one, of an issuer that this gateway believes.",
    RULE,
)
_AUDIENCE: Final = Deny(
    ErrorCode.INVALID_API_KEY, "The token is meant for somebody else: `aud` does not name this gateway.", RULE
)
_TIMES: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "The token does not say from when to when it is good: `iat`, `exp` and, if there is one, `nbf` must be "
    "whole seconds since 1970.",
    RULE,
)
_EXPIRED: Final = Deny(ErrorCode.TOKEN_EXPIRED, "The token has expired (`exp`). Get a new one.", RULE)
_NOT_YET: Final = Deny(
    ErrorCode.INVALID_API_KEY, "The token is not good yet: `iat` or `nbf` lies in the future.", RULE
)
_LIFE: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "The token is made to last too long: `exp` is too far from `iat`. Ask for one that lives shorter.",
    RULE,
)

_REFUSED_HEADERS: Final = frozenset({"jku", "x5u", "jwk", "crit", "b64", "zip", "enc"})
"""What brings a key along, or changes how a token is to be read."""
_LAST_MOMENT: Final = 2**53
"""Seconds since 1970 that JSON's readers agree about."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that holds. Who holds it is what its issuer says in the claims."""

    issuer: Issuer
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def expires_at(self) -> int:
        """Seconds since 1970, without the leeway."""
        expires: int = self.claims["exp"]
        return expires


class TokenVerifier:
    """For everyone who is handed tokens: the clients' port, the exchange, the console."""

    def __init__(self, *, identity: Callable[[], Identity], key_sets: KeySets, clock: Clock) -> None:
        self._identity = identity
        self._key_sets = key_sets
        self._clock = clock

    @property
    def withdrawals(self) -> int:
        """How often an issuer took back a key: what was verified before the last time may not hold now."""
        return self._key_sets.withdrawals

    async def verified(self, token: str, *, audiences: Sequence[str] | None = None) -> Verified | Deny:
        """`audiences`: one of which it must name, instead of the issuer's. A Deny: `invalid_api_key`,
        `token_expired`.
        """
        read = read_token(token)
        issuer = self._issuer_of(read) if read is not None else None
        if read is None or issuer is None or not await self._is_signed(read, issuer):
            return UNVERIFIED
        wrong = self._wrong(issuer, read.claims, issuer.audiences if audiences is None else audiences)
        return Verified(issuer, read.claims) if wrong is None else wrong

    def _issuer_of(self, read: SignedToken) -> Issuer | None:
        claimed = read.claims.get("iss")
        return next((each for each in self._identity().issuers.values() if each.url == claimed), None)

    async def _is_signed(self, read: SignedToken, issuer: Issuer) -> bool:
        header = read.header
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms or not _is_taken(header, issuer):
            return False
        key = await self._key_sets.key(issuer, key_id, algorithm)
        return key is not None and key.has_signed(algorithm, read.signed, read.signature)

    def _wrong(self, issuer: Issuer, claims: Mapping[str, Any], audiences: Sequence[str]) -> Deny | None:
        if not _is_for(claims.get("aud"), audiences):
            return _AUDIENCE
        issued, expires = claims.get("iat"), claims.get("exp")
        begins = claims.get("nbf", issued)
        if not (_is_moment(issued) and _is_moment(expires) and _is_moment(begins)):
            return _TIMES
        now = self._clock.now()
        if now >= expires + issuer.leeway:
            return _EXPIRED
        if max(issued, begins) > now + issuer.leeway:
            return _NOT_YET
        return None if 0 < expires - issued <= issuer.longest_life else _LIFE


def _is_taken(header: Mapping[str, Any], issuer: Issuer) -> bool:
    """Whether the header asks for nothing out of the ordinary."""
    key_id, kind = header.get("kid"), header.get("typ")
    if not _REFUSED_HEADERS.isdisjoint(header) or not (key_id is None or type(key_id) is str):
        return False
    return kind is None or _is_typed(kind, issuer.types)


def _is_typed(kind: object, types: Sequence[str]) -> bool:
    """`typ` is a media type: case does not count, and `application/` may be left out (RFC 7515 4.1.9)."""
    return type(kind) is str and kind.lower().removeprefix("application/") in {each.lower() for each in types}


def _is_for(audience: object, audiences: Sequence[str]) -> bool:
    named = audience if type(audience) is list else [audience]
    return any(type(each) is str and each in audiences for each in named)


def _is_moment(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _LAST_MOMENT
