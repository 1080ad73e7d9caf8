"""How far a credential reaches, within what its team may do."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Grant:
    """What one credential narrows. It never widens: its team's policy holds as well."""

    endpoints: tuple[str, ...] = ("*",)
    """Endpoints that it may ask, as patterns of their names in the endpoint table."""
    models: tuple[str, ...] = ("*",)
    """Models that it may name, as patterns of the catalogue's names."""
    read_only: bool = False
    """Whether it may only look: nothing but GET."""
    requests_per_minute: int | None = None
    """Limits and a budget of its own, counted for this key alone. None: it has none."""
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    dollars_per_month: int | None = None
    """Micro-dollars, by the calendar of UTC."""

    @property
    def has_limits(self) -> bool:
        """Whether it brings limits or a budget of its own."""
        own = self.requests_per_minute, self.tokens_per_minute, self.concurrent, self.dollars_per_month
        return any(amount is not None for amount in own)


UNNARROWED: Final = Grant()
