"""Addresses and networks of clients. The law: an address that cannot be told is in no network."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gateway.core.identity import Network
from gateway.core.incoming import Arrival

_Address = IPv4Address | IPv6Address


def network(text: str) -> Network:
    """The network of `10.0.0.0/8`, or of the one address `10.0.0.7`. Raises ValueError with a sentence."""
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"`{text[:64]}` is no network, such as `10.0.0.0/8` or `2001:db8::/32`") from None
    if "/" in text and ip_network(text.partition("/")[0]).network_address != loose.network_address:
        raise ValueError(f"`{text}` is an address within a network; the network is `{loose}`")
    return loose


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of these networks."""
    found = _address(address)
    return found is not None and any(found in each for each in networks)


def client_address(arrival: Arrival, forwarders: Sequence[Network]) -> str:
    """Where a request comes from: the other end of the connection; or, when that is a forwarder, the last
    entry of `x-forwarded-for` that is none. What stands before that entry was said by anybody.

    Empty when it cannot be told.
    """
    peer = arrival.peer
    if not forwarders or not is_within(peer, forwarders):
        return _spelled(peer)
    address = peer
    for entry in reversed(_forwarded_for(arrival)):
        address = _without_port(entry)
        if not is_within(address, forwarders):
            break
    return _spelled(address)


def _forwarded_for(arrival: Arrival) -> list[str]:
    fields = arrival.headers.getall("x-forwarded-for", [])
    return [entry.strip() for entry in ",".join(fields).split(",")] if fields else []


def _without_port(entry: str) -> str:
    """`10.0.0.7` of `10.0.0.7:4711`, `2001:db8::1` of `[2001:db8::1]:4711`, as some balancers write it."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _address(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _spelled(text: str) -> str:
    """In one way, whoever wrote it."""
    address = _address(text)
    return "" if address is None else str(address)
