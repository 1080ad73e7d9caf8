"""An operation of the OpenAI API, as the gateway sees it."""

from dataclasses import dataclass
from enum import StrEnum


class Dialect(StrEnum):
    """How an endpoint's answers, streams and in-stream errors are spelled."""

    CHAT = "chat"
    """`data:` events, an extra usage chunk on request, `[DONE]` at the end. Completions too."""
    RESPONSES = "responses"
    """Named events with sequence numbers; a terminal event, no `[DONE]`."""
    IMAGES = "images"
    AUDIO = "audio"
    """Speech and transcription events: `data: {"type": …}`, ended by a `.done` event."""
    PLAIN = "plain"
    """Never streams."""


class Meter(StrEnum):
    """The unit in which an endpoint is billed when its answer carries no token count."""

    TOKENS = "tokens"
    IMAGES = "images"
    CHARACTERS = "characters"
    AUDIO = "audio"
    FREE = "free"


class ModelRule(StrEnum):
    """What an endpoint says about the `model` member."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


JSON = "application/json"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the endpoint table. `refusal` says why it is not served; None means that it is."""

    name: str
    """The operation in snake_case: the label in policies, metrics, logs and the ledger."""
    method: str
    path: str
    """The path template, `/v1/models/{model}`."""
    family: str
    refusal: str | None = None
    accepts: frozenset[str] = frozenset()
    """Media types of the request body; empty when it has none."""
    dialect: Dialect = Dialect.PLAIN
    meter: Meter = Meter.FREE
    model: ModelRule = ModelRule.NONE
    default_model: str | None = None
    """What OpenAI takes when an optional `model` is missing."""
    local: bool = False
    """Answered by the gateway itself, from the policy; nothing goes upstream."""
