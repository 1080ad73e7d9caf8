"""Money, moments and numbers, as sentences and tables say them to people."""

from datetime import UTC, datetime
from decimal import Decimal


def dollars(microdollars: int, *, sign: bool = False) -> str:
    """US dollars to the micro-dollar. `sign`: a difference, so that more is seen to be more."""
    return format(Decimal(microdollars).scaleb(-6), "+,.6f" if sign and microdollars else ",.6f")


def spelled(moment: int) -> str:
    """A moment, in milliseconds since 1970: `2026-11-01 02:10 UTC`."""
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def many(number: int, noun: str) -> str:
    """`1 attempt`, `2,000 attempts`: nouns whose plural ends in s."""
    return f"{number:,} {noun}" if abs(number) == 1 else f"{number:,} {noun}s"
