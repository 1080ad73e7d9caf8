"""What the pretended provider charges: a small list of its own, by which costs are exact to the pico-dollar.

A pico-dollar for a token is a micro-dollar for a million of them. Long contexts cost what short ones do. What
is not in the list costs what `_ANY` says.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.simulator.bill import Bill

PICO: Final = 10**12
"""Pico-dollars in a dollar."""


class Price(NamedTuple):
    """Pico-dollars each. A part of the tokens for which nothing is said costs what the total costs."""

    input: int = 0
    cached: int | None = None
    output: int = 0
    audio_input: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    image: int = 0
    character: int = 0
    second: int = 0


class Item(NamedTuple):
    """A line of the invoice."""

    name: str
    quantity: int
    unit: str
    amount: int
    """Pico-dollars."""


_ANY: Final = Price(input=1_000_000, output=4_000_000)

PRICES: Final[Mapping[str, Price]] = {
    "gpt-6-sol": Price(input=2_000_000, cached=200_000, output=10_000_000),
    "gpt-6-luna": Price(input=100_000, cached=10_000, output=500_000),
    "gpt-5": Price(input=1_250_000, cached=125_000, output=10_000_000),
    "gpt-5-mini": Price(input=250_000, cached=25_000, output=2_000_000),
    "gpt-4.1": Price(input=2_000_000, cached=500_000, output=8_000_000),
    "gpt-4.1-mini": Price(input=400_000, cached=100_000, output=1_600_000),
    "gpt-4o": Price(input=2_500_000, cached=1_250_000, output=10_000_000),
    "gpt-4o-mini": Price(input=150_000, cached=75_000, output=600_000),
    "o3": Price(input=2_000_000, cached=500_000, output=8_000_000),
    "o4-mini": Price(input=1_100_000, cached=275_000, output=4_400_000),
    "gpt-3.5-turbo-instruct": Price(input=1_500_000, output=2_000_000),
    "text-embedding-3-small": Price(input=20_000),
    "text-embedding-3-large": Price(input=130_000),
    "omni-moderation-latest": Price(),
    "gpt-image-2": Price(
        input=5_000_000, cached=1_250_000, image_input=8_000_000, output=30_000_000, image_output=30_000_000
    ),
    "gpt-image-1.5": Price(
        input=5_000_000, cached=1_250_000, image_input=8_000_000, output=10_000_000, image_output=32_000_000
    ),
    "gpt-image-1": Price(
        input=5_000_000, cached=1_250_000, image_input=10_000_000, output=40_000_000, image_output=40_000_000
    ),
    "dall-e-3": Price(image=40_000_000_000),
    "dall-e-2": Price(image=20_000_000_000),
    "gpt-4o-mini-tts": Price(input=600_000, output=12_000_000),
    "tts-1": Price(character=15_000_000),
    "gpt-transcribe": Price(second=75_000_000),
    "gpt-4o-transcribe": Price(input=2_500_000, audio_input=6_000_000, output=10_000_000),
    "whisper-1": Price(second=100_000_000),
}

_HALVES: Final[Mapping[str, int]] = {"flex": 1, "batch": 1, "priority": 4}
"""What a tier costs, in halves of the standard price."""

_SNAPSHOT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def items(model: str, bill: Bill, tier: str = "default") -> Iterator[Item]:
    """The lines of what was used, also of what costs nothing."""
    price = PRICES.get(model) or PRICES.get(_SNAPSHOT.sub("", model), _ANY)
    special = bill.cached_tokens + bill.audio_input_tokens + bill.image_input_tokens
    made = bill.output_tokens - bill.image_output_tokens
    for name, quantity, unit, each in (
        ("input_tokens", bill.input_tokens - special, "tokens", price.input),
        ("cached_input_tokens", bill.cached_tokens, "tokens", price.cached),
        ("audio_input_tokens", bill.audio_input_tokens, "tokens", price.audio_input),
        ("image_input_tokens", bill.image_input_tokens, "tokens", price.image_input),
        ("output_tokens", made, "tokens", price.output),
        ("image_output_tokens", bill.image_output_tokens, "tokens", price.image_output),
        ("images", bill.images if price.image else 0, "images", price.image),
        ("characters", bill.characters if price.character else 0, "characters", price.character),
        ("duration_seconds", bill.seconds if price.second else 0, "duration_seconds", price.second),
    ):
        if quantity:
            rate = _total_rate(price, name) if each is None else each
            yield Item(f"{model}, {name}", quantity, unit, quantity * rate * _HALVES.get(tier, 2) // 2)


def _total_rate(price: Price, name: str) -> int:
    return price.input if "input" in name else price.output
