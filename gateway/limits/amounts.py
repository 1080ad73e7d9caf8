"""What an exchange spends, in every unit that a limit can count. Pure."""

from typing import Final, NamedTuple

from gateway.core.usage import Usage

_MILLISECONDS: Final = 1000


class Amounts(NamedTuple):
    """Whole numbers under the names of `Counted`: `getattr(amounts, limit.counts)` is what a limit counts."""

    requests: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    audio_seconds: int = 0
    """Rounded up."""
    dollars: int = 0
    """Micro-dollars; 0 for what has no price."""
    concurrent: int = 0
    """Slots. Always given back."""

    def plus(self, more: "Amounts") -> "Amounts":
        """Both together."""
        return Amounts(*map(sum, zip(self, more, strict=True)))


NOTHING: Final = Amounts()


def amounts_of(usage: Usage, cost: int | None) -> Amounts:
    """What one request of this usage spends. Usage below nothing, if an upstream tells of it, is nothing."""
    given, taken = max(0, usage.input_tokens), max(0, usage.output_tokens)
    return Amounts(
        1,
        given + taken,
        given,
        taken,
        max(0, usage.images),
        -(-max(0, usage.audio_milliseconds) // _MILLISECONDS),
        max(0, cost or 0),
        1,
    )
