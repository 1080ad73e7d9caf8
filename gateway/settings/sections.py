"""Settings that belong together."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from gateway.settings.checks import checked_token, checked_url, is_plain, listed, long_enough, signing_key_of

OPENAI: Final = "https://api.openai.com/v1"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UpstreamSettings(Section):
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
        return checked_url(value, "http", "https").rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: str | None) -> str | None:
        return checked_url(value, "http").rstrip("/") if value else None

    @field_validator("api_key", "admin_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return checked_token(value)

    @field_validator("project")
    @classmethod
    def _is_an_id(cls, value: str) -> str:
        if not is_plain(value):
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


class BoundSettings(Section):
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


class JournalSettings(Section):
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


class AlertSettings(Section):
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
        checked_url(value.get_secret_value().partition("?")[0], "http", "https")
        if not is_plain(value.get_secret_value()):
            raise ValueError("must be of printable ASCII characters without spaces")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if not value:
            return None
        try:
            key = signing_key_of(value)
        except ValueError:
            raise ValueError("must have base64 after `whsec_`") from None
        if len(key) < 16:
            raise ValueError("must have at least 16 bytes")
        return value

    @property
    def signing_key(self) -> bytes | None:
        """What signs events; None: nothing does."""
        return signing_key_of(self.webhook_secret) if self.webhook_secret else None


class AdminTokenSettings(Section):
    """A further operators' token."""

    token: SecretStr = Field(description="The token itself, at least 16 characters.")
    role: Literal["viewer", "auditor", "team_admin", "operator"] = Field(
        "viewer", description="What it lets its holder do."
    )
    teams: Annotated[list[str], BeforeValidator(listed)] = Field(
        default_factory=list, description="Of a `team_admin`: the teams, separated by commas."
    )

    @field_validator("token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr) -> SecretStr:
        checked_token(value)
        long_enough(value)
        return value

    @model_validator(mode="after")
    def _says_which_teams(self) -> Self:
        if (self.role == "team_admin") != bool(self.teams):
            raise ValueError("a team_admin needs teams, and the other roles are of all of them")
        return self


class TlsSettings(Section):
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


class ConsoleSettings(Section):
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
        return checked_url(value, "http", "https").rstrip("/") if value else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.issuer) != bool(self.client_id) or bool(self.issuer) != bool(self.url):
            raise ValueError("issuer, client_id and url belong together")
        return self
