"""What stands in policy files: `organization.yaml`, `models.yaml`, `prices.yaml`, one file for each team, and
`identity.yaml`, which has files of its own here.

Organization, team and key say the same things; what a key says goes before what its team says, and that
before what the organization says (see `resolve.py`). `gateway policies schema` prints all as JSON Schema.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.json_schema import models_json_schema

from gateway.core.decision import Mode
from gateway.core.policy import AllowList, Catalogue, Model, Price, Unpriced, WhenClientLeaves
from gateway.policies.budget_rules import BudgetSpelling
from gateway.policies.filter_rules import FilterSpelling
from gateway.policies.identity_file import Identities
from gateway.policies.limit_rules import LimitSpelling
from gateway.policies.price_lines import NO_PRICES, ModelName, Prices
from gateway.policies.rule import HolderName, NamePattern, Node
from gateway.policies.shaping_rules import ShapingSpelling

RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Description = Annotated[str, Field(max_length=500)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**9)]


def _quoted(text: Any) -> Any:
    if isinstance(text, int | float):
        raise ValueError("must stand in quotes, or it is a number, whose leading zeros do not count")
    return text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of text, without spaces around it")
    return text


CostCentre = Annotated[
    str,
    Field(min_length=1, max_length=100),
    BeforeValidator(_quoted, json_schema_input_type=str),
    AfterValidator(_printable),
]


class Allowed(Node):
    """Names that may be used. What is not listed is denied, as strictly as `mode` says."""

    allow: list[NamePattern]
    """Names, in which `*` stands for any run of characters."""
    mode: Mode = Mode.ENFORCE
    """`off`, `shadow`, `warn` or `enforce`."""

    def compiled(self) -> AllowList:
        return AllowList(names=tuple(self.allow), mode=self.mode)


def _in_full(value: Any) -> Any:
    return {"allow": value} if isinstance(value, list) else value


AllowedSpelling = Annotated[
    Allowed, BeforeValidator(_in_full, json_schema_input_type=list[NamePattern] | Allowed)
]


class Overrides(Node):
    """What organization, team and key can each say."""

    endpoints: AllowedSpelling | None = None
    """The endpoints that may be used: a list, or `{allow: [...], mode: warn}`. Replaces an inherited list."""
    models: AllowedSpelling | None = None
    """The models that may be used, by their names in models.yaml. Replaces an inherited list."""
    objects: Mode | None = None
    """Whether requests may name upstream objects (files, stored responses ...). `enforce` refuses them: the
    gateway cannot tell yet which team they belong to."""
    limits: dict[RuleName, LimitSpelling] = Field(default_factory=dict)
    """Limits by name. A limit of the same name takes the place of the inherited one."""
    budgets: dict[RuleName, BudgetSpelling] = Field(default_factory=dict)
    """Budgets by name: what may be spent in a day, a week or a month. Inherited as limits are."""
    filters: dict[RuleName, FilterSpelling] = Field(default_factory=dict)
    """Filters by name: what must not be said."""
    shaping: dict[RuleName, ShapingSpelling] = Field(default_factory=dict)
    """Changes to requests, by name."""
    unpriced: Unpriced | None = None
    """What is done about usage that has no price in prices.yaml. `refuse` does not send it; `ceiling` charges
    the book's ceiling; `alarm`, unless it is said: the cost is unknown, and told."""
    when_client_leaves: WhenClientLeaves | None = None
    """What becomes of an answer whose client is gone. `cancel`, unless it is said: the upstream is told to
    stop, and what passed is counted; `drain`: it is read to its end for the provider's own count."""


class Organization(Overrides):
    """`organization.yaml`: what holds for everyone unless a team or a key says otherwise."""


class Key(Overrides):
    """What holds for one key of a team, by the name under which the key was created."""

    description: Description = ""
    """For people."""
    cost_centre: CostCentre | None = None
    """To whom finance charges what it spends; its team's unless it is said."""


class Team(Overrides):
    """A team's file."""

    team: HolderName
    """The team's name, as in its keys, its reports and its metrics."""
    description: Description = ""
    """For people."""
    cost_centre: CostCentre | None = None
    """To whom finance charges what the team spends, as a text of finance's own. In reports alone."""
    keys: dict[HolderName, Key] = Field(default_factory=dict)
    """Keys that differ from their team, by name."""


class ModelSpelling(Node):
    """One model of the catalogue."""

    upstream: str
    """The configured upstream that serves it."""
    upstream_model: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """What that upstream calls it (Azure: the deployment); the same name when it is not said."""
    context_window: Tokens | None = None
    """Tokens of input and output together."""
    max_output: Tokens | None = None
    """Tokens that one answer can have."""
    encoding: Literal["o200k_base", "cl100k_base"] = "o200k_base"
    """The vocabulary by which its tokens are counted."""
    deprecated: date | None = None
    """The date on which it goes away. Callers are warned."""
    replacement: ModelName | None = None
    """The model of this catalogue to use instead."""

    @model_validator(mode="after")
    def _fits_its_window(self) -> Self:
        if self.context_window and self.max_output and self.max_output > self.context_window:
            raise ValueError("`max_output` is above `context_window`, which holds input and output together")
        return self

    def compiled(self, name: str, prices: tuple[Price, ...] = ()) -> Model:
        return Model(
            name=name,
            upstream=self.upstream,
            upstream_model=self.upstream_model or name,
            context_window=self.context_window,
            max_output=self.max_output,
            prices=prices,
            deprecated=self.deprecated.isoformat() if self.deprecated else None,
            replacement=self.replacement,
            encoding=self.encoding,
        )


class Models(Node):
    """`models.yaml`: every model of the house, and other names for them."""

    models: Annotated[dict[ModelName, ModelSpelling], Field(min_length=1)]
    """Models by the name that clients ask for."""
    aliases: dict[ModelName, ModelName] = Field(default_factory=dict)
    """Other names, each for one of the models."""

    def compiled(self, book: Prices = NO_PRICES, price_version: str = "") -> Catalogue:
        models = {name: model.compiled(name, book.lines_of(name)) for name, model in self.models.items()}
        return Catalogue(
            models=MappingProxyType(models),
            aliases=MappingProxyType(dict(self.aliases)),
            price_version=price_version,
            ceiling=book.ceiling.compiled() if book.ceiling else None,
        )


class FileKind(StrEnum):
    ORGANIZATION = "organization"
    MODELS = "models"
    PRICES = "prices"
    IDENTITY = "identity"
    TEAM = "team"


SCHEMAS: Final[Mapping[FileKind, type[Node]]] = MappingProxyType(
    {
        FileKind.ORGANIZATION: Organization,
        FileKind.MODELS: Models,
        FileKind.PRICES: Prices,
        FileKind.IDENTITY: Identities,
        FileKind.TEAM: Team,
    }
)


def json_schema(kind: FileKind | None = None) -> dict[str, Any]:
    """The JSON Schema of one kind of file, or of all, for editors and other tools."""
    models = [SCHEMAS[each] for each in FileKind if kind in (None, each)]
    _, schema = models_json_schema([(model, "validation") for model in models])
    files = [{"$ref": f"#/$defs/{model.__name__}"} for model in models]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": files, **schema}
