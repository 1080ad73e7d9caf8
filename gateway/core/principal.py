"""Who asks."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.grant import UNNARROWED, Grant


class CredentialKind(StrEnum):
    API_KEY = "api_key"
    JWT = "jwt"
    """A token that an issuer of `identity.yaml` has signed."""
    EXCHANGED_KEY = "exchanged_key"
    """A short-lived key, for which such a token was traded."""
    CERTIFICATE = "certificate"
    """A client certificate."""
    PROXY = "proxy"
    """The word of a trusted proxy."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential has been checked. Holding one is the proof; there is no flag to forget."""

    subject: str
    """Stable name of the caller: what `user` is set to upstream, and what reports group by. `user:alice` for
    people, `service:ci` for service accounts, `key:search/web` for a key that its team owns."""
    team: str
    key_id: str
    """The credential's public id; `jwt:entra` for tokens of the issuer that is called `entra` here. Never the
    secret, nor a part of it."""
    key_name: str
    """The name under which team files give this key, or the tokens of an issuer, a policy of their own."""
    kind: CredentialKind = CredentialKind.API_KEY
    groups: frozenset[str] = frozenset()
    grant: Grant = UNNARROWED
    issuer: str = ""
    """Who vouched for it, by the name in `identity.yaml`; empty when it was nobody but this gateway."""
    issued_at: int = 0
    """Seconds since 1970 at which the credential was made. What is revoked is told by that."""
