"""Who asks."""

from dataclasses import dataclass
from enum import StrEnum


class CredentialKind(StrEnum):
    API_KEY = "api_key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential has been checked. Holding one is the proof; there is no flag to forget."""

    subject: str
    """Stable name of the caller: what `user` is set to upstream, and what reports group by."""
    team: str
    key_id: str
    """The credential's public id. Never the secret, nor a part of it."""
    key_name: str
    """The name under which team files give this key a policy of its own."""
    kind: CredentialKind = CredentialKind.API_KEY
    groups: frozenset[str] = frozenset()
