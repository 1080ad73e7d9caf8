"""Facts about `gateway/auth/network/certificates.py`."""

import pytest

from gateway.auth.network.certificates import principal_of
from gateway.core.grant import Grant
from gateway.core.identity import CertificateRule
from gateway.core.incoming import Certificate
from gateway.core.principal import CredentialKind, Principal

SPIFFE = "spiffe://example.org/ns/search/sa/indexer"
NARROW = Grant(read_only=True)
RULES = (
    CertificateRule("search", "indexer", spiffe=SPIFFE, grant=NARROW),
    CertificateRule("ads", "bidder", subject="CN=bidder,O=Acme"),
)


def test_a_certificate_stands_for_a_service() -> None:
    assert principal_of(Certificate("CN=whatever", (SPIFFE,), 1000), RULES) == Principal(
        subject="service:indexer",
        team="search",
        key_id="cert:indexer",
        key_name="indexer",
        kind=CredentialKind.CERTIFICATE,
        grant=NARROW,
        issued_at=1000,
    )


def test_a_certificate_is_known_by_its_whole_subject_too() -> None:
    found = principal_of(Certificate("CN=bidder,O=Acme"), RULES)

    assert found is not None
    assert (found.subject, found.team) == ("service:bidder", "ads")


@pytest.mark.parametrize(
    "certificate",
    [
        Certificate(""),
        Certificate("CN=bidder"),
        Certificate("CN=bidder,O=Acme,C=DE"),
        Certificate("cn=bidder,o=acme"),
        Certificate(SPIFFE),
        Certificate("CN=x", ("CN=bidder,O=Acme",)),
        Certificate("CN=x", (SPIFFE + "/more",)),
        Certificate("CN=x", (SPIFFE.upper(),)),
        Certificate("CN=x", (SPIFFE, "https://example.org")),
        Certificate("CN=x", ("spiffe://example.org/other", SPIFFE)),
    ],
)
def test_a_certificate_that_is_only_alike_stands_for_nobody(certificate: Certificate) -> None:
    assert principal_of(certificate, RULES) is None


def test_the_first_rule_that_fits_decides() -> None:
    both = Certificate("CN=bidder,O=Acme", (SPIFFE,))

    first, last = principal_of(both, RULES), principal_of(both, RULES[::-1])

    assert (first and first.team, last and last.team) == ("search", "ads")


def test_a_rule_for_no_subject_is_about_nobody() -> None:
    assert principal_of(Certificate(""), [CertificateRule("search", "x", subject="")]) is None
