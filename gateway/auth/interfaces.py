"""The promises of `auth/`: who asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.decision import Deny
from gateway.core.incoming import Headers
from gateway.core.principal import Principal


class Authenticator(Protocol):
    """Says who asks, from headers alone."""

    async def authenticate(self, headers: Headers) -> Principal | Deny:
        """Who asks, or a Deny: `invalid_api_key`, `token_expired`, `bad_request` (more than one credential).

        The reason never says which part was wrong. Raises StoreUnavailable when the credential is not cached
        and the store is away.
        """

    @property
    def changed_at(self) -> float:
        """When it was last noticed that credentials were added or revoked: by the monotonic clock. Who came
        in before may have come with one that is revoked.
        """

    async def is_revoked(self, principal: Principal) -> bool:
        """Whether the credential has been revoked since it let this principal in. Asks the store; raises
        StoreUnavailable.
        """


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept: everything but the secret."""

    id: str
    team: str
    name: str
    secret_hash: bytes = field(repr=False)
    """HMAC-SHA256 of the whole key with the pepper."""
    created_at: int
    """Seconds since 1970."""
    expires_at: int | None = None
    """From this second on it is refused; None: never."""
    revoked_at: int | None = None


class NameTaken(ValueError):
    """A key of this team that is not revoked has the name already."""


class KeyStore(Protocol):
    """Where keys are kept. Every method raises StoreUnavailable when the store is away."""

    async def find(self, key_id: str) -> StoredKey | None:
        """The key of this id, revoked or expired ones too."""

    async def add(self, key: StoredKey) -> None:
        """Raises NameTaken. An expired key keeps its name until it is revoked."""

    async def list(self, team: str | None = None) -> Sequence[StoredKey]:
        """Oldest first."""

    async def revoke(self, key_id: str, at: int) -> bool:
        """False when there is no such key. Revoking twice keeps the first date."""

    async def epoch(self) -> int:
        """A number that grows whenever a key is added or revoked, by any process."""
