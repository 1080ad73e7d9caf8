"""Who vouches for callers, and how what they say is read: `identity.yaml`, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType

from gateway.core.actor import Role
from gateway.core.grant import UNNARROWED, Grant

ClaimPath = tuple[str, ...]
"""Where in a token something stands: `("kubernetes.io", "namespace")`."""
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ClaimIs:
    """A claim has a value. Of a list one of its items; numbers and booleans count as JSON spells them."""

    claim: ClaimPath
    equals: str


@dataclass(frozen=True, slots=True)
class TeamRule:
    """To which team a token belongs. The first rule of an issuer that says one decides."""

    claim: ClaimPath
    equals: str | None = None
    """None: whatever it is."""
    team: str | None = None
    """None: the team has the claim's own value, a string, as its name."""


@dataclass(frozen=True, slots=True)
class GrantRule:
    """Tokens with this claim reach no further than this. Of several that fit, the first decides."""

    when: ClaimIs
    grant: Grant


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Whoever has this claim may administer."""

    when: ClaimIs
    role: Role
    teams: tuple[str, ...] = ()
    """Of team admins: which."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed."""

    name: str
    """What it is called here."""
    url: str
    """The `iss` of its tokens, letter by letter; begins with https."""
    audiences: tuple[str, ...]
    """A token must name one of these."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    """Asymmetric ones, all of them."""
    jwks_url: str | None = None
    """Where its keys are; None: where its discovery document says."""
    ca_file: Path | None = None
    """Certificates that are trusted for fetching them, and no others; None: the system's."""
    token_file: Path | None = None
    """A file with a token that is sent when they are fetched, as Kubernetes' API server wants it."""
    types: tuple[str, ...] = ("JWT", "at+jwt")
    """What the header's `typ` may be, in any case; it may be missing."""
    leeway: float = 30.0
    """Seconds by which clocks may differ."""
    longest_life: float = 86_400.0
    """Seconds between `iat` and `exp` at most."""
    user: ClaimPath = ("sub",)
    teams: tuple[TeamRule, ...] = ()
    groups: ClaimPath | None = None
    require: tuple[ClaimIs, ...] = ()
    """All of these must hold."""
    grants: tuple[GrantRule, ...] = ()
    """What no rule fits is not narrowed."""
    roles: tuple[RoleRule, ...] = ()
    exchange_seconds: float | None = None
    """How long a key lasts at most for which a token is traded; None: none is traded."""


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """Whom a client certificate stands for. Exactly one of the first two is set."""

    team: str
    user: str
    """`service:<user>` is the subject."""
    spiffe: str | None = None
    """A URI among its alternative names, letter by letter."""
    subject: str | None = None
    """Its subject as RFC 4514 spells it, `CN=search-api,O=Acme`."""
    grant: Grant = UNNARROWED


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """Proxies that say in headers who asks. From any other address these headers mean nothing."""

    addresses: tuple[Network, ...]
    user_header: str
    team_header: str | None = None
    """Exactly one of these two is set."""
    team: str | None = None
    groups_header: str | None = None
    """Comma-separated."""


@dataclass(frozen=True, slots=True)
class Identity:
    """All that `identity.yaml` says. Without the file: nobody but the gateway itself vouches for anybody."""

    issuers: Mapping[str, Issuer] = field(default_factory=lambda: MappingProxyType({}))
    """By their names here."""
    certificates: tuple[CertificateRule, ...] = ()
    proxies: tuple[TrustedProxy, ...] = ()
    forwarders: tuple[Network, ...] = ()
    """Load balancers whose `x-forwarded-for` is believed: what they add is the client's address."""
