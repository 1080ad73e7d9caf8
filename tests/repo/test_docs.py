"""The pages of docs/ say what the code says: every setting, error code, endpoint, metric, log event, rule and
command has its place there, with its facts, and nothing is named that does not exist.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import pytest
import typer
from prometheus_client import Gauge
from pydantic import BaseModel, SecretStr

from gateway.cli.main import command
from gateway.core.decision import Deny, Mode
from gateway.core.errors import ERRORS, ErrorCode, GatewayError
from gateway.core.exchange import Outcome
from gateway.core.policy import Counted, FilterKind, Policy, Scope, ShapingKind
from gateway.filters.secrets import SECRETS
from gateway.metering.reconciliation.textfile import METRICS
from gateway.policies.reading import read_source
from gateway.policies.resolve import refined
from gateway.policies.schema import Models, Overrides, json_schema
from gateway.settings.sections import AdminTokenSettings, FurtherUpstreamSettings, UpstreamSettings
from gateway.settings.tree import Settings
from gateway.telemetry.exchange_log import log_exchange
from gateway.telemetry.metrics import Metrics
from gateway.wire.endpoints import SERVED, endpoint_table
from tests.repo.pages import blocks, names_in, page, pages, rows
from tests.repo.tree import ROOT, modules
from tests.support.exchanges import served_exchange

Row = list[str]


def code(*names: object) -> str:
    """How names stand in a cell: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in names)


def row_of(name: str, text: str) -> Row:
    """The row of a page's tables that begins with this name; none: an empty one."""
    return next((row for row in rows(text) if row[0] == code(name)), [])


def first_cells(name: str) -> set[str]:
    """What the rows of a page's tables are about."""
    return {row[0].strip("`") for row in rows(page(name))}


def lacking(where: str, name: str, wanted: Iterable[str], text: str) -> Iterator[str]:
    """What the row of this name does not say."""
    row = row_of(name, text)
    if not row:
        yield f"{where} has no row for `{name}`"
        return
    yield from (f"{where}: the row of `{name}` does not say {cell}" for cell in wanted if cell not in row)


def untold(where: str, what: str, names: Iterable[str], told: Iterable[str]) -> list[str]:
    """One sentence for each name that is not told."""
    return [f"{where} does not tell of the {what} `{name}`" for name in sorted(set(names) - set(told))]


# settings


