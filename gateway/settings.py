"""Every setting: name, type, default, meaning. Read once at the start, by `app` and `cli` alone.

A setting is an environment variable `GATEWAY_NAME`; nested ones are joined by `__`. The same tree can stand
in a YAML file named by `GATEWAY_CONFIG_FILE`; variables win over the file. A secret can also be given as the
name of a file that holds it, `GATEWAY_NAME_FILE`. Unknown settings are refused: a misspelt one is noticed.
"""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.wire.document import read_document
from gateway.wire.redis_url import RedisAddress, RedisKind, parse_redis_url

PREFIX: Final = "GATEWAY_"
_NESTED: Final = "__"
OPENAI: Final = "https://api.openai.com/v1"
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
_IN_BASE64: Final = "whsec_"
"""How a secret begins that is spelled as Standard Webhooks does."""
_SHORTEST_SECRET: Final = 16
ADMIN: Final = "admin"
"""What the audit trail calls the first operators' token."""
_UNKNOWN: Final = "there is no such setting (docs/settings.md lists them all)"
_WORDS: Final = {
    "missing": "must be set",
    "extra_forbidden": _UNKNOWN,
    "model_type": "holds settings by name, no value of its own",
    "dict_type": "holds settings by name, no value of its own",
}
"""Kinds of mistakes for which pydantic's own sentences say little to operators."""


def _listed(value: Any) -> Any:
    """A variable's text, of names that are separated by commas; in YAML it is a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class SettingsError(Exception):
    """The settings are wrong. `problems` names every mistake, and no value of any secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UpstreamSettings(_Section):
    """One upstream: OpenAI, Azure OpenAI, or any server that speaks OpenAI's API."""

    kind: Literal["openai", "azure"] = Field("openai", description="How its paths and its key are spelled.")
    base_url: str = Field(
        OPENAI,
        description="Where it is. For `openai`, up to and including `/v1`; for `azure`, the resource's root.",
    )
    api_key: SecretStr | None = Field(None, description="The gateway's own key there. Empty: none is sent.")
    admin_key: SecretStr | None = Field(
        None,
        description="An administrator's key there, with which `gateway reconcile` asks what the provider "
        "counted. Empty: it is not asked.",
    )
    project: str = Field(
        "",
        max_length=100,
        description="The id of the provider's project that the key belongs to. Empty: the whole "
        "organization.",
    )
    api_version: str = Field(
        "2024-10-21", description="Azure only: the `api-version` of requests whose path names a deployment."
    )
    proxy: str | None = Field(None, description="An HTTP proxy on the way, `http://proxy:3128`. Empty: none.")
    connect_seconds: float = Field(5.0, gt=0, le=60, description="Longest wait for a connection.")
    first_byte_seconds: float = Field(
        120.0, gt=0, le=3600, description="Longest wait for the beginning of an answer."
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _checked_url(value, "http", "https").rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: str | None) -> str | None:
        return _checked_url(value, "http").rstrip("/") if value else None

    @field_validator("api_key", "admin_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_token(value)

    @field_validator("project")
    @classmethod
    def _is_an_id(cls, value: str) -> str:
        if not _is_plain(value):
            raise ValueError("must be of printable ASCII characters without spaces")
        return value

    @model_validator(mode="after")
    def _says_where_it_is(self) -> Self:
        if self.kind == "azure" and "base_url" not in self.model_fields_set:
            raise ValueError("an upstream of kind azure needs a base_url")
        return self


class FurtherUpstreamSettings(UpstreamSettings):
    """One upstream more. It is nowhere until somebody says where."""

    base_url: str = Field(description="Where it is, as for the upstream `openai`.")


class BoundSettings(_Section):
    """Bounds on what a client may send and on how long an answer may take."""

    json_body_bytes: int = Field(10 * 1024 * 1024, gt=0, description="Largest JSON request body.")
    form_body_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="Largest multipart request body (audio, images)."
    )
    json_depth: int = Field(64, gt=0, le=500, description="Deepest nesting of a JSON body.")
    head_seconds: float = Field(20.0, gt=0, description="Longest wait for a request's head.")
    authentication_seconds: float = Field(
        0.1, gt=0, description="Longest wait for the store of keys, for a key that is not remembered."
    )
    known_key_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="How long keys that were used lately stay good while the database is away. What is "
        "revoked meanwhile is not noticed.",
    )
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
    drain_answer_seconds: float = Field(
        60.0,
        gt=0,
        description="How long an answer is read on whose client has left, where a policy says `drain`.",
    )
    drain_answer_bytes: int = Field(
        32 * 1024 * 1024, gt=0, description="Bytes of such an answer that are read on at most."
    )
    drain_seconds: float = Field(
        300.0, ge=0, description="Longest wait for running exchanges when the gateway stops."
    )
    open_exchanges: int = Field(
        10_000, gt=0, description="Requests under way at once; more are answered 503 `overloaded`."
    )


