"""Every setting: name, type, default, meaning. Read once at the start, by `app` and `cli` alone.

A setting is an environment variable `GATEWAY_NAME`; nested ones are joined by `__`. The same tree can stand in a YAML
file named by `GATEWAY_CONFIG_FILE`; variables win over the file. A secret can also be given as the name of a file that
holds it, in `GATEWAY_NAME_FILE`. Unknown settings are refused, so that a misspelt one cannot be silently ignored.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX: Final = "GATEWAY_"
_NESTED: Final = "__"
_CONFIG_FILE: Final = "GATEWAY_CONFIG_FILE"
_SECRETS: Final = ("KEY_PEPPER", "ADMIN_TOKEN", "API_KEY", "REDIS_URL", "DATABASE_URL")
_UNKNOWN: Final = "there is no such setting (docs/settings.md lists them all)"
_SERVICE_LINK: Final = re.compile(r"GATEWAY_(SERVICE_|PORT(_|$))")
"""Variables that Kubernetes itself sets in every pod beside a Service called `gateway`."""


class SettingsError(Exception):
    """The settings are wrong. `problems` names every mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamSettings(_Section):
    """One upstream: OpenAI, Azure OpenAI, or any server that speaks OpenAI's API."""

    kind: Literal["openai", "azure"] = Field("openai", description="How its paths and its key are spelled.")
    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Where it is. For `openai`, up to and including `/v1`; for `azure`, the resource's root.",
    )
    api_key: SecretStr | None = Field(None, description="The gateway's own key there. Empty: none is sent.")
    api_version: str = Field("2024-10-21", description="Azure only: the `api-version` of every request.")
    connect_seconds: float = Field(5.0, gt=0, le=60, description="Longest wait for a connection.")
    first_byte_seconds: float = Field(
        120.0, gt=0, le=3600, description="Longest wait for the beginning of an answer."
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")


class BoundSettings(_Section):
    """Bounds on what a client may send and on how long an answer may take."""

    json_body_bytes: int = Field(10 * 1024 * 1024, gt=0, description="Largest JSON request body.")
    form_body_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="Largest multipart request body (audio, images)."
    )
    json_depth: int = Field(64, gt=0, le=500, description="Deepest nesting of a JSON body.")
    head_seconds: float = Field(20.0, gt=0, description="Longest wait for a request's head.")
    body_seconds: float = Field(30.0, gt=0, description="Longest wait for a JSON body.")
    stream_gap_seconds: float = Field(
        60.0, gt=0, description="Longest silence of an upstream in the middle of an answer."
    )
    stream_seconds: float = Field(1800.0, gt=0, description="Longest answer.")
    client_write_seconds: float = Field(
        30.0, gt=0, description="Longest time in which a client takes nothing of its answer."
    )
    keep_alive_seconds: float = Field(
        15.0, gt=0, description="Silence after which an event stream gets a comment."
    )
    drain_seconds: float = Field(
        300.0, ge=0, description="Longest wait for running exchanges when the gateway stops."
    )
    open_exchanges: int = Field(
        10_000, gt=0, description="Requests under way at once; more are answered 503 `overloaded`."
    )


class Settings(BaseSettings):
    """All settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=_NESTED, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    listen: str = Field("127.0.0.1:8080", description="Where clients connect: `host:port`.")
    admin_listen: str = Field(
        "127.0.0.1:9090", description="Where operators connect: health, metrics, usage. Never expose it to clients."
    )
    policies_dir: Path = Field(Path("policies"), description="The directory of the policy files.")
    redis_url: SecretStr = Field(
        SecretStr(""), description="Shared counters, `redis://…`. Empty: counters in memory, for one process."
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///var/gateway.db"),
        description="Keys and the usage ledger: `sqlite:///path` or `postgresql://…`.",
    )
    upstream: UpstreamSettings = Field(
        default_factory=UpstreamSettings, description="The upstream that policies call `openai`."
    )
    upstreams: dict[str, UpstreamSettings] = Field(
        default_factory=dict,
        description="Further upstreams by the name that `models.yaml` gives them: "
        "`GATEWAY_UPSTREAMS__AZURE_EU__BASE_URL` sets one of `azure_eu`.",
    )
    key_pepper: SecretStr | None = Field(
        None,
        description="Secret with which stored keys are hashed, at least 16 characters. "
        "Required, except that the embedded default makes one of its own beside its database.",
    )
    admin_token: SecretStr | None = Field(
        None, description="The operators' token for `/admin`. Without one, `/admin` is closed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    bounds: BoundSettings = Field(default_factory=BoundSettings, description="Sizes and times.")

    @field_validator("listen", "admin_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("must be host:port, such as 127.0.0.1:8080")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("key_pepper")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return value

    @field_validator("upstreams")
    @classmethod
    def _leaves_openai_alone(cls, value: dict[str, UpstreamSettings]) -> dict[str, UpstreamSettings]:
        if "openai" in value:
            raise ValueError("`openai` is the name of the one that GATEWAY_UPSTREAM__* sets")
        return value

    @property
    def all_upstreams(self) -> Mapping[str, UpstreamSettings]:
        """Every upstream by name."""
        return {"openai": self.upstream, **self.upstreams}

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands in: nothing is read behind its back."""
        return (init_settings,)


class _Environment(EnvSettingsSource):
    """pydantic's reader of variables, on variables that are handed to it."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises SettingsError, which names every mistake at once."""
    given = os.environ if environment is None else environment
    variables = {
        name: value
        for name, value in given.items()
        if name.startswith(PREFIX) and not _SERVICE_LINK.match(name)
    }
    problems: list[str] = []
    file = variables.pop(_CONFIG_FILE, "")
    tree = _from_yaml(Path(file), problems) if file else {}
    variables = _with_secret_files(variables, problems)
    problems += _misspelt(variables)
    tree = _merged(tree, _Environment(variables)())
    try:
        settings = Settings(**tree)
    except ValidationError as error:
        raise SettingsError(problems + [_sentence(fault) for fault in error.errors()]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _from_yaml(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(f"{_CONFIG_FILE}: {file} cannot be read: {error}")
        return {}
    if tree is not None and not isinstance(tree, dict):
        problems.append(f"{_CONFIG_FILE}: {file} must hold a mapping of settings")
        return {}
    return tree or {}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = (
            _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _with_secret_files(variables: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """`NAME_FILE=path` becomes `NAME=what the file holds`, for names whose setting is a secret."""
    plain = dict(variables)
    for name, path in variables.items():
        secret = name.removesuffix("_FILE")
        if secret == name or not secret.endswith(_SECRETS):
            continue
        del plain[name]
        if secret in variables:
            problems.append(f"{name}: {secret} is set as well; set one of the two")
            continue
        try:
            plain[secret] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: the file cannot be read: {error}")
    return plain


def _misspelt(variables: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return [
        f"{name}: {_UNKNOWN}"
        for name in sorted(variables)
        if name.partition(_NESTED)[0] not in known
    ]


def _sentence(fault: Any) -> str:
    """One mistake: the variable's name, and what is wrong. Never the value, which may be a secret."""
    name = PREFIX + _NESTED.join(str(part).upper() for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{name}: {_UNKNOWN}"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}"
