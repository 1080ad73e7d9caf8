"""Which models there are: the list shows a few, and every name of a known family exists."""

from fnmatch import fnmatchcase

from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.ask import Ask
from gateway.simulator.errors import Refusal, azure_error, error

_FAMILIES = ("gpt-*", "o*", "text-*", "dall-e-*", "whisper-*", "tts-*", "omni-*", "ft:*", "sim-*")
_LISTED = ("gpt-6-sol", "gpt-4.1", "gpt-4o", "gpt-4o-mini", "o3", "text-embedding-3-small", "whisper-1")
_TUNED = "ft:gpt-4.1-mini:simulated-org::Abc123"
"""Somebody's own model, which must not be shown to others."""


def check(model: str, *, azure: bool) -> None:
    """Raises Refusal (404) for a model that does not exist."""
    if any(fnmatchcase(model, family) for family in _FAMILIES):
        return
    if azure:
        message = "The API deployment for this resource does not exist."
        raise Refusal(azure_error(404, "DeploymentNotFound", message))
    message = f"The model `{model}` does not exist or you do not have access to it."
    raise Refusal(error(404, message, code="model_not_found"))


def listing(ask: Ask) -> Answer:
    return whole({"object": "list", "data": [_model(ask, name) for name in (*_LISTED, _TUNED)]})


def one(ask: Ask) -> Answer:
    return whole(_model(ask, ask.model))


def _model(ask: Ask, name: str) -> Json:
    model: Json = {"id": name, "object": "model", "created": ask.created, "owned_by": "simulator"}
    return model | {"shutdown_date": None}