def settings_of(model: type[BaseModel] = Settings, prefix: str = "GATEWAY_") -> Iterator[tuple[str, str]]:
    """Every setting by its variable, and its default as the page writes it."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{variable}__")
        elif name == "upstreams":
            yield from further_upstreams(f"{variable}__<NAME>__")
        elif name == "admin_tokens":
            yield from settings_of(AdminTokenSettings, f"{variable}__<NAME>__")
        else:
            default = field.get_default(call_default_factory=True)
            yield variable, "required" if field.is_required() else spelled(default)


def further_upstreams(prefix: str) -> Iterator[tuple[str, str]]:
    """Those of their settings that are not as for the first upstream, which the page says of all others."""
    first = dict(settings_of(UpstreamSettings, prefix))
    yield from set(settings_of(FurtherUpstreamSettings, prefix)) - set(first.items())


def spelled(default: Any) -> str:
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    if value in (None, "", []):
        return "none"
    return code(int(value) if isinstance(value, float) and value.is_integer() else value)


def variables_in(text: str) -> set[str]:
    return set(re.findall(r"\bGATEWAY_[A-Z0-9_<>]*[A-Z0-9>]", text))


def is_a_setting(variable: str) -> bool:
    """Whether a variable that a page names exists; with the name of any upstream or token, or `_FILE`."""
    known = {"GATEWAY_CONFIG_FILE", *dict(settings_of())}
    any_name = r"__(<NAME>|[A-Z0-9_]+?)(?=__|$)"
    name = re.sub(f"^GATEWAY_UPSTREAMS{any_name}", "GATEWAY_UPSTREAM", variable)
    name = re.sub(f"^GATEWAY_ADMIN_TOKENS{any_name}", "GATEWAY_ADMIN_TOKENS__<NAME>", name)
    meant = {name, name.removesuffix("_FILE"), f"{name}__KIND", f"{name}__TOKEN"}
    return not meant.isdisjoint(known)


def test_every_setting_has_its_row_with_its_default() -> None:
    text = page("settings.md")
    assert [s for name, default in settings_of() for s in lacking("settings.md", name, [default], text)] == []


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    kubernetes = {"GATEWAY_SERVICE_HOST", "GATEWAY_SERVICE_PORT", "GATEWAY_PORT", "GATEWAY_LISTN"}
    named = {(file, name) for file, text in pages().items() for name in variables_in(text) - kubernetes}
    assert [f"{file} names {name}" for file, name in sorted(named) if not is_a_setting(name)] == []


# errors and endpoints


def test_every_error_code_has_its_row_with_its_status() -> None:
    text = page("errors.md")
    assert [
        sentence
        for name, kind in ERRORS.items()
        for sentence in lacking("errors.md", name, [str(kind.status), code(kind.type), kind.owner], text)
    ] == []


def test_every_served_endpoint_has_its_row_with_its_path_and_unit() -> None:
    text = page("endpoints.md")
    assert [
        sentence
        for endpoint in SERVED
        for sentence in lacking(
            "endpoints.md", endpoint.name, [code(f"{endpoint.method} {endpoint.path}"), endpoint.meter], text
        )
    ] == []


def test_every_reason_for_which_operations_are_refused_is_told() -> None:
    reasons = {endpoint.refusal for endpoint in endpoint_table().endpoints if endpoint.refusal}
    told = {cell for row in rows(page("endpoints.md")) for cell in row}
    assert untold("endpoints.md", "reason", reasons, told) == []


def test_the_default_model_of_every_endpoint_is_told() -> None:
    text = page("endpoints.md")
    assert [
        f"endpoints.md: the row of `{endpoint.name}` does not say `{endpoint.default_model}`"
        for endpoint in SERVED
        if endpoint.default_model not in (None, *names_in("".join(row_of(endpoint.name, text))))
    ] == []


# metrics and logs


def metrics() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every metric as it is queried: name, type, labels."""
    for collector in Metrics().registry._collector_to_names:  # Prometheus' library has no public way to ask
        labels = getattr(collector, "_labelnames" if isinstance(collector, Gauge) else "_labels")
        for family in collector.collect():
            yield family.name + "_total" * (family.type == "counter"), family.type, tuple(labels)


def test_every_metric_has_its_row_with_its_type_and_labels() -> None:
    text = page("metrics.md")
    assert [
        sentence
        for name, kind, labels in metrics()
        for sentence in lacking("metrics.md", name, [kind, code(*labels) if labels else ""], text)
    ] == []


def test_every_metric_that_a_page_names_is_one() -> None:
    known = {name for name, _, _ in metrics()} | set(METRICS)
    named = {
        (file, name)
        for file, text in pages().items()
        for name in re.findall(r"\b(?:gateway|gen_ai)_\w+(?:_total|_seconds|_usage)\b", text)
    }
    assert [f"{file} names {name}" for file, name in sorted(named) if name not in known] == []


DENY: Final = Deny(ErrorCode.RATE_LIMIT_EXCEEDED, "Too soon.", "limits.key-requests", Mode.WARN)


class _Lines:
    """Takes lines as a logger does."""

    def __init__(self) -> None:
        self.fields: set[str] = set()

    def info(self, event: str, *, fields: Mapping[str, Any]) -> None:
        self.fields |= fields.keys()

    error = warning = info


def test_every_field_of_the_log_line_is_told() -> None:
    lines: Any = _Lines()
    log_exchange(lines, served_exchange(notes=[DENY], error=GatewayError(DENY.code, DENY.reason)))
    told = {name for row in rows(page("metrics.md")) for name in names_in(row[0])}
    assert {"request_id", "notes", "code", "cost_microdollars"} <= lines.fields
    assert untold("metrics.md", "log line's field", lines.fields, told) == []


