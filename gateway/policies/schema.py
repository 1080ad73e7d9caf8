"""What stands in policy files: `organization.yaml`, `models.yaml`, and one file for each team.

Organization, team and key say the same things; what a key says goes before what its team says, and that
before what the organization says (see `resolve.py`). `gateway policies schema` prints all as JSON Schema.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.json_schema import models_json_schema

from gateway.core.decision import Mode
from gateway.core.policy import AllowList, Catalogue, Model, Price
from gateway.policies.budget_rules import BudgetSpelling
from gateway.policies.counting import microdollars
from gateway.policies.filter_rules import FilterSpelling
from gateway.policies.limit_rules import LimitSpelling
from gateway.policies.rule import NamePattern, Node
from gateway.policies.shaping_rules import ShapingSpelling

RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
HolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@._:/+-]{0,127}$")]
Description = Annotated[str, Field(max_length=500)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Dollars = Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=6)]


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


class Organization(Overrides):
    """`organization.yaml`: what holds for everyone unless a team or a key says otherwise."""


class Key(Overrides):
    """What holds for one key of a team, by the name under which the key was created."""

    description: Description = ""
    """For people."""


class Team(Overrides):
    """A team's file."""

    team: HolderName
    """The team's name, as in its keys, its reports and its metrics."""
    description: Description = ""
    """For people."""
    keys: dict[HolderName, Key] = Field(default_factory=dict)
    """Keys that differ from their team, by name."""


class PriceSpelling(Node):
    """US dollars: tokens and characters by the million, images by the piece, audio by the minute."""

    input: Dollars | None = None
    cached_input: Dollars | None = None
    audio_input: Dollars | None = None
    image_input: Dollars | None = None
    output: Dollars | None = None
    audio_output: Dollars | None = None
    image_output: Dollars | None = None
    image: Dollars | None = None
    audio_minute: Dollars | None = None
    characters: Dollars | None = None

    def compiled(self) -> Price:
        return Price(**{unit: microdollars(dollars) for unit, dollars in self if dollars is not None})


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
    price: PriceSpelling | None = None
    """What it costs. A model without a price is metered, and its cost shown as unpriced."""
    deprecated: date | None = None
    """The date on which it goes away. Callers are warned."""
    replacement: ModelName | None = None
    """The model of this catalogue to use instead."""

    @model_validator(mode="after")
    def _fits_its_window(self) -> Self:
        if self.context_window and self.max_output and self.max_output > self.context_window:
            raise ValueError("`max_output` is above `context_window`, which holds input and output together")
        return self

    def compiled(self, name: str) -> Model:
        return Model(
            name=name,
            upstream=self.upstream,
            upstream_model=self.upstream_model or name,
            context_window=self.context_window,
            max_output=self.max_output,
            price=self.price.compiled() if self.price else None,
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

    def compiled(self) -> Catalogue:
        models = {name: model.compiled(name) for name, model in self.models.items()}
        return Catalogue(models=MappingProxyType(models), aliases=MappingProxyType(dict(self.aliases)))


class FileKind(StrEnum):
    ORGANIZATION = "organization"
    MODELS = "models"
    TEAM = "team"


SCHEMAS: Final[Mapping[FileKind, type[Node]]] = MappingProxyType(
    {FileKind.ORGANIZATION: Organization, FileKind.MODELS: Models, FileKind.TEAM: Team}
)


def json_schema(kind: FileKind | None = None) -> dict[str, Any]:
    """The JSON Schema of one kind of file, or of all, for editors and other tools."""
    models = [SCHEMAS[each] for each in FileKind if kind in (None, each)]
    _, schema = models_json_schema([(model, "validation") for model in models])
    files = [{"$ref": f"#/$defs/{model.__name__}"} for model in models]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": files, **schema}
