"""All settings of one process."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from gateway.settings.checks import checked_token, long_enough
from gateway.settings.sections import (
    AdminTokenSettings,
    AlertSettings,
    BoundSettings,
    ConsoleSettings,
    FurtherUpstreamSettings,
    JournalSettings,
    Section,
    TlsSettings,
    UpstreamSettings,
)
from gateway.wire.redis_url import RedisAddress, RedisKind, parse_redis_url

ADMIN: Final = "admin"
"""What the audit trail calls the first operators' token."""


class Settings(Section):
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
        redis = redis_of(info)
        if value and redis and not redis.tls:
            raise ValueError("is for a GATEWAY_REDIS_URL that begins with rediss")
        return value or None

    @field_validator("redis_sentinel_password")
    @classmethod
    def _is_for_sentinels(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        redis = redis_of(info)
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
        return long_enough(value) or None

    @field_validator("admin_token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        return long_enough(checked_token(value))

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


def redis_of(info: ValidationInfo) -> RedisAddress | None:
    """The Redis that was set before; None when there is none, or its own mistake is told."""
    url = info.data.get("redis_url")
    return parse_redis_url(url.get_secret_value()) if url else None
