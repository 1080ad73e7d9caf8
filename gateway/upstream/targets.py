"""The configured upstreams, and how each kind spells an operation's address and its credential."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from gateway.core.errors import ErrorCode, UpstreamFailed


class Secret(Protocol):
    """A credential that does not show itself."""

    def get_secret_value(self) -> str: ...


class UpstreamKind(StrEnum):
    OPENAI = "openai"
    """OpenAI, or any server that speaks its API under one base URL."""
    AZURE = "azure"
    """Azure OpenAI: the model is a deployment, `api-version` stands in the query, the key in `api-key`."""


_BY_DEPLOYMENT: Final = frozenset(
    {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/images/generations",
        "/images/edits",
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
    }
)
"""Operations whose address at Azure names the deployment. Others (responses) exist at the newer address only,
`/openai/v1`, which wants the deployment in the body, as `model`, and no dated `api-version`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream."""

    name: str
    base_url: str
    """Without a trailing slash. OpenAI kind: includes `/v1`; Azure: the resource's root."""
    api_key: Secret | None = field(repr=False)
    kind: UpstreamKind = UpstreamKind.OPENAI
    api_version: str = ""
    proxy: str | None = None
    """An HTTP proxy on the way, `http://proxy:3128`."""
    connect_seconds: float = 5.0
    first_byte_seconds: float = 120.0

    def path(self, operation: str, query: str, model: str) -> str:
        """Where an operation is found there: path and query. `operation` is the part after `/v1`.

        Azure gets none of the client's query: it could name another `api-version`.
        """
        if self.kind is UpstreamKind.AZURE:
            deployed = operation in _BY_DEPLOYMENT
            place = f"deployments/{quote(model, safe='')}" if deployed else "v1"
            query = f"api-version={quote(self.api_version, safe='')}" if deployed else ""
            operation = f"/openai/{place}{operation}"
        path = urlsplit(self.base_url).path + operation
        return f"{path}?{query}" if query else path

    def credential(self) -> tuple[str, str] | None:
        """The header that proves who we are; None for a server that asks for none."""
        if self.api_key is None:
            return None
        secret = self.api_key.get_secret_value()
        if self.kind is UpstreamKind.AZURE:
            return "api-key", secret
        return "authorization", f"Bearer {secret}"


class Targets:
    """The upstreams by name."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = dict(targets)

    def find(self, name: str) -> Target:
        """Raises UpstreamFailed when a policy names an upstream that this process was not given."""
        target = self._targets.get(name)
        if target is None:
            raise UpstreamFailed(
                ErrorCode.UPSTREAM_UNREACHABLE, "The upstream that serves this model is not set up."
            )
        return target
