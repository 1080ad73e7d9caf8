"""The promises of `auth/`: who asks, and what was taken back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from gateway.core.actor import Act
from gateway.core.decision import Deny
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.incoming import Arrival
from gateway.core.principal import Principal


class Authenticator(Protocol):
    """Says who asks, before the body is read."""

    async def authenticate(self, arrival: Arrival) -> Principal | Deny:
        """Who asks, or a Deny: `invalid_api_key`, `token_expired`, `permission_denied` (a good token that
        belongs to no team), `bad_request` (more than one credential).

        Of a key the reason never says which part was wrong. Raises StoreUnavailable when the credential is
        not remembered and the store is away.
        """


class Forgetful(Protocol):
    """Remembers credentials that were good a moment ago."""

    def forget(self) -> None:
        """Something was changed or taken back: what is remembered may be wrong, and so may whatever a
        look-up finds that is under way."""

    def confirm(self, at: float) -> None:
        """At this moment (by the monotonic clock) nothing had changed since the last `forget`."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept: everything but the secret. Times are seconds since 1970."""

    id: str
    team: str
    name: str
    secret_hash: bytes = field(repr=False)
    """HMAC-SHA256, with the pepper, of the whole key; of an imported one, of its SHA-256 in hexadecimal."""
    created_at: int
    issued_at: int
    """When its present secret was made."""
    created_by: str = ""
    owner: str = ""
    """`user:alice`, `service:ci`; empty: the team itself."""
    expires_at: int | None = None
    """From this second on it is refused; None: never."""
    disabled_at: int | None = None
    revoked_at: int | None = None
    previous_hash: bytes | None = field(default=None, repr=False)
    """Of the secret before the last rotation, which is good as well …"""
    previous_until: int | None = None
    """… until this second."""
    previous_issued_at: int | None = None
    grant: Grant = UNNARROWED
    addresses: tuple[str, ...] = ()
    """Networks (`10.0.0.0/8`) from which it may be used; none: from everywhere."""
    imported: bool = False
    """Whether it came by its hash from another gateway: its id does not stand in it."""


class NameTaken(ValueError):
    """A key of this team that is not revoked has the name already."""


class KeyRefused(ValueError):
    """A key cannot be made, or changed, like this. `field` is what is wrong, as the API calls it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class RevocationKind(StrEnum):
    KEY = "key"
    USER = "user"
    """Whatever a subject came with: `user:alice`."""
    TEAM = "team"
    ISSUER = "issuer"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Credentials that were issued in a span of time are taken back. Times are seconds since 1970."""

    id: str
    kind: RevocationKind
    value: str
    """Which key, subject, team or issuer; empty for all."""
    since: int
    until: int
    """Issued within these two, both included. What is issued later is good again."""
    at: int
    """When it was taken back, in milliseconds since 1970: by it the lag is measured."""
    by: str
    reason: str = ""
    cut_streams: bool = False
    """Whether answers that run are ended too."""


class Change(NamedTuple):
    """What becomes of a key, and the record of it. All of it comes true together, or nothing does."""

    key: StoredKey
    act: Act
    revocation: Revocation | None = None


class KeyStore(Protocol):
    """Where keys are kept. Every method raises StoreUnavailable when the store is away. Whoever changes
    anything raises the epoch, and appends to the audit trail, in the same transaction."""

    async def find(self, key_id: str) -> StoredKey | None:
        """The key of this id, revoked or expired ones too."""

    async def find_imported(self, secret_hash: bytes) -> StoredKey | None:
        """The imported key with this hash, the present one or the previous one."""

    async def has_imported(self) -> bool:
        """Whether there is any imported key that is not revoked."""

    async def list(
        self, team: str | None = None, *, after: str = "", most: int | None = None
    ) -> Sequence[StoredKey]:
        """Oldest first; from the one after the key of this id; so many at most."""

    async def add(self, key: StoredKey, act: Act) -> None:
        """Raises NameTaken. A key that has expired keeps its name until it is revoked."""

    async def change(self, key_id: str, change: Callable[[StoredKey], Change]) -> StoredKey | None:
        """The key as it is then; None when there is no such key. What `change` raises passes, and nothing is
        changed. Raises NameTaken."""

    async def epoch(self) -> int:
        """A number that grows whenever a key is changed or anything is revoked, by any process."""


class RevocationStore(Protocol):
    """Where it is kept what was taken back. Every method raises StoreUnavailable."""

    async def add(self, revocation: Revocation, act: Act) -> None:
        """Raises the epoch, and appends to the audit trail, in the same transaction."""

    async def list(self) -> Sequence[Revocation]:
        """All, the oldest first."""


class Revocations(Protocol):
    """What is taken back, as this replica knows it at the moment. Nothing here waits."""

    def covers(self, principal: Principal) -> Revocation | None:
        """What took this principal's credential back, if anything did."""
