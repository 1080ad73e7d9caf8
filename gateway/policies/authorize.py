"""Whether a policy, and the grant of the credential within it, lets its holder use an endpoint and the models
that a request names.

What no file mentions is denied in the same words as what is not allowed: nobody can find out by asking what
other teams use. Aliases are resolved first; allow-lists speak of models.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.core.call import Call
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Endpoint, ModelRule
from gateway.core.errors import ErrorCode
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.patterns import matches
from gateway.core.policy import AllowList, Model, Policy, Unpriced

_ENDPOINTS: Final = "endpoints"
_MODELS: Final = "models"
_DEPRECATED: Final = "models.deprecated"
_OWN_ENDPOINTS: Final = "key.endpoints"
_OWN_MODELS: Final = "key.models"
_READ_ONLY: Final = "key.read_only"
_LONGEST_SHOWN: Final = 80
_WHERE_TO_LOOK: Final = "GET /v1/models lists what you may use."


def authorize_endpoint(policy: Policy, endpoint: Endpoint) -> list[Deny]:
    """Denies for an endpoint that the policy does not name (`endpoint_not_allowed`), or the credential's
    grant does not; and for a credential that may only look (`permission_denied`)."""
    denies = []
    if policy.endpoints.mode is not Mode.OFF and not matches(policy.endpoints.names, endpoint.name):
        reason = f"Your team may not use the endpoint `{endpoint.name}`."
        denies.append(Deny(ErrorCode.ENDPOINT_NOT_ALLOWED, reason, _ENDPOINTS, policy.endpoints.mode))
    return denies if policy.grant is UNNARROWED else [*denies, *_beyond(policy.grant, endpoint)]


def authorize_call(policy: Policy, call: Call) -> list[Deny]:
    """Denies for models, and notes about models that go away.

    Besides `model`, a request can name models in its tools and for its moderation. Those go upstream as they
    are written, so they must be names of models that mean the same there.
    """
    if call.endpoint.model is ModelRule.NONE:
        return []
    asked = call.get("model")
    if asked is not None and not isinstance(asked, str):
        return [_invalid("`model` must be a string.")]
    if call.model is None:
        return [_invalid("You must provide a `model` parameter.")]
    denies = _judge(policy, policy.catalogue.find(call.model), call.model, "model")
    if "tools" in call.members or "moderation" in call.members:
        for param, name in _further_models(call.members):
            denies += _judge(policy, _as_written(policy, name), name, param)
    return denies


def usable_models(policy: Policy) -> list[Model]:
    """What the policy's holder may use, by name: the answer to GET /v1/models."""
    models = policy.catalogue.models
    return [models[name] for name in sorted(models) if _is_usable(policy, models[name])]


def usable_model(policy: Policy, name: str) -> Model | None:
    """The model of this name or alias, if the policy's holder may use it."""
    model = policy.catalogue.find(name)
    return model if model is not None and _is_usable(policy, model) else None


def _beyond(grant: Grant, endpoint: Endpoint) -> Iterator[Deny]:
    if not matches(grant.endpoints, endpoint.name):
        reason = f"The credential that you sent is not for the endpoint `{endpoint.name}`."
        yield Deny(ErrorCode.ENDPOINT_NOT_ALLOWED, reason, _OWN_ENDPOINTS)
    if grant.read_only and endpoint.method != "GET":
        reason = "The credential that you sent may only look: it is for GET, and for nothing else."
        yield Deny(ErrorCode.PERMISSION_DENIED, reason, _READ_ONLY)


def _is_usable(policy: Policy, model: Model) -> bool:
    """What has never had a price, where only what has one may be used, is not shown either."""
    priced = bool(model.prices) or policy.unpriced is not Unpriced.REFUSE
    return priced and _may_use(policy.models, model.name) and matches(policy.grant.models, model.name)


def _may_use(allow_list: AllowList, name: str) -> bool:
    """Whether a request for it would pass: a list that is not enforced refuses nothing."""
    return allow_list.mode is not Mode.ENFORCE or matches(allow_list.names, name)


def _judge(policy: Policy, model: Model | None, asked: str, param: str) -> list[Deny]:
    """An unknown model is refused in every mode: there is no upstream to send it to."""
    allow_list = policy.models
    if model is None:
        return [_not_allowed(asked, param, Mode.ENFORCE)]
    denies = []
    if allow_list.mode is not Mode.OFF and not matches(allow_list.names, model.name):
        denies.append(_not_allowed(asked, param, allow_list.mode))
    if not matches(policy.grant.models, model.name):
        denies.append(_beyond_models(asked, param))
    if model.deprecated is not None and not any(deny.mode is Mode.ENFORCE for deny in denies):
        denies.append(_goes_away(model, param))
    return denies


def _further_models(members: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Models that tools (image generation) and the moderation of the request name."""
    tools = members.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and isinstance(tool.get("model"), str):
            yield f"tools.{index}.model", tool["model"]
    moderation = members.get("moderation")
    if isinstance(moderation, dict) and isinstance(moderation.get("model"), str):
        yield "moderation.model", moderation["model"]


def _as_written(policy: Policy, name: str) -> Model | None:
    model = policy.catalogue.models.get(name)
    return model if model is not None and model.upstream_model == name else None


def _not_allowed(asked: str, param: str, mode: Mode) -> Deny:
    shown = _shown(asked)
    reason = f"The model `{shown}` does not exist or your team may not use it. {_WHERE_TO_LOOK}"
    return Deny(ErrorCode.MODEL_NOT_ALLOWED, reason, _MODELS, mode, param, quotes=shown)


def _beyond_models(asked: str, param: str) -> Deny:
    shown = _shown(asked)
    reason = f"The credential that you sent is not for the model `{shown}`. {_WHERE_TO_LOOK}"
    return Deny(ErrorCode.MODEL_NOT_ALLOWED, reason, _OWN_MODELS, param=param, quotes=shown)


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."


def _goes_away(model: Model, param: str) -> Deny:
    instead = f" Use `{model.replacement}` instead." if model.replacement else ""
    reason = f"The model `{model.name}` is announced to go away on {model.deprecated}.{instead}"
    return Deny(ErrorCode.MODEL_NOT_ALLOWED, reason, _DEPRECATED, Mode.WARN, param)


def _invalid(reason: str) -> Deny:
    return Deny(ErrorCode.INVALID_VALUE, reason, _MODELS, Mode.ENFORCE, "model")
