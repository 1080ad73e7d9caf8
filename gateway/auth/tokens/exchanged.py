"""Short-lived keys for which tokens are traded: `gwt_` and base64url of what they stand for, under a seal.

No table knows them: everything stands in the key itself, and the seal (HMAC-SHA256 under a key that is
derived from the pepper, for this one purpose) says that it stood there when the gateway made it. What is
inside can be read by whoever holds one: names, no secrets. It keeps the moment at which the *token* was
issued, so whatever takes the token back takes back what came of it; and it is good only as long as its issuer
is one whose tokens are traded.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.auth.interfaces import Revocations
from gateway.auth.tokens.compact import base64url
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import Grant
from gateway.core.identity import Identity
from gateway.core.principal import CredentialKind, Principal

PREFIX: Final = "gwt_"
LONGEST: Final = 2048
"""Characters of such a key."""
RULE: Final = "auth.token"

_PURPOSE: Final = b"exchanged key, version 1"
"""The version of `_Sealed`: a seal of another version does not hold."""
_SEAL: Final = 32

_INCORRECT: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "Incorrect API key provided. It is no key for which this gateway traded a token.",
    RULE,
)
_EXPIRED: Final = Deny(
    ErrorCode.TOKEN_EXPIRED, "This API key has expired. Trade a fresh token for a new one.", RULE
)
_REVOKED: Final = Deny(
    ErrorCode.INVALID_API_KEY, "This API key was revoked. Sign in again, and trade the new token.", RULE
)


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    """What a key holds, in this order."""

    expires_at: int
    subject: str
    team: str
    key_id: str
    key_name: str
    issuer: str
    issued_at: int
    groups: list[str]
    grant: Grant


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Sealed).decode


class ExchangedKeys:
    """Makes them, and knows them again."""

    def __init__(
        self, *, pepper: bytes, identity: Callable[[], Identity], clock: Clock, revocations: Revocations
    ) -> None:
        self._sealing = hmac.new(hmac.digest(pepper, _PURPOSE, "sha256"), digestmod="sha256")
        self._identity = identity
        self._clock = clock
        self._revocations = revocations

    def seal(self, principal: Principal, expires_at: int) -> str:
        """A key that stands for this principal until this second since 1970. Raises ValueError, with a
        sentence, when it would be too long.
        """
        content = _encode(
            _Sealed(
                expires_at,
                principal.subject,
                principal.team,
                principal.key_id,
                principal.key_name,
                principal.issuer,
                principal.issued_at,
                sorted(principal.groups),
                principal.grant,
            )
        )
        text = PREFIX + urlsafe_b64encode(content + self._seal(content)).rstrip(b"=").decode()
        if len(text) > LONGEST:
            raise ValueError("The token names too many groups to be traded for a key.")
        return text

    def opened(self, text: str) -> Principal | Deny:
        """Whom it stands for, or a Deny: `invalid_api_key`, `token_expired`."""
        sealed = self._unsealed(text)
        if sealed is None:
            return _INCORRECT
        if self._clock.now() >= sealed.expires_at:
            return _EXPIRED
        issuer, principal = self._identity().issuers.get(sealed.issuer), _principal(sealed)
        is_traded = issuer is not None and issuer.exchange_seconds is not None
        return principal if is_traded and self._revocations.covers(principal) is None else _REVOKED

    def _unsealed(self, text: str) -> _Sealed | None:
        if len(text) > LONGEST or not text.startswith(PREFIX):
            return None
        try:
            data = base64url(text[len(PREFIX) :])
        except ValueError:
            return None
        content, seal = data[:-_SEAL], data[-_SEAL:]
        return _decode(content) if hmac.compare_digest(self._seal(content), seal) else None

    def _seal(self, content: bytes) -> bytes:
        sealing = self._sealing.copy()
        sealing.update(content)
        return sealing.digest()


def _principal(sealed: _Sealed) -> Principal:
    return Principal(
        subject=sealed.subject,
        team=sealed.team,
        key_id=sealed.key_id,
        key_name=sealed.key_name,
        kind=CredentialKind.EXCHANGED_KEY,
        groups=frozenset(sealed.groups),
        grant=sealed.grant,
        issuer=sealed.issuer,
        issued_at=sealed.issued_at,
    )