def events() -> set[str]:
    """The name of every line that the gateway logs, from its code."""
    calls = [node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    logged = [
        call.args[0]
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("debug", "info", "warning", "error")
        and call.args
    ]
    return {
        str(node.value)
        for argument in logged
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_event_of_the_log_is_told() -> None:
    assert {"exchange", "redis_back", "internal_error"} <= events()
    assert untold("metrics.md", "log event", events(), names_in(page("metrics.md"))) == []


def test_every_outcome_is_told() -> None:
    assert untold("journey.md", "outcome", Outcome, first_cells("journey.md")) == []


# policies


def examples(*texts: str) -> list[tuple[str, str]]:
    """Blocks of YAML whose first line says which policy file they are: `# teams/search.yaml`."""
    found = [block.text for text in texts for block in blocks(text, "yaml")]
    return [(name[1], text) for text in found if (name := re.match(r"# (\S+\.yaml)\n", text))]


def kinds_in(rules: Policy) -> Iterator[StrEnum]:
    for limit in (*rules.limits, *rules.budgets):
        yield from (limit.counts, *limit.per, limit.mode)
    for rule in (*rules.filters, *rules.shaping):
        yield from (rule.kind, rule.mode)


@pytest.mark.parametrize(("name", "text"), examples(*pages().values()))
def test_an_example_of_a_policy_file_is_taken(name: str, text: str) -> None:
    assert list(map(str, read_source(name, text.encode()).problems)) == []


def test_every_kind_of_rule_has_an_example() -> None:
    shown: set[StrEnum] = set()
    for name, text in examples(page("policies.md")):
        content = read_source(name, text.encode()).content
        if isinstance(content, Overrides):
            catalogue = Models(models={"m": {"upstream": "openai"}}).compiled()
            shown |= set(kinds_in(refined(Policy(team="", version="", catalogue=catalogue), content)))
    every = {*FilterKind, *ShapingKind, *Counted, *Scope, *Mode} - {Mode.OFF}  # what is off is not there
    assert untold("policies.md", "kind, by an example,", every, shown) == []


def test_every_mode_is_explained() -> None:
    assert untold("policies.md", "mode", Mode, first_cells("policies.md")) == []


def test_every_key_of_policy_files_is_named() -> None:
    keys = {key for node in json_schema()["$defs"].values() for key in node.get("properties", ())}
    text = page("policies.md")
    shown = re.findall(r"(\w+):", "\n".join(block.text for block in blocks(text, "yaml")))
    assert untold("policies.md", "key", keys, {*names_in(text), *shown}) == []


def test_every_maker_of_known_secrets_is_named() -> None:
    makers = {secret.name.split()[1] for secret in SECRETS} - {"key"}  # an OpenAI key; a key of this gateway
    told = re.findall(r"\w+", " ".join(cell for row in rows(page("filters.md")) for cell in row))
    assert untold("filters.md", "secret of", makers, told) == []


# commands


def commands(group: Any, path: str = "gateway") -> Iterator[tuple[str, list[str]]]:
    """Every command as it is typed, and its options."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{path} {name}")
        else:
            yield f"{path} {name}", [name for option in each.params for name in option.opts if name[0] == "-"]


COMMANDS: Final = dict(commands(typer.main.get_command(command)))


def test_every_command_has_its_row() -> None:
    told = [row[0].strip("`") for row in rows(page("commands.md")) if len(row) == 2]
    assert untold("commands.md", "command", COMMANDS, told) == []


def test_every_option_has_its_row() -> None:
    told = [" ".join(row[:2]).replace("`", "") for row in rows(page("commands.md")) if len(row) == 3]
    wanted = [f"{name} {option}" for name, options in COMMANDS.items() for option in options]
    assert untold("commands.md", "option", wanted, told) == []


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        (file, target)
        for file, text in pages().items()
        for target in re.findall(r"[`$\n] ?make ([a-z-]+)", text)
    }
    assert [f"{file} says make {target}" for file, target in sorted(named) if target not in targets] == []


# and none of that is in vain


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x.md has no row for `a`"),
        ("| `b` | 1 |", "x.md has no row for `a`"),
        ("```text\n| `a` | 1 |\n```", "x.md has no row for `a`"),
        ("| `a` | 2 |", "x.md: the row of `a` does not say 1"),
    ],
)
def test_what_a_table_does_not_say_is_found(text: str, sentence: str) -> None:
    assert list(lacking("x.md", "a", ["1"], text)) == [sentence]


@pytest.mark.parametrize(
    "variable",
    [
        "GATEWAY_LISTN",
        "GATEWAY_BOUNDS__DEPTH",
        "GATEWAY_UPSTREAMS__A__KEY",
        "GATEWAY_ADMIN_TOKENS__A__ROLES",
        "GATEWAY_ADMIN_TOKENS_FILE",
    ],
)
def test_a_setting_that_does_not_exist_is_found(variable: str) -> None:
    assert not is_a_setting(variable)
