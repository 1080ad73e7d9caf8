"""Facts about `gateway/auth/network/addresses.py`."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.network.addresses import client_address, is_within, network
from gateway.core.identity import Network
from tests.support.memory import MemoryIncoming

FORWARDERS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def arriving(peer: str, *forwarded_for: str) -> MemoryIncoming:
    arrival = MemoryIncoming(peer=peer)
    for value in forwarded_for:
        arrival.headers.add("X-Forwarded-For", value)
    return arrival


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.7", "10.0.0.7/32"),
        ("10.0.0.7/32", "10.0.0.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_is_read_as_people_write_it(text: str, told: str) -> None:
    assert str(network(text)) == told


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "`` is no network"),
        ("office", "`office` is no network, such as `10.0.0.0/8`"),
        ("10.0.0.0/33", "`10.0.0.0/33` is no network"),
        ("10.0.0", "is no network"),
        ("10.0.0.7/8", "`10.0.0.7/8` is an address within a network; the network is `10.0.0.0/8`"),
        ("2001:db8::1/32", "the network is `2001:db8::/32`"),
        ("x" * 10_000, "is no network"),
    ],
)
def test_what_is_no_network_is_told_in_a_short_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="network") as wrong:
        network(text)
    assert sentence in str(wrong.value)
    assert len(str(wrong.value)) < 200


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe80::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("", False),
        ("localhost", False),
        ("10.1.2.3:80", False),
        ("010.1.2.3", False),
    ],
)
def test_an_address_is_in_a_network_or_not(address: str, within: bool) -> None:
    assert is_within(address, FORWARDERS) is within


def test_no_address_is_in_no_network() -> None:
    assert not is_within("10.1.2.3", ())


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("", [], ""),
    ],
)
def test_a_client_is_where_its_forwarder_saw_it(peer: str, forwarded_for: list[str], client: str) -> None:
    assert client_address(arriving(peer, *forwarded_for), FORWARDERS) == client


@pytest.mark.parametrize("forwarded_for", ["198.51.100.9", "10.0.0.9", "127.0.0.1", "anything"])
def test_what_anybody_else_says_of_where_it_comes_from_means_nothing(forwarded_for: str) -> None:
    assert client_address(arriving("192.0.2.1", forwarded_for), FORWARDERS) == "192.0.2.1"
    assert client_address(arriving("10.0.0.1", forwarded_for), ()) == "10.0.0.1"


@pytest.mark.parametrize(
    "claimed", ["198.51.100.9", "10.0.0.9", "nonsense", "", "198.51.100.9, 198.51.100.8"]
)
def test_what_a_client_wrote_before_its_forwarder_means_nothing(claimed: str) -> None:
    assert client_address(arriving("10.0.0.1", f"{claimed}, 192.0.2.1"), FORWARDERS) == "192.0.2.1"
    assert client_address(arriving("10.0.0.1", claimed, "192.0.2.1"), FORWARDERS) == "192.0.2.1"


@pytest.mark.parametrize("last", ["unknown", "", "_hidden", "192.0.2.1 192.0.2.2"])
def test_where_a_forwarder_cannot_tell_the_address_is_in_no_network(last: str) -> None:
    """Not even in the forwarder's own, nor is what stands before it believed."""
    address = client_address(arriving("10.0.0.1", f"10.0.0.9, {last}"), FORWARDERS)
    assert address == ""
    assert not is_within(address, [network("0.0.0.0/0")])


@given(said=st.text(max_size=40), seen=st.ip_addresses(v=4, network="192.0.2.0/24"))
def test_whatever_a_client_says_it_is_where_it_was_seen(said: str, seen: Network) -> None:
    assert client_address(arriving("10.0.0.1", f"{said}, {seen}"), FORWARDERS) == str(seen)
