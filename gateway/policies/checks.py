"""What can only be seen with all files on the table: names that point nowhere, and teams that stand twice."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.policies.identity_checks import check_identity
from gateway.policies.known import Known
from gateway.policies.levels import Level, families_of
from gateway.policies.price_book_checks import check_price_book
from gateway.policies.problems import Problem, did_you_mean
from gateway.policies.reading import Files, Source
from gateway.policies.rule import SwitchedOff
from gateway.policies.schema import Models, Overrides, Team
from gateway.wire.document import Path


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
    if files.identity:
        yield from check_identity(files.identity, known)


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
    """A pattern that matches nothing is a rule that never applies."""
    for place, pattern in _endpoint_patterns(level.says):
        if complaint := known.complaint_of_endpoint(pattern):
            yield level.problem(*place, message=complaint)
    for place, pattern in _model_patterns(level.says):
        if complaint := known.complaint_of_model(pattern):
            yield level.problem(*place, message=complaint)


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
