"""What can only be seen with all files on the table: names that point nowhere, and teams that stand twice."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from gateway.core.patterns import matches
from gateway.policies.levels import Level, families_of
from gateway.policies.price_book_checks import check_price_book
from gateway.policies.problems import Problem, did_you_mean
from gateway.policies.reading import Files, Source
from gateway.policies.rule import SwitchedOff
from gateway.policies.schema import Models, Overrides, Team
from gateway.wire.document import Path


@dataclass(frozen=True, slots=True)
class Known:
    """The names that files may refer to."""

    upstreams: Collection[str]
    endpoints: Collection[str]
    models: Collection[str] | None
    """None while models.yaml cannot be read: then names of models are not judged."""
    aliases: Mapping[str, str]

    @classmethod
    def of(cls, files: Files, upstreams: Collection[str], endpoints: Collection[str]) -> Self:
        content = files.models.content if files.models else None
        models = content.models.keys() if content else None
        return cls(upstreams, endpoints, models, content.aliases if content else {})


def check(files: Files, known: Known) -> Iterator[Problem]:
    """All mistakes that no file shows by itself."""
    if files.models:
        yield from _check_models(files.models, known)
    if files.prices:
        yield from check_price_book(
            files.prices, models=known.models, aliases=known.aliases, upstreams=known.upstreams
        )
    for family in families_of(files):
        for level in family:
            yield from _check_patterns(level, known)
            if files.organization:
                yield from _check_switches(level)
    yield from _check_names(files.teams)


def _check_models(source: Source[Models], known: Known) -> Iterator[Problem]:
    models = source.content.models
    for name, model in models.items():
        if model.upstream not in known.upstreams:
            message = (
                f"no upstream `{model.upstream}` is configured{did_you_mean(model.upstream, known.upstreams)}"
            )
            yield source.problem("models", name, "upstream", message=message)
        if model.replacement is not None and model.replacement not in models:
            message = f"no model `{model.replacement}`{did_you_mean(model.replacement, models)}"
            yield source.problem("models", name, "replacement", message=message)
    for alias, target in source.content.aliases.items():
        if alias in models:
            yield source.problem("aliases", alias, message="is already the name of a model")
        elif target not in models:
            yield source.problem(
                "aliases", alias, message=f"no model `{target}`{did_you_mean(target, models)}"
            )


def _check_names(teams: Iterable[Source[Team]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for source in teams:
        name = source.content.team
        if first.setdefault(name, source.file) != source.file:
            yield source.problem("team", message=f"team `{name}` already stands in {first[name]}")


def _check_patterns(level: Level, known: Known) -> Iterator[Problem]:
    """Patterns that match nothing: most likely a name that is misspelt, and a rule that never applies."""
    for place, pattern in _endpoint_patterns(level.says):
        if not _matches_any(pattern, known.endpoints):
            message = f"`{pattern}` is no endpoint{did_you_mean(pattern, known.endpoints)}"
            yield level.problem(*place, message=message)
    if known.models is None:
        return
    for place, pattern in _model_patterns(level.says):
        if not _matches_any(pattern, known.models):
            yield level.problem(*place, message=_no_model(pattern, known.models, known.aliases))


def _check_switches(level: Level) -> Iterator[Problem]:
    for kind in ("limits", "budgets", "filters", "shaping"):
        inherited = {name for higher in level.inherits for name in getattr(higher.says, kind)}
        for name, rule in getattr(level.says, kind).items():
            if isinstance(rule, SwitchedOff) and name not in inherited:
                yield level.problem(kind, name, message="switches off a rule that is not inherited")


def _model_patterns(level: Overrides) -> Iterator[tuple[Path, str]]:
    if level.models:
        for index, pattern in enumerate(level.models.allow):
            yield ("models", "allow", index), pattern
    for kind, rules in (("limits", level.limits), ("budgets", level.budgets), ("shaping", level.shaping)):
        yield from _rule_patterns(kind, rules, "models")


def _endpoint_patterns(level: Overrides) -> Iterator[tuple[Path, str]]:
    if level.endpoints:
        for index, pattern in enumerate(level.endpoints.allow):
            yield ("endpoints", "allow", index), pattern
    yield from _rule_patterns("shaping", level.shaping, "endpoints")


def _rule_patterns(kind: str, rules: Mapping[str, Any], member: str) -> Iterator[tuple[Path, str]]:
    for name, rule in rules.items():
        for index, pattern in enumerate(getattr(rule, member, ())):
            yield (kind, name, member, index), pattern


def _no_model(pattern: str, models: Collection[str], aliases: Mapping[str, str]) -> str:
    if pattern in aliases:
        return f"`{pattern}` is an alias; name the model it stands for, `{aliases[pattern]}`"
    return f"`{pattern}` is no model of models.yaml{did_you_mean(pattern, models)}"


def _matches_any(pattern: str, names: Collection[str]) -> bool:
    return pattern in names or any(matches((pattern,), name) for name in names)
