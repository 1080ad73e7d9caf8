"""Settings, read by hand: from variables, a YAML file and files of secrets. Every mistake is told."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from gateway.settings.sections import OPENAI
from gateway.settings.tree import Settings
from gateway.wire.document import read_document

PREFIX: Final = "GATEWAY_"
_NESTED: Final = "__"
_CONFIG_FILE: Final = "GATEWAY_CONFIG_FILE"
_SECRETS: Final = frozenset(
    {
        *{"key_pepper", "admin_token", "api_key", "database_url", "webhook_url", "webhook_secret"},
        *{"redis_url", "redis_sentinel_password", "admin_key", "token", "client_secret"},
    }
)
_SERVICE_LINK: Final = re.compile(
    r"GATEWAY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|PORT(?==\w+://))=.*",
    re.DOTALL,
)
"""What Kubernetes itself sets in every pod beside Services whose names begin with `gateway`."""
_UNKNOWN: Final = "there is no such setting (docs/settings.md lists them all)"
_WORDS: Final = {
    "missing": "must be set",
    "extra_forbidden": _UNKNOWN,
    "model_type": "holds settings by name, no value of its own",
    "dict_type": "holds settings by name, no value of its own",
}
"""Kinds of mistakes for which pydantic's own sentences say little to operators."""


class SettingsError(Exception):
    """The settings are wrong. `problems` names every mistake, and no value of any secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


_Place = tuple[str | int, ...]


class _Source:
    """Settings from one place: a tree, where each part of it stands, and what is wrong with it."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.places: dict[_Place, str] = {}
        self.problems: list[str] = []

    def read_secret_files(self, section: dict[str, Any], path: _Place = ()) -> None:
        """`NAME_FILE: path` becomes `NAME: what the file holds`, for names whose setting is a secret."""
        for name, value in list(section.items()):
            secret = name.removesuffix("_file")
            if isinstance(value, dict):
                self.read_secret_files(value, (*path, name))
            elif secret != name and secret in _SECRETS:
                place = self.places[*path, secret] = self.places[*path, name]
                del section[name]
                if secret in section:
                    self.problems.append(f"{place}: {secret} itself is set as well; set one of the two")
                elif content := self._content(value, place):
                    section[secret] = content

    def _content(self, file: Any, place: str) -> str:
        try:
            content = Path(str(file)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            self.problems.append(f"{place}: the file cannot be read: {_reason(error)}")
            return ""
        if not content:
            self.problems.append(f"{place}: the file is empty")
        return content


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises SettingsError, which names every mistake at once."""
    given = os.environ if environment is None else environment
    variables = {name: value for name, value in given.items() if _is_ours(name, value)}
    file = variables.pop(_CONFIG_FILE, "")
    sources = (_from_variables(variables), _from_yaml(file) if file else _Source())
    for source in sources:
        source.read_secret_files(source.tree)
    problems = [problem for source in sources for problem in source.problems]
    over, under = (source.tree for source in sources)
    try:
        settings = Settings(**_merged(under, over))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise SettingsError([*problems, *(_sentence(fault, sources) for fault in faults)]) from None
    if problems:
        raise SettingsError(problems)
    return _with_openai_key(settings, given.get("OPENAI_API_KEY", ""))


def _with_openai_key(settings: Settings, key: str) -> Settings:
    """The variable that every OpenAI tool knows counts too: for OpenAI itself, never for another server.

    A key of this gateway's own is what apps have in that variable; it is none that OpenAI would take.
    """
    upstream = settings.upstream
    if not key or key.startswith("gwk_") or upstream.api_key is not None or upstream.base_url != OPENAI:
        return settings
    own = upstream.model_copy(update={"api_key": SecretStr(key)})
    return settings.model_copy(update={"upstream": own})


def _is_ours(name: str, value: str) -> bool:
    return name.startswith(PREFIX) and not _SERVICE_LINK.fullmatch(f"{name}={value}")


def _from_variables(variables: Mapping[str, str]) -> _Source:
    source = _Source()
    for name, value in sorted(variables.items()):
        path = tuple(name.removeprefix(PREFIX).lower().split(_NESTED))
        section: Any = source.tree
        for depth, part in enumerate(path[:-1], 1):
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
            source.places.setdefault(path[:depth], _variable(path[:depth]))
        if isinstance(section, dict):
            section[path[-1]] = value
            source.places[path] = name
        else:
            source.problems.append(f"{name}: {_UNKNOWN}")
    return source


def _from_yaml(file: str) -> _Source:
    source = _Source()
    try:
        document = read_document(Path(file).read_bytes())
    except OSError as error:
        source.problems.append(f"{_CONFIG_FILE}: {file} cannot be read: {_reason(error)}")
        return source
    source.problems += [
        f"{_line(file, wrong.line, wrong.path)}: {wrong.message}" for wrong in document.mistakes
    ]
    source.places = {path: _line(file, line, path) for path, line in document.lines.items()}
    if isinstance(document.value, dict):
        source.tree = document.value
    elif document.value is not None:
        source.problems.append(f"{file}: must hold settings by name")
    return source


def _line(file: str, line: int, path: _Place) -> str:
    where = f"{file}:{line}" if line else file
    return ": ".join(filter(None, (where, ".".join(map(str, path)))))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is not text"


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(below, value)
        else:
            merged[name] = value
    return merged


def _sentence(fault: Any, sources: tuple[_Source, _Source]) -> str:
    """One mistake: where it stands, and what is wrong. Never the value, which may be a secret."""
    message = _WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return f"{_place(fault['loc'], sources)}: {message}"


def _place(path: _Place, sources: tuple[_Source, _Source]) -> str:
    """Where a setting, or the nearest thing around it, was given; else the variable that would set it."""
    variables, file = sources
    for length in range(len(path), 0, -1):
        around, rest = path[:length], path[length:]
        if around in variables.places:
            return _variable(path) if rest else variables.places[around]
        if around in file.places:
            return ".".join((file.places[around], *map(str, rest)))
    return _variable(path)


def _variable(path: _Place) -> str:
    return PREFIX + _NESTED.join(str(part).upper() for part in path)
