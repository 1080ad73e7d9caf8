"""What limits and budgets have in common: whom they count together, and in which unit."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.core.policy import Counted, Scope
from gateway.policies.rule import Node

_MICRO: Final = 1_000_000

_NONSENSE: Final[Mapping[frozenset[Scope], str]] = MappingProxyType(
    {
        frozenset({Scope.ORGANIZATION, Scope.TEAM}): (
            "`organization` counts all teams together, and `team` each by itself: choose one"
        ),
        frozenset({Scope.ORGANIZATION, Scope.KEY}): (
            "a key belongs to one team, so there is nothing to add up over the organization: say `key`"
        ),
    }
)


def microdollars(dollars: Decimal) -> int:
    """Whole micro-dollars, by which money is counted. For amounts with at most six decimal places."""
    return int(dollars * _MICRO)


def exactly_one_of(*units: str) -> dict[str, Any]:
    """The same for tools that read the JSON Schema."""
    return {"oneOf": [{"required": [unit]} for unit in units]}


def _listed(scopes: Any) -> Any:
    return [scopes] if isinstance(scopes, str) else scopes


def _meaningful(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """In one order, the widest first, so that what means the same is the same; a team's parts are its own."""
    if not scopes:
        raise ValueError("must not be empty")
    for scope in scopes:
        if scopes.count(scope) > 1:
            raise ValueError(f"has `{scope}` twice")
    for pair, why in _NONSENSE.items():
        if pair <= set(scopes):
            raise ValueError(why)
    implied = {Scope.TEAM} if len(scopes) > 1 else set()
    return tuple(scope for scope in Scope if scope in scopes and scope not in implied)


_ScopeList = Annotated[list[Scope], Field(min_length=1, json_schema_extra={"uniqueItems": True})]

Scopes = Annotated[
    tuple[Scope, ...],
    BeforeValidator(_listed, json_schema_input_type=Scope | _ScopeList),
    AfterValidator(_meaningful),
]

_A = TypeVar("_A", bound=int)


class Counting(Node, Generic[_A]):
    """Has exactly one of these, which says what is counted and how much of it."""

    requests: _A | None = None
    """So many requests."""
    tokens: _A | None = None
    """So many tokens, input and output together."""
    input_tokens: _A | None = None
    """So many tokens of input, cached ones included."""
    output_tokens: _A | None = None
    """So many tokens of output, reasoning included."""
    images: _A | None = None
    """So many images that were made."""
    audio_seconds: _A | None = None
    """So many seconds of audio that were transcribed or translated, each request's rounded up."""

    @property
    def counts(self) -> Counted:
        return next(unit for unit in Counted if getattr(self, unit, None) is not None)

    @property
    def amount(self) -> int:
        return int(getattr(self, self.counts))


UNITS: Final = tuple(Counting.model_fields)
"""What limits and budgets can both count."""
