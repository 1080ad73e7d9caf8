"""The endpoint table: every operation that OpenAI publishes, served or refused with a reason. Its law: deny
what cannot be metered or owned; a path that is not in the table does not exist.

`SERVED` is written out here, since each row says how its calls are judged and metered. What is refused stands
in `refused_operations.json`, made from OpenAI's published specification (2026-08-21) and SDK (3.51.0).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import msgspec

from gateway.core.endpoint import JSON, MULTIPART, Dialect, Endpoint, Meter, ModelRule
from gateway.core.errors import ErrorCode, Refused

_JSON = frozenset({JSON})
_FORM = frozenset({MULTIPART})


def _served(
    name: str,
    path: str,
    accepts: frozenset[str],
    dialect: Dialect,
    meter: Meter,
    default_model: str | None = None,
) -> Endpoint:
    return Endpoint(
        name=name,
        method="POST",
        path=path,
        family=name.partition("_")[0],
        accepts=accepts,
        dialect=dialect,
        meter=meter,
        model=ModelRule.OPTIONAL if default_model else ModelRule.REQUIRED,
        default_model=default_model,
    )


def _local(name: str, path: str, family: str) -> Endpoint:
    return Endpoint(name=name, method="GET", path=path, family=family, local=True)


def _usage(kind: str) -> Endpoint:
    return _local(f"usage_{kind}", f"/v1/organization/usage/{kind}", "admin/usage")


CHAT_COMPLETIONS: Final = _served(
    "chat_completions", "/v1/chat/completions", _JSON, Dialect.CHAT, Meter.TOKENS
)
EDITS: Final = _served("edits", "/v1/edits", _JSON, Dialect.PLAIN, Meter.TOKENS)
MODELS: Final = _local("models", "/v1/models", "models")
MODEL: Final = _local("model", "/v1/models/{model}", "models")
TOKEN_EXCHANGE: Final = Endpoint(
    name="token_exchange",
    method="POST",
    path="/oauth/token",
    family="identity",
    accepts=frozenset({"application/x-www-form-urlencoded"}),
    local=True,
)
"""A workload's token for a short-lived key (RFC 8693). No part of OpenAI's API, and asked before anybody is
known: no policy names it."""
ORGANIZATION: Final = (
    *map(_usage, ("completions", "embeddings", "moderations", "images")),
    *map(_usage, ("audio_speeches", "audio_transcriptions")),
    _local("usage_costs", "/v1/organization/costs", "admin/costs"),
)
"""What a team used. Operators are answered under the same paths, of all teams."""

SERVED: Final[tuple[Endpoint, ...]] = (
    CHAT_COMPLETIONS,
    _served("completions", "/v1/completions", _JSON, Dialect.CHAT, Meter.TOKENS),
    EDITS,
    _served("embeddings", "/v1/embeddings", _JSON, Dialect.PLAIN, Meter.TOKENS),
    _served("moderations", "/v1/moderations", _JSON, Dialect.PLAIN, Meter.FREE, "omni-moderation-latest"),
    _served("responses", "/v1/responses", _JSON, Dialect.RESPONSES, Meter.TOKENS),
    _served("images_generations", "/v1/images/generations", _JSON, Dialect.IMAGES, Meter.IMAGES, "dall-e-2"),
    _served("images_edits", "/v1/images/edits", _JSON | _FORM, Dialect.IMAGES, Meter.IMAGES, "gpt-image-1.5"),
    _served("images_variations", "/v1/images/variations", _FORM, Dialect.PLAIN, Meter.IMAGES, "dall-e-2"),
    _served("audio_speech", "/v1/audio/speech", _JSON, Dialect.AUDIO, Meter.CHARACTERS),
    _served("audio_transcriptions", "/v1/audio/transcriptions", _FORM, Dialect.AUDIO, Meter.AUDIO),
    _served("audio_translations", "/v1/audio/translations", _FORM, Dialect.PLAIN, Meter.AUDIO),
    MODELS,
    MODEL,
    *ORGANIZATION,
)

_NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
_NOWHERE: Final = ("", ".", "..")
"""Segments that some servers take for another path."""

_WHY: Final[Mapping[str, str]] = {
    "objects": "it works on objects of one team's own, and this gateway does not yet keep track of owners",
    "websocket": "this gateway does not yet relay WebSocket sessions, since their usage could not be metered",
    "admin": "it administers the company's whole OpenAI organization, which no team's key may do",
    "gone": "OpenAI has shut it down",
}


class _RefusedOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: str
    path: str
    name: str
    family: str
    why: str


@dataclass(frozen=True, slots=True)
class Match:
    """An operation, and what the path said in the places of its template, percent-decoded."""

    endpoint: Endpoint
    params: Mapping[str, str]


_Methods = dict[str, Endpoint]


class EndpointTable:
    """Finds the operation that a request asks for, by its raw path, exactly."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[str, _Methods] = {}
        self._templates: dict[int, list[tuple[list[str], _Methods]]] = {}
        """By number of segments."""
        self.endpoints: Final = tuple(endpoints)
        """Every row, served or not."""
        for endpoint in self.endpoints:
            self._methods_of(endpoint.path)[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> Match:
        """The operation, served or not. Raises Refused: `unknown_endpoint`, `method_not_allowed`."""
        methods, params = self._exact.get(path), _NO_PARAMS
        if methods is None:
            methods, params = self._from_template(path)
        endpoint = methods.get(method) or methods.get("*")
        if endpoint is None:
            allowed = ", ".join(sorted(methods))
            message = f"This endpoint answers to {allowed} only."
            raise Refused(ErrorCode.METHOD_NOT_ALLOWED, message, allow=allowed)
        return Match(endpoint, params)

    def _methods_of(self, path: str) -> _Methods:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        parts = path.split("/")
        rows = self._templates.setdefault(len(parts), [])
        for template, methods in rows:
            if template == parts:
                return methods
        rows.append((parts, {}))
        return rows[-1][1]

    def _from_template(self, path: str) -> tuple[_Methods, Mapping[str, str]]:
        parts = path.split("/")
        for template, methods in self._templates.get(len(parts), ()):
            params = _fill(template, parts)
            if params is not None:
                return methods, params
        raise Refused(
            ErrorCode.UNKNOWN_ENDPOINT,
            "This path is not part of the OpenAI API. Check that OPENAI_BASE_URL ends with /v1.",
        )


def _fill(template: list[str], parts: list[str]) -> Mapping[str, str] | None:
    """What stands in the template's places, or None when the path is another one."""
    params = {}
    for expected, part in zip(template, parts, strict=True):
        if expected.startswith("{"):
            value = unquote(part)
            if value in _NOWHERE:
                return None
            params[expected[1:-1]] = value
        elif expected != part:
            return None
    return params


def endpoint_table() -> EndpointTable:
    """The whole table: served and refused."""
    data = files("gateway.wire").joinpath("refused_operations.json").read_bytes()
    refused = msgspec.json.decode(data, type=list[_RefusedOperation])
    rows = (
        Endpoint(name=row.name, method=row.method, path=row.path, family=row.family, refusal=_WHY[row.why])
        for row in refused
    )
    return EndpointTable((*SERVED, TOKEN_EXCHANGE, *rows))
