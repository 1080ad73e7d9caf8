"""What can only be seen with all files on the table: names that point nowhere, and teams that stand twice."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from gateway.core.patterns import matches
from gateway.policies.problems import Problem
from gateway.policies.reading import Files, Source
from gateway.policies.rule import Node, SwitchedOff
from gateway.policies.schema import Models, Organization, Overrides, Team
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
    if files.organization:
        yield from _check_level(files.organization, (), files.organization.content, known)
        yield from _check_switches(files.organization, (), files.organization.content, ())
    for team in files.teams:
        yield from _check_team(team, files.organization, known)
    yield from _check_names(files.teams)


def _check_models(source: Source[Models], known: Known) -> Iterator[Problem]:
    models = source.content.models
    for name, model in models.items():
        if model.upstream not in known.upstreams:
            message = (
                f"no upstream `{model.upstream}` is configured{_similar(model.upstream, known.upstreams)}"
            )
            yield source.problem("models", name, "upstream", message=message)
        if model.replacement is not None and model.replacement not in models:
            message = f"no model `{model.replacement}`{_similar(model.replacement, models)}"
            yield source.problem("models", name, "replacement", message=message)
    for alias, target in source.content.aliases.items():
        if alias in models:
            yield source.problem("aliases", alias, message="is already the name of a model")
        elif target not in models:
            yield source.problem("aliases", alias, message=f"no model `{target}`{_similar(target, models)}")


def _check_team(
    source: Source[Team], organization: Source[Organization] | None, known: Known
) -> Iterator[Problem]:
    levels: list[tuple[Path, Overrides]] = [((), source.content)]
    levels += [(("keys", name), key) for name, key in source.content.keys.items()]
    for path, level in levels:
        yield from _check_level(source, path, level, known)
        if organization is not None:
            above = (organization.content, source.content) if path else (organization.content,)
            yield from _check_switches(source, path, level, above)


def _check_names(teams: Iterable[Source[Team]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for source in teams:
        name = source.content.team
        if first.setdefault(name, source.file) != source.file:
            yield source.problem("team", message=f"team `{name}` already stands in {first[name]}")


def _check_level(source: Source[Node], path: Path, level: Overrides, known: Known) -> Iterator[Problem]:
    """Patterns that match nothing: most likely a name that is misspelt, and a rule that never applies."""
    for place, pattern in _endpoint_patterns(level):
        if not _matches_any(pattern, known.endpoints):
            message = f"`{pattern}` is no endpoint{_similar(pattern, known.endpoints)}"
            yield source.problem(*path, *place, message=message)
    if known.models is None:
        return
    for place, pattern in _model_patterns(level):
        if not _matches_any(pattern, known.models):
            yield source.problem(*path, *place, message=_no_model(pattern, known.models, known.aliases))


def _check_switches(
    source: Source[Node], path: Path, level: Overrides, above: tuple[Overrides, ...]
) -> Iterator[Problem]:
    for kind in ("limits", "filters", "shaping"):
        inherited = {name for higher in above for name in getattr(higher, kind)}
        for name, rule in getattr(level, kind).items():
            if isinstance(rule, SwitchedOff) and name not in inherited:
                yield source.problem(*path, kind, name, message="switches off a rule that is not inherited")


def _model_patterns(level: Overrides) -> Iterator[tuple[Path, str]]:
    if level.models:
        for index, pattern in enumerate(level.models.allow):
            yield ("models", "allow", index), pattern
    for kind, rules in (("limits", level.limits), ("shaping", level.shaping)):
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
    return f"`{pattern}` is no model of models.yaml{_similar(pattern, models)}"


def _matches_any(pattern: str, names: Collection[str]) -> bool:
    return pattern in names or any(matches((pattern,), name) for name in names)


def _similar(name: str, names: Collection[str]) -> str:
    found = get_close_matches(name, names, n=1)
    return f"; did you mean `{found[0]}`?" if found else ""