class JournalSettings(_Section):
    """Where ledger lines wait for the database."""

    directory: Path | None = Field(
        None,
        description="A folder of this machine's own, for one database's lines. Empty: `journal` beside the "
        "embedded database, else `var/journal`.",
    )
    most_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="Bytes of lines that wait while the database is away. Beyond it requests are answered "
        "503 `metering_unavailable`.",
    )

    @field_validator("directory", mode="before")
    @classmethod
    def _is_said(cls, value: Any) -> Any:
        return value or None


class AlertSettings(_Section):
    """Who is told when a budget's threshold is crossed."""

    webhook_url: SecretStr | None = Field(
        None, description="Where events are posted as JSON. Empty: nowhere; the log and metrics tell of them."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="With it events are signed, as Standard Webhooks has it: `whsec_` and base64, or any "
        "text; at least 16 bytes. Empty: they are not signed.",
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        """A query may stand in it: it is a secret anyway."""
        if not value:
            return None
        _checked_url(value.get_secret_value().partition("?")[0], "http", "https")
        if not _is_plain(value.get_secret_value()):
            raise ValueError("must be of printable ASCII characters without spaces")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if not value:
            return None
        try:
            key = _signing_key(value)
        except ValueError:
            raise ValueError("must have base64 after `whsec_`") from None
        if len(key) < 16:
            raise ValueError("must have at least 16 bytes")
        return value

    @property
    def signing_key(self) -> bytes | None:
        """What signs events; None: nothing does."""
        return _signing_key(self.webhook_secret) if self.webhook_secret else None


class AdminTokenSettings(_Section):
    """A further operators' token."""

    token: SecretStr = Field(description="The token itself, at least 16 characters.")
    role: Literal["viewer", "auditor", "team_admin", "operator"] = Field(
        "viewer", description="What it lets its holder do."
    )
    teams: Annotated[list[str], BeforeValidator(_listed)] = Field(
        default_factory=list, description="Of a `team_admin`: the teams, separated by commas."
    )

    @field_validator("token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr) -> SecretStr:
        _checked_token(value)
        _long_enough(value)
        return value

    @model_validator(mode="after")
    def _says_which_teams(self) -> Self:
        if (self.role == "team_admin") != bool(self.teams):
            raise ValueError("a team_admin needs teams, and the other roles are of all of them")
        return self


class TlsSettings(_Section):
    """TLS on the clients' port."""

    cert_file: Path | None = Field(
        None, description="The gateway's certificate, with the chain to it (PEM). Empty: plain HTTP."
    )
    key_file: Path | None = Field(None, description="The certificate's private key (PEM).")
    client_ca_file: Path | None = Field(
        None, description="Certificates by which clients' own are verified (PEM), for `client_certificates`."
    )
    client_certificates: Literal["off", "optional", "required"] = Field(
        "off",
        description="Whether clients are asked for a certificate; identity.yaml says whose is whose.",
    )

    @field_validator("cert_file", "key_file", "client_ca_file", mode="before")
    @classmethod
    def _is_said(cls, value: Any) -> Any:
        return value or None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        asks = self.client_certificates != "off"
        if asks and (self.cert_file is None or self.client_ca_file is None):
            raise ValueError("client_certificates needs cert_file, key_file and client_ca_file")
        if not asks and self.client_ca_file is not None:
            raise ValueError("client_ca_file is for client_certificates")
        return self


class ConsoleSettings(_Section):
    """Sign-in to the console by an identity provider."""

    issuer: str = Field(
        "", description="An issuer of identity.yaml, by its name there. Empty: sign in with a token."
    )
    client_id: str = Field("", max_length=200, description="The console's own id at the issuer.")
    client_secret: SecretStr | None = Field(None, description="Its secret there. Empty: a public client.")
    url: str = Field(
        "", description="Where browsers find the operators' port, `https://gateway-admin.example.com`."
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _checked_url(value, "http", "https").rstrip("/") if value else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.issuer) != bool(self.client_id) or bool(self.issuer) != bool(self.url):
            raise ValueError("issuer, client_id and url belong together")
        return self


class Settings(_Section):
    """All settings of one process."""

    listen: str = Field("127.0.0.1:8080", description="Where clients connect: `host:port`.")
    admin_listen: str = Field(
        "127.0.0.1:9090",
        description="Where operators connect: health, metrics, usage. Never expose it to clients.",
    )
    policies_dir: Path = Field(Path("policies"), description="The directory of the policy files.")
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Shared counters: `redis://…`, also by TLS, sentinels or a cluster. "
        "Empty: counters in memory, for one process.",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="Certificates that are trusted for a Redis with TLS, and no others. Empty: the system's.",
    )
    redis_sentinel_password: SecretStr | None = Field(
        None, description="The sentinels' own password. Empty: they have none."
    )
    replicas: int = Field(
        1,
        gt=0,
        description="Gateways that share the Redis, for one that starts while it is away: it takes one part "
        "in so many of every limit. The others have counted each other.",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///var/gateway.db"),
        description="Keys and the usage ledger: `sqlite:///path` or `postgresql://…`.",
    )
    upstream: UpstreamSettings = Field(
        default_factory=UpstreamSettings, description="The upstream that policies call `openai`."
    )
    upstreams: dict[str, FurtherUpstreamSettings] = Field(
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
        None, description="The operators' token, which may do everything. Empty: there is none."
    )
    admin_tokens: dict[str, AdminTokenSettings] = Field(
        default_factory=dict,
        description="Further tokens by a name of their own, which the audit trail tells: "
        "`GATEWAY_ADMIN_TOKENS__GRAFANA__TOKEN` sets one of `grafana`.",
    )
    console: ConsoleSettings = Field(
        default_factory=ConsoleSettings, description="Sign-in to the console by an identity provider."
    )
    tls: TlsSettings = Field(default_factory=TlsSettings, description="TLS on the clients' port.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    alerts: AlertSettings = Field(
        default_factory=AlertSettings, description="Who is told when a budget's threshold is crossed."
    )
    bounds: BoundSettings = Field(default_factory=BoundSettings, description="Sizes and times.")
    ledger_keep_days: int | None = Field(
        None,
        ge=35,
        le=99_999,
        description="Days after which the ledger's lines are deleted, once their month is closed; sums stay. "
        "Empty: never.",
    )
    journal: JournalSettings = Field(
        default_factory=JournalSettings, description="Where ledger lines wait for the database."
    )

    @field_validator("listen", "admin_listen")
    @classmethod
    def _is_an_address(cls, value: str, info: ValidationInfo) -> str:
        host, _, port = value.rpartition(":")
        if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("must be host:port, such as 127.0.0.1:8080")
        if info.field_name == "admin_listen" and value == info.data.get("listen") and port != "0":
            raise ValueError("must not be where clients connect")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if value:
            parse_redis_url(value.get_secret_value())
        return value

    @field_validator("redis_ca_file", mode="before")
    @classmethod
    def _is_for_tls(cls, value: Any, info: ValidationInfo) -> Any:
        redis = _redis_of(info)
        if value and redis and not redis.tls:
            raise ValueError("is for a GATEWAY_REDIS_URL that begins with rediss")
        return value or None

    @field_validator("redis_sentinel_password")
    @classmethod
    def _is_for_sentinels(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        redis = _redis_of(info)
        if value and redis and redis.kind is not RedisKind.SENTINEL:
            raise ValueError("is for a GATEWAY_REDIS_URL of sentinels, redis+sentinel://")
        return value or None

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"(sqlite|postgresql)(\+\w+)?://", value.get_secret_value()):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("key_pepper")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        return _long_enough(value) or None

    @field_validator("admin_token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        return _long_enough(_checked_token(value))

    @field_validator("admin_tokens")
    @classmethod
    def _are_told_apart(
        cls, value: dict[str, AdminTokenSettings], info: ValidationInfo
    ) -> dict[str, AdminTokenSettings]:
        if ADMIN in value:
            raise ValueError(f"`{ADMIN}` is the name of the one that GATEWAY_ADMIN_TOKEN sets")
        secrets = [each.token.get_secret_value() for each in value.values()]
        first = info.data.get("admin_token")
        if first is not None:
            secrets.append(first.get_secret_value())
        if len(set(secrets)) < len(secrets):
            raise ValueError("two of the operators' tokens are the same: the record could not tell who acted")
        return value

    @field_validator("upstreams")
    @classmethod
    def _leaves_openai_alone(
        cls, value: dict[str, FurtherUpstreamSettings]
    ) -> dict[str, FurtherUpstreamSettings]:
        if "openai" in value:
            raise ValueError("`openai` is the name of the one that GATEWAY_UPSTREAM__* sets")
        return value

    @property
    def all_upstreams(self) -> Mapping[str, UpstreamSettings]:
        """Every upstream by name."""
        return {"openai": self.upstream, **self.upstreams}


def _redis_of(info: ValidationInfo) -> RedisAddress | None:
    """The Redis that was set before; None when there is none, or its own mistake is told."""
    url = info.data.get("redis_url")
    return parse_redis_url(url.get_secret_value()) if url else None


def _checked_url(value: str, *schemes: str) -> str:
    """Nothing but scheme, host, port and path: what else could stand there may be a secret."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in schemes and parts.hostname and parts.port != 0 and _is_plain(value)
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("must be a URL: " + " or ".join(f"{scheme}://host" for scheme in schemes))
    if "@" in value or "?" in value or "#" in value:
        raise ValueError("must be a URL without user name, query and fragment")
    return value


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def _checked_token(value: SecretStr | None) -> SecretStr | None:
    """What is to stand in a header. An empty one is none: nobody is let in by saying nothing."""
    if not value:
        return None
    if not _is_plain(value.get_secret_value()):
        raise ValueError("must be of printable ASCII characters without spaces")
    return value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    """None, and an empty one, are nothing that could be guessed."""
    if value and len(value) < _SHORTEST_SECRET:
        raise ValueError(f"must have at least {_SHORTEST_SECRET} characters")
    return value


def _signing_key(secret: SecretStr) -> bytes:
    """Of `whsec_…` what its base64 stands for, of any other text the text. Raises ValueError."""
    text = secret.get_secret_value()
    if text.startswith(_IN_BASE64):
        return base64.b64decode(text.removeprefix(_IN_BASE64), validate=True)
    return text.encode()


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
