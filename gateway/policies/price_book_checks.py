"""What is wrong with the price book as a whole: lines of which nobody could say which one holds, and lines
that never do.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from gateway.policies.price_lines import LineSpelling, Prices
from gateway.policies.problems import Problem, did_you_mean
from gateway.policies.reading import Source


def check_price_book(
    source: Source[Prices],
    *,
    models: Collection[str] | None,
    aliases: Mapping[str, str],
    upstreams: Collection[str],
) -> Iterator[Problem]:
    """`models`: None while models.yaml cannot be read; then their names are not judged."""
    for name, lines in source.content.models.items():
        if models is not None and name not in models:
            yield source.problem("models", name, message=_no_model(name, models, aliases))
        if all(line.tier for line in lines):
            message = "has no line without `tier`: what is answered in the standard tier would have no price"
            yield source.problem("models", name, message=message)
        for index, line in enumerate(lines):
            yield from _check_upstream(source, ("models", name, index), line, upstreams)
            yield from _check_rival(source, name, lines, index)
            yield from _check_step(source, name, lines, index)


def _check_upstream(
    source: Source[Prices], place: tuple[str | int, ...], line: LineSpelling, upstreams: Collection[str]
) -> Iterator[Problem]:
    if line.upstream is not None and line.upstream not in upstreams:
        message = f"no upstream `{line.upstream}` is configured{did_you_mean(line.upstream, upstreams)}"
        yield source.problem(*place, "upstream", message=message)


def _check_rival(
    source: Source[Prices], model: str, lines: Sequence[LineSpelling], index: int
) -> Iterator[Problem]:
    """Of two lines that fit the same attempts the second is told."""
    line = lines[index]
    rivals = (earlier for earlier, other in enumerate(lines[:index]) if other.kind == line.kind)
    for rival in rivals:
        if _overlap(lines[rival], line):
            where = source.problem("models", model, rival, message="").line
            message = (
                f"holds for the same attempts as the line of {source.file}:{where}, and on some of the same "
                "days: say in `from` and `until` when one gives way to the other"
            )
            yield source.problem("models", model, index, message=message)
            return


def _check_step(
    source: Source[Prices], model: str, lines: Sequence[LineSpelling], index: int
) -> Iterator[Problem]:
    """A price for long input alone leaves short input without one."""
    line = lines[index]
    upstream, tier, above = line.kind
    if not above or any(other.kind == (upstream, tier, 0) and _overlap(other, line) for other in lines):
        return
    said = [f"`{key}: {value}`" for key, value in (("tier", tier), ("upstream", upstream)) if value]
    alike = f", with {' and '.join(said)}" if said else ""
    message = f"needs a line without `above`{alike} for the same days: attempts with less input have no price"
    yield source.problem("models", model, index, "above", message=message)


def _no_model(name: str, models: Collection[str], aliases: Mapping[str, str]) -> str:
    if name in aliases:
        return f"is an alias: name the model it stands for, `{aliases[name]}`"
    return f"is no model of models.yaml{did_you_mean(name, models)}"


def _overlap(one: LineSpelling, other: LineSpelling) -> bool:
    return one.since < other.end and other.since < one.end
