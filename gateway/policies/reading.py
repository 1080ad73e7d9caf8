"""One policy file: its bytes in, its meaning or its mistakes out.

Its path says which kind it is: `organization.yaml`, `models.yaml`, `prices.yaml`, `identity.yaml`; every
other one is a team's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.policies.identity_file import Identities
from gateway.policies.price_lines import Prices
from gateway.policies.problems import Problem, did_you_mean
from gateway.policies.rule import Node
from gateway.policies.schema import SCHEMAS, FileKind, Models, Organization, Team, json_schema
from gateway.wire.document import Document, Mistake, Path, read_document

ORGANIZATION: Final = "organization.yaml"
MODELS: Final = "models.yaml"
PRICES: Final = "prices.yaml"
IDENTITY: Final = "identity.yaml"

_KINDS: Final[Mapping[str, FileKind]] = {
    ORGANIZATION: FileKind.ORGANIZATION,
    MODELS: FileKind.MODELS,
    PRICES: FileKind.PRICES,
    IDENTITY: FileKind.IDENTITY,
}
_EMPTY: Final = "is empty: fill it in, or take it out"
_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "string_type": lambda _: "must be text",
    "bool_type": lambda _: "must be `true` or `false`",
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "decimal_type": lambda _: "must be an amount in dollars, such as 2.50",
    "decimal_parsing": lambda _: "must be an amount in dollars, such as 2.50",
    "finite_number": lambda _: "must be an amount in dollars, such as 2.50",
    "decimal_max_places": lambda _: "has more than six decimal places: money is counted in micro-dollars",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a mapping",
    "model_type": lambda _: "must be a mapping",
    "date_type": lambda _: "must be a date, such as 2027-01-14",
    "date_from_datetime_parsing": lambda _: "must be a date, such as 2027-01-14",
    "date_from_datetime_inexact": lambda _: "must be a date, such as 2027-01-14",
    "enum": lambda facts: f"must be {_quoted(facts['expected'])}",
    "literal_error": lambda facts: f"must be {_quoted(facts['expected'])}",
    "greater_than": lambda facts: f"must be more than {facts['gt']:,}",
    "greater_than_equal": lambda facts: f"must be at least {facts['ge']:,}",
    "less_than_equal": lambda facts: f"must be at most {facts['le']:,}",
    "string_too_long": lambda facts: f"must have at most {facts['max_length']} characters",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "too_long": lambda facts: f"must have at most {facts['max_length']} items",
    "string_pattern_mismatch": lambda facts: f"is not a usable name: it must match {facts['pattern']}",
    "value_error": lambda facts: str(facts["error"]),
}


_C_co = TypeVar("_C_co", bound=Node | None, covariant=True)
_N = TypeVar("_N", bound=Node)


@dataclass(frozen=True, slots=True)
class Source(Generic[_C_co]):
    """One file as it was read. `content` is None when there are mistakes."""

    file: str
    content: _C_co
    document: Document

    def problem(self, *path: str | int, message: str) -> Problem:
        return self._problem(self.document.mistake(path, message))

    @property
    def problems(self) -> list[Problem]:
        return [self._problem(mistake) for mistake in self.document.mistakes]

    def _problem(self, mistake: Mistake) -> Problem:
        path = ".".join(str(step) for step in mistake.path if step != "")
        return Problem(self.file, mistake.line, path, mistake.message)


@dataclass(frozen=True, slots=True)
class Files:
    """Those files that could be read, by kind."""

    organization: Source[Organization] | None
    models: Source[Models] | None
    prices: Source[Prices] | None
    identity: Source[Identities] | None
    teams: list[Source[Team]]
    has_all_teams: bool
    """Whether every team's file could be read."""

    @classmethod
    def of(cls, sources: Iterable[Source[Node | None]]) -> Self:
        sources = list(sources)
        organization = next(_only(sources, Organization), None)
        models = next(_only(sources, Models), None)
        prices = next(_only(sources, Prices), None)
        identity = next(_only(sources, Identities), None)
        teams = list(_only(sources, Team))
        of_teams = sum(kind_of(source.file) is FileKind.TEAM for source in sources)
        return cls(organization, models, prices, identity, teams, len(teams) == of_teams)


def _only(sources: Iterable[Source[Node | None]], kind: type[_N]) -> Iterator[Source[_N]]:
    for source in sources:
        if isinstance(source.content, kind):
            yield Source(source.file, source.content, source.document)


def kind_of(file: str) -> FileKind:
    return _KINDS.get(file, FileKind.TEAM)


def read_source(file: str, content: bytes) -> Source[Node | None]:
    """Read one file. Its mistakes are all in the source's `problems`."""
    document = read_document(content)
    if document.mistakes:
        return Source(file, None, document)
    kind = kind_of(file)
    value = {} if document.value is None else document.value
    node: Node | None = None
    mistakes = [document.mistake(path, _EMPTY) for path in _empty_places(value, ())]
    empty = {mistake.path for mistake in mistakes}
    try:
        node = SCHEMAS[kind].model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        wrong = [document.mistake(detail["loc"], _sentence(detail, kind)) for detail in details]
        mistakes += [mistake for mistake in wrong if mistake.path not in empty]
    document.mistakes += mistakes
    return Source(file, None if mistakes else node, document)


def _sentence(detail: ErrorDetails, kind: FileKind) -> str:
    """What is wrong, in words for a person who writes policies."""
    if detail["type"] == "missing":
        return f"`{detail['loc'][-1]}` is missing"
    if detail["type"] == "extra_forbidden":
        return _unknown(str(detail["loc"][-1]), kind)
    sentence = _SENTENCES.get(detail["type"])
    return sentence(detail.get("ctx", {})) if sentence else detail["msg"]


def _unknown(key: str, kind: FileKind) -> str:
    nodes = json_schema(kind)["$defs"].values()
    known = {name for node in nodes for name in node.get("properties", ())}
    if key in known:
        return "does not belong here"
    return f"unknown key{did_you_mean(key, known)}"


def _empty_places(value: Any, path: Path) -> Iterator[Path]:
    """Keys with nothing after them. Only a `value` may be null."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "value":
                continue
            if child is None:
                yield (*path, key)
            yield from _empty_places(child, (*path, key))


def _quoted(expected: str) -> str:
    return expected.replace("'", "`")
