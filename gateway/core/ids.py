"""Ids of our own making: ordered by time, so that ledgers and logs sort by them."""

from random import getrandbits

from gateway.core.clock import Clock


def new_id(prefix: str, clock: Clock) -> str:
    """`prefix_` and 32 hexadecimal digits: 48 bits of milliseconds since 1970, then 80 random bits."""
    return f"{prefix}_{int(clock.now() * 1000):012x}{getrandbits(80):020x}"
