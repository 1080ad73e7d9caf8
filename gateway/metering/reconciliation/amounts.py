"""What two books are compared by: places and amounts. Whole numbers only; money is micro-dollars."""

from dataclasses import dataclass
from typing import Final, NamedTuple


class Place(NamedTuple):
    """What is compared with what."""

    day: int
    """Days since 1970, in UTC."""
    upstream: str
    """Several that share a project there are one: `openai+openai_backup`."""
    model: str
    """As the provider names it."""


class Amounts(NamedTuple):
    """Of one place; or a difference, in which each may be below zero."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    """Contained in the input."""
    output_tokens: int = 0
    cost: int = 0

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: "Amounts") -> "Amounts":
        return Amounts(*(mine + yours for mine, yours in zip(self, other, strict=True)))

    def minus(self, other: "Amounts") -> "Amounts":
        return Amounts(*(mine - yours for mine, yours in zip(self, other, strict=True)))

    def above(self) -> "Amounts":
        """What is above zero of it."""
        return Amounts(*(max(amount, 0) for amount in self))

    def below(self) -> "Amounts":
        """What is below zero of it."""
        return Amounts(*(min(amount, 0) for amount in self))

    def within(self, bounds: "Amounts") -> "Amounts":
        """What of it is not further from zero than the bounds."""
        pairs = zip(self, bounds, strict=True)
        return Amounts(*(max(-bound, min(amount, bound)) for amount, bound in pairs))

    def sizes(self) -> "Amounts":
        """Without signs."""
        return Amounts(*map(abs, self))


NOTHING: Final = Amounts()


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider says of a place."""

    amounts: Amounts = NOTHING
    tells_tokens: bool = False
    """Whether it counts tokens there. Images and sound it counts in other units, and tells no tokens."""

    def plus(self, other: "Counted") -> "Counted":
        return Counted(self.amounts.plus(other.amounts), self.tells_tokens or other.tells_tokens)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says of a place."""

    amounts: Amounts = NOTHING
    """Its requests are attempts, also those that failed: the sums of a day do not tell them apart."""
    estimated: int = 0
    """Attempts that used something by our own count."""
    unpriced: int = 0
    """Attempts whose cost is missing."""

    def plus(self, other: "Recorded") -> "Recorded":
        return Recorded(
            self.amounts.plus(other.amounts),
            self.estimated + other.estimated,
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """What only the lines of a place can tell. Retention may have taken some of them."""

    number: int = 0
    """Settlements that are still there."""
    failed: int = 0
    """Attempts that the provider refused, or never got: it counts none of them."""
    bound: Amounts = NOTHING
    """By how much the estimated attempts may be wrong: each by itself, or by what it was admitted for,
    whichever is more."""

    from_before: Amounts = NOTHING
    """Of attempts that were admitted before that day began: a provider may count them for the day before."""

    def plus(self, other: "Lines") -> "Lines":
        return Lines(
            self.number + other.number,
            self.failed + other.failed,
            self.bound.plus(other.bound),
            self.from_before.plus(other.from_before),
        )
