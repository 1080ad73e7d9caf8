"""Facts about `gateway/policies/identity_file.py`. The messages are in tests/golden/policies/identity."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.core.grant import Grant
from gateway.core.identity import CertificateRule, Identity, TrustedProxy
from gateway.policies.compiler import compile_policies
from gateway.policies.identity_file import Identities
from gateway.policies.loader import load_policies, read_files
from gateway.policies.reading import IDENTITY
from gateway.wire.endpoints import SERVED

ROOT = Path(__file__).parents[3]
READY = sorted((ROOT / "deploy" / "identity").glob("*.yaml"))
HOUSE = {"upstreams": {"openai"}, "endpoints": {endpoint.name for endpoint in SERVED}}


def test_a_file_that_says_nothing_is_good() -> None:
    assert Identities().compiled() == Identity()


def test_issuers_know_their_names() -> None:
    ci = {"issuer": "https://ci.example.com", "audiences": ["gateway"], "team": "search"}

    identity = Identities.model_validate({"issuers": {"ci": ci}}).compiled()

    assert [(name, issuer.name) for name, issuer in identity.issuers.items()] == [("ci", "ci")]


def test_certificates_stand_for_services() -> None:
    identity = Identities.model_validate(
        {
            "certificates": [
                {"spiffe": "spiffe://example.org/a", "team": "search", "user": "a", "read_only": True},
                {"subject": "CN=b,O=Acme", "team": "search", "user": "b"},
            ]
        }
    ).compiled()

    assert identity.certificates == (
        CertificateRule("search", "a", spiffe="spiffe://example.org/a", grant=Grant(read_only=True)),
        CertificateRule("search", "b", subject="CN=b,O=Acme"),
    )


def test_proxies_are_believed_from_their_addresses() -> None:
    identity = Identities.model_validate(
        {
            "proxies": [
                {"addresses": ["10.0.0.7"], "user_header": "X-User", "team": "search"},
                {
                    "addresses": ["10.1.0.0/16"],
                    "user_header": "X-User",
                    "team_header": "X-Team",
                    "groups_header": "X-Groups",
                },
            ],
            "forwarders": ["10.2.0.0/16"],
        }
    ).compiled()

    assert identity.proxies == (
        TrustedProxy((ip_network("10.0.0.7/32"),), "x-user", team="search"),
        TrustedProxy((ip_network("10.1.0.0/16"),), "x-user", team_header="x-team", groups_header="x-groups"),
    )
    assert identity.forwarders == (ip_network("10.2.0.0/16"),)


def test_the_shipped_file_vouches_for_nobody() -> None:
    assert load_policies(ROOT / "policies", **HOUSE).identity == Identity()


@pytest.mark.parametrize("file", READY, ids=lambda path: path.stem)
def test_a_ready_example_is_good_in_the_shipped_house(file: Path) -> None:
    files = read_files(ROOT / "policies") | {IDENTITY: file.read_bytes()}

    identity = compile_policies(files, **HOUSE).identity

    assert identity.issuers or identity.certificates or identity.proxies


@pytest.mark.parametrize("file", READY, ids=lambda path: path.stem)
def test_the_docs_show_a_ready_example_as_it_is(file: Path) -> None:
    page = (ROOT / "docs" / "identity.md").read_text(encoding="utf-8")

    assert f"```yaml\n{file.read_text(encoding='utf-8')}```\n" in page
    assert f"(../deploy/identity/{file.name})" in page


def test_there_is_a_ready_example_for_each_provider_that_people_ask_for() -> None:
    assert {file.stem for file in READY} >= {
        *("entra", "okta", "keycloak", "kubernetes", "github-actions", "gitlab"),
        *("certificates", "proxy"),
    }
