"""Client certificates as callers. The handshake has verified them; here it is told whom each stands for."""

from collections.abc import Iterable

from gateway.core.identity import CertificateRule
from gateway.core.incoming import Certificate
from gateway.core.principal import CredentialKind, Principal


def principal_of(certificate: Certificate, rules: Iterable[CertificateRule]) -> Principal | None:
    """Whom the first rule that fits says; None when no rule is about this certificate."""
    rule = next((rule for rule in rules if _is_about(rule, certificate)), None)
    if rule is None:
        return None
    return Principal(
        subject=f"service:{rule.user}",
        team=rule.team,
        key_id=f"cert:{rule.user}",
        key_name=rule.user,
        kind=CredentialKind.CERTIFICATE,
        grant=rule.grant,
        issued_at=certificate.issued_at,
    )


def _is_about(rule: CertificateRule, certificate: Certificate) -> bool:
    """Letter by letter. A SPIFFE id is the only URI of its certificate, as its standard has it."""
    if rule.spiffe is not None:
        return certificate.uris == (rule.spiffe,)
    return bool(certificate.subject) and certificate.subject == rule.subject
