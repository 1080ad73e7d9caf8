"""Who asks: the one credential that a request brings is sent to whoever can check it.

An explicit credential comes first, and decides alone; what a proxy says and what the connection's certificate
says count where there is none. How a credential looks says what it is: no string is tried in several ways.
"""

from collections.abc import Callable
from typing import Final, Protocol

from gateway.auth.bearer import RULE, find_credential
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Identity
from gateway.core.incoming import Arrival
from gateway.core.principal import Principal

EXCHANGED: Final = "gwt_"
"""How short-lived keys begin, for which a token was traded."""
_JWT: Final = "eyJ"
"""How every JSON object begins that is an open brace and a quotation mark, in base64url."""

_MISSING: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "You did not send an API key. Send your team's key as `Authorization: Bearer <key>`, or in the `api-key` "
    "or `x-api-key` header.",
    RULE,
)


class Keys(Protocol):
    """Knows the gateway's own keys, and imported ones."""

    async def authenticate(self, credential: str, arrival: Arrival) -> Principal | Deny:
        """Raises StoreUnavailable."""


class Tokens(Protocol):
    """Knows the tokens of the issuers that are believed."""

    async def authenticate(self, token: str) -> Principal | Deny: ...


class Exchanged(Protocol):
    """Knows the short-lived keys for which tokens were traded."""

    def opened(self, text: str) -> Principal | Deny: ...


class Network(Protocol):
    """Knows what a connection says of itself."""

    def identify(self, arrival: Arrival) -> Principal | Deny | None:
        """None: it says nothing."""


class FrontDoor:
    """An Authenticator."""

    def __init__(
        self,
        *,
        keys: Keys,
        tokens: Tokens,
        exchanged: Exchanged,
        network: Network,
        identity: Callable[[], Identity],
    ) -> None:
        """`identity`: what identity.yaml says at the moment."""
        self._keys = keys
        self._tokens = tokens
        self._exchanged = exchanged
        self._network = network
        self._identity = identity

    async def authenticate(self, arrival: Arrival) -> Principal | Deny:
        credential = find_credential(arrival.headers)
        if credential is None:
            return self._network.identify(arrival) or _MISSING
        if isinstance(credential, Deny):
            return credential
        if credential.startswith(EXCHANGED):
            return self._exchanged.opened(credential)
        if credential.startswith(_JWT) and credential.count(".") >= 2 and self._identity().issuers:
            return await self._tokens.authenticate(credential)
        return await self._keys.authenticate(credential, arrival)
