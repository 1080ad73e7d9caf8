"""The models endpoints' answers, made from the catalogue: what the caller may use, and nothing else."""

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.core.policy import Model


def model_list(models: Iterable[Model]) -> bytes:
    """The body of GET /v1/models."""
    return msgspec.json.encode({"object": "list", "data": [_entry(model) for model in models]})


def one_model(model: Model) -> bytes:
    """The body of GET /v1/models/{model}."""
    return msgspec.json.encode(_entry(model))


def _entry(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": model.upstream,
        "shutdown_date": model.deprecated,
    }
