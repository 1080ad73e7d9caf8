"""Facts about `gateway/auth/network/proxies.py`."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.network.proxies import principal_from
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.identity import TrustedProxy
from gateway.core.principal import CredentialKind, Principal
from tests.support.memory import MemoryIncoming

INSIDE = (ip_network("10.0.0.0/24"),)
OF_ONE_TEAM = TrustedProxy(INSIDE, "x-user", team="search")
OF_MANY = TrustedProxy(INSIDE, "x-user", team_header="x-team", groups_header="x-groups")


def by_proxy(*fields: tuple[str, str], peer: str = "10.0.0.7") -> MemoryIncoming:
    arrival = MemoryIncoming(peer=peer)
    for name, value in fields:
        arrival.headers.add(name, value)
    return arrival


def test_a_proxy_says_who_asks() -> None:
    assert principal_from(by_proxy(("X-User", " alice@example.com ")), [OF_ONE_TEAM], 1000) == Principal(
        subject="user:alice@example.com",
        team="search",
        key_id="proxy",
        key_name="proxy",
        kind=CredentialKind.PROXY,
        issued_at=1000,
    )


def test_a_proxy_may_say_the_team_and_the_groups() -> None:
    arrival = by_proxy(("x-user", "alice"), ("x-team", "ads"), ("x-groups", "a, b ,,c"))

    found = principal_from(arrival, [OF_MANY], 0)

    assert isinstance(found, Principal)
    assert (found.team, found.groups) == ("ads", {"a", "b", "c"})


@pytest.mark.parametrize("peer", ["10.0.1.7", "192.0.2.1", "::1", ""])
def test_what_anybody_else_says_means_nothing(peer: str) -> None:
    arrival = by_proxy(("x-user", "alice"), ("x-forwarded-for", "10.0.0.7"), peer=peer)

    assert principal_from(arrival, [OF_ONE_TEAM], 0) is None


@pytest.mark.parametrize("fields", [[], [("x-user", "")], [("x-user", "  ")], [("x-team", "search")]])
def test_a_proxy_that_names_nobody_says_nothing(fields: list[tuple[str, str]]) -> None:
    assert principal_from(by_proxy(*fields), [OF_ONE_TEAM, OF_MANY], 0) is None


def refusal(arrival: MemoryIncoming, proxy: TrustedProxy) -> tuple[ErrorCode, str]:
    deny = principal_from(arrival, [proxy], 0)
    assert isinstance(deny, Deny)
    assert deny.rule == "auth.proxy"
    return deny.code, deny.reason


@pytest.mark.parametrize("name", ["x-user", "x-team", "x-groups"])
def test_what_is_said_twice_is_not_believed(name: str) -> None:
    """The first could be the client's own."""
    said = [("x-user", "alice"), ("x-team", "search"), ("x-groups", "a")]

    code, reason = refusal(by_proxy((name, "admin"), *said), OF_MANY)

    assert (code, reason) == (ErrorCode.BAD_REQUEST, f"The header {name} was sent more than once.")


@pytest.mark.parametrize("value", ["x" * 129, "al\tice", "al\x7fice", "al\u202eice", "al\udcffice"])
def test_what_is_no_name_is_not_believed(value: str) -> None:
    code, reason = refusal(by_proxy(("x-user", value)), OF_ONE_TEAM)

    assert code is ErrorCode.BAD_REQUEST
    assert value not in reason


def test_a_proxy_says_so_many_groups_at_most() -> None:
    groups = ",".join(map(str, range(201)))

    code, _ = refusal(by_proxy(("x-user", "a"), ("x-team", "search"), ("x-groups", groups)), OF_MANY)

    assert code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("team", [[], [("x-team", "")]])
def test_who_belongs_to_no_team_may_do_nothing(team: list[tuple[str, str]]) -> None:
    code, _ = refusal(by_proxy(("x-user", "alice"), *team), OF_MANY)

    assert code is ErrorCode.PERMISSION_DENIED


def test_the_first_proxy_that_names_somebody_decides() -> None:
    other = TrustedProxy(INSIDE, "x-service", team="ads")

    found = principal_from(by_proxy(("x-service", "bidder")), [OF_ONE_TEAM, other], 0)

    assert isinstance(found, Principal)
    assert found.team == "ads"


@given(st.text())
def test_whatever_a_proxy_says_a_subject_is_short_and_printable(text: str) -> None:
    found = principal_from(by_proxy(("x-user", text)), [OF_ONE_TEAM], 0)

    if isinstance(found, Principal):
        assert found.subject.isprintable()
        assert len(found.subject) <= 133
