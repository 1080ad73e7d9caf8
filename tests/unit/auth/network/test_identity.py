"""Facts about `gateway/auth/network/identity.py`."""

from ipaddress import ip_network

import pytest

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.network.identity import NetworkIdentity
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import CertificateRule, Identity, TrustedProxy
from gateway.core.incoming import Certificate
from gateway.core.principal import CredentialKind, Principal
from tests.support.clock import ManualClock
from tests.support.memory import MemoryIncoming

NOW = 1_795_000_000
SHOWN = Certificate("CN=indexer", issued_at=NOW)
RULES = (CertificateRule("search", "indexer", subject="CN=indexer"),)
PROXIES = (TrustedProxy((ip_network("10.0.0.0/24"),), "x-user", team="search"),)
BOTH = Identity(certificates=RULES, proxies=PROXIES)


class Taken:
    """`Revocations` that know one, of a user."""

    def __init__(self, user: str = "", since: int = 0, until: int = 0) -> None:
        self._one = Revocation("r1", RevocationKind.USER, user, since, until, at=0, by="cli:test")

    def covers(self, principal: Principal) -> Revocation | None:
        spans = self._one.since <= principal.issued_at <= self._one.until
        return self._one if spans and principal.subject == self._one.value else None


def identify(
    arrival: MemoryIncoming, identity: Identity = BOTH, taken: Taken | None = None
) -> Principal | Deny | None:
    return NetworkIdentity(
        identity=lambda: identity, revocations=taken or Taken(), clock=ManualClock(NOW)
    ).identify(arrival)


def kind_of(found: Principal | Deny | None) -> CredentialKind | ErrorCode | None:
    if isinstance(found, Principal):
        assert found.issued_at == NOW
        return found.kind
    return found.code if found else None


def vouched(user: str = "alice", **more: Certificate) -> MemoryIncoming:
    return MemoryIncoming(headers={"x-user": user}, peer="10.0.0.7", **more)


def test_a_proxy_goes_before_a_certificate_which_may_be_its_own() -> None:
    assert kind_of(identify(vouched(certificate=SHOWN))) is CredentialKind.PROXY


@pytest.mark.parametrize(
    "arrival",
    [
        MemoryIncoming(certificate=SHOWN),
        vouched("", certificate=SHOWN),
        MemoryIncoming(headers={"x-user": "alice"}, peer="192.0.2.1", certificate=SHOWN),
    ],
)
def test_where_no_proxy_says_anything_the_certificate_does(arrival: MemoryIncoming) -> None:
    assert kind_of(identify(arrival)) is CredentialKind.CERTIFICATE


def test_without_either_nobody_is_known() -> None:
    assert identify(MemoryIncoming()) is None
    assert identify(vouched(certificate=SHOWN), Identity()) is None


def test_a_certificate_that_stands_for_nobody_is_told_so() -> None:
    deny = identify(MemoryIncoming(certificate=Certificate("CN=stranger")))

    assert isinstance(deny, Deny)
    assert (deny.code, deny.rule) == (ErrorCode.INVALID_API_KEY, "auth.network")
    assert "stranger" not in deny.reason


def test_what_a_proxy_says_that_cannot_be_used_is_not_made_good_by_a_certificate() -> None:
    assert kind_of(identify(vouched("al\tice", certificate=SHOWN))) is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("arrival", "user"),
    [(vouched(), "user:alice"), (MemoryIncoming(certificate=SHOWN), "service:indexer")],
)
def test_who_was_taken_back_for_a_time_is_kept_out_until_then(arrival: MemoryIncoming, user: str) -> None:
    assert kind_of(identify(arrival, taken=Taken(user, until=NOW))) is ErrorCode.INVALID_API_KEY
    assert isinstance(identify(arrival, taken=Taken(user, until=NOW - 1)), Principal)


def test_the_rules_are_those_of_the_moment() -> None:
    rules = [Identity(), BOTH]
    network = NetworkIdentity(identity=lambda: rules.pop(0), revocations=Taken(), clock=ManualClock(NOW))

    assert network.identify(vouched()) is None
    assert network.identify(vouched()) is not None
