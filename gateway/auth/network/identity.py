"""Who asks, when no credential was sent: a trusted proxy says it, or a client certificate does.

The word of a proxy has no date of issue: it counts as issued at the moment at which it came in. So what is
taken back until now ends what runs, and what comes later is good again; a revocation whose `until` lies ahead
keeps a name out until then.
"""

from collections.abc import Callable
from typing import Final

from gateway.auth.interfaces import Revocations
from gateway.auth.network import certificates, proxies
from gateway.core.clock import Clock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import Identity
from gateway.core.incoming import Arrival
from gateway.core.principal import Principal

RULE: Final = "auth.network"

_REVOKED: Final = Deny(
    ErrorCode.INVALID_API_KEY, "Your access was taken back. Ask whoever runs the gateway.", RULE
)
_STRANGER: Final = Deny(
    ErrorCode.INVALID_API_KEY,
    "No key was sent, and your client certificate stands for nobody here: "
    "no rule of identity.yaml names its SPIFFE id or its subject.",
    RULE,
)


class NetworkIdentity:
    """Knows proxies and certificates."""

    def __init__(self, *, identity: Callable[[], Identity], revocations: Revocations, clock: Clock) -> None:
        self._identity = identity
        self._revocations = revocations
        self._clock = clock

    def identify(self, arrival: Arrival) -> Principal | Deny | None:
        """Who asks; None when neither says anything.

        A Deny: `invalid_api_key` for whom access was taken back from, and for a certificate that stands for
        nobody; `bad_request` and `permission_denied` for what a proxy says that cannot be used.
        """
        found = self._found(arrival)
        if isinstance(found, Principal) and self._revocations.covers(found) is not None:
            return _REVOKED
        return found

    def _found(self, arrival: Arrival) -> Principal | Deny | None:
        identity = self._identity()
        if identity.proxies:
            vouched = proxies.principal_from(arrival, identity.proxies, int(self._clock.now()))
            if vouched is not None:
                return vouched
        if not identity.certificates or (certificate := arrival.certificate) is None:
            return None
        return certificates.principal_of(certificate, identity.certificates) or _STRANGER
