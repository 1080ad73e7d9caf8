"""`identity.yaml`: who vouches for callers that have no key of this gateway."""

from types import MappingProxyType
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from gateway.core.identity import CertificateRule, Identity, TrustedProxy
from gateway.policies.counting import exactly_one_of
from gateway.policies.identity_values import HeaderName, NetworkText, SpiffeId, Subject
from gateway.policies.issuer_rules import IssuerSpelling, Reach
from gateway.policies.rule import HolderName, Node

Networks = Annotated[list[NetworkText], Field(min_length=1)]


class CertificateSpelling(Reach):
    """Whom a client certificate stands for."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("spiffe", "subject"))

    spiffe: SpiffeId | None = None
    """A SPIFFE id: a URI among its alternative names."""
    subject: Subject | None = None
    """Or its whole subject, as RFC 4514 spells it: `CN=search-api,O=Acme`."""
    team: HolderName
    """The team that it belongs to."""
    user: HolderName
    """What the service is called here, in reports and limits; team files may give it a policy in `keys`."""

    @model_validator(mode="after")
    def _has_one_name(self) -> Self:
        if (self.spiffe is None) == (self.subject is None):
            raise ValueError("must have exactly one of `spiffe` and `subject`")
        return self

    def compiled(self) -> CertificateRule:
        return CertificateRule(
            team=self.team,
            user=self.user,
            spiffe=self.spiffe,
            subject=self.subject,
            grant=self.granted(),
        )


class ProxySpelling(Node):
    """Proxies that say in headers who asks."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("team", "team_header"))

    addresses: Networks
    """Their networks. From any other address the headers mean nothing."""
    user_header: HeaderName
    """The header with the caller's name. The proxy must set it, or take it away, in every request."""
    team: HolderName | None = None
    """The team of all who come by it."""
    team_header: HeaderName | None = None
    """Or the header with the caller's team."""
    groups_header: HeaderName | None = None
    """The header with the caller's groups, separated by commas."""

    @model_validator(mode="after")
    def _says_a_team(self) -> Self:
        if (self.team is None) == (self.team_header is None):
            raise ValueError("must have exactly one of `team` and `team_header`")
        headers = [name for name in (self.user_header, self.team_header, self.groups_header) if name]
        if len(set(headers)) < len(headers):
            raise ValueError("has one header for two things")
        return self

    def compiled(self) -> TrustedProxy:
        return TrustedProxy(
            addresses=tuple(self.addresses),
            user_header=self.user_header,
            team_header=self.team_header,
            team=self.team,
            groups_header=self.groups_header,
        )


class Identities(Node):
    """`identity.yaml`: who vouches for callers that have no key of this gateway."""

    issuers: dict[HolderName, IssuerSpelling] = Field(default_factory=dict)
    """Whose tokens are believed, by the name that each has here."""
    certificates: list[CertificateSpelling] = Field(default_factory=list)
    """Whom client certificates stand for. The first that fits decides."""
    proxies: list[ProxySpelling] = Field(default_factory=list)
    """Proxies whose word is believed. The first that says somebody decides."""
    forwarders: list[NetworkText] = Field(default_factory=list)
    """Networks of load balancers whose `x-forwarded-for` is believed."""

    def compiled(self) -> Identity:
        issuers = {name: issuer.compiled(name) for name, issuer in self.issuers.items()}
        return Identity(
            issuers=MappingProxyType(issuers),
            certificates=tuple(rule.compiled() for rule in self.certificates),
            proxies=tuple(proxy.compiled() for proxy in self.proxies),
            forwarders=tuple(self.forwarders),
        )
