"""Facts about `gateway/policies/authorize.py`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.call import Call
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import JSON, Endpoint, ModelRule
from gateway.core.errors import ErrorCode
from gateway.core.grant import Grant
from gateway.core.policy import Policy, Price, Rates
from gateway.policies.authorize import authorize_call, authorize_endpoint, usable_model, usable_models
from gateway.policies.narrowing import narrowed

Policies = Callable[..., Policy]

CHAT = Endpoint("chat_completions", "POST", "/v1/chat/completions", "chat", model=ModelRule.REQUIRED)
RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", model=ModelRule.OPTIONAL)
IMAGES = Endpoint(
    "images_generations",
    "POST",
    "/v1/images/generations",
    "images",
    model=ModelRule.OPTIONAL,
    default_model="gpt-image-1",
)
NO_MODEL = Endpoint("models", "GET", "/v1/models", "models")


def asking(endpoint: Endpoint = CHAT, **members: Any) -> Call:
    return Call(endpoint, JSON, b"{}", members)


def facts(denies: list[Deny]) -> list[tuple[ErrorCode, Mode, str | None]]:
    return [(deny.code, deny.mode, deny.param) for deny in denies]


REFUSED = [(ErrorCode.MODEL_NOT_ALLOWED, Mode.ENFORCE, "model")]


def test_an_endpoint_on_the_list_may_be_used(policy: Policies) -> None:
    assert authorize_endpoint(policy("endpoints: [chat_*]"), CHAT) == []


def test_an_endpoint_that_is_not_on_the_list_may_not(policy: Policies) -> None:
    denies = authorize_endpoint(policy("endpoints: [responses]"), CHAT)

    assert facts(denies) == [(ErrorCode.ENDPOINT_NOT_ALLOWED, Mode.ENFORCE, None)]
    assert denies[0].rule == "endpoints"
    assert "chat_completions" in denies[0].reason


@pytest.mark.parametrize("mode", ["shadow", "warn", "enforce"])
def test_a_list_refuses_in_its_own_mode(policy: Policies, mode: str) -> None:
    strict = policy(f"endpoints: {{allow: [responses], mode: {mode}}}\nmodels: {{allow: [o3], mode: {mode}}}")

    assert [deny.mode for deny in authorize_endpoint(strict, CHAT)] == [Mode(mode)]
    assert [deny.mode for deny in authorize_call(strict, asking(model="gpt-4o"))] == [Mode(mode)]


def test_a_list_that_is_off_refuses_nothing(policy: Policies) -> None:
    lax = policy("endpoints: {allow: [], mode: off}\nmodels: {allow: [], mode: off}")

    assert authorize_endpoint(lax, CHAT) == []
    assert authorize_call(lax, asking(model="gpt-4o")) == []


@pytest.mark.parametrize("model", ["gpt-4o", "house-model"])
def test_a_model_on_the_list_may_be_used(policy: Policies, model: str) -> None:
    assert authorize_call(policy("models: [gpt-4o*, house-model]"), asking(model=model)) == []


def test_an_alias_is_judged_as_the_model_it_stands_for(policy: Policies) -> None:
    assert facts(authorize_call(policy("models: [gpt-4o]"), asking(model="hidden"))) == REFUSED
    assert facts(authorize_call(policy("models: [o3]"), asking(model="hidden"))) == [
        (ErrorCode.MODEL_NOT_ALLOWED, Mode.WARN, "model")
    ]


def test_an_unknown_model_is_refused_in_the_words_for_a_forbidden_one(policy: Policies) -> None:
    unknown, forbidden = (
        authorize_call(policy("models: [gpt-4o]"), asking(model=model))[0] for model in ("gpt-99", "o3")
    )

    assert unknown.reason.replace("gpt-99", "o3") == forbidden.reason
    assert (unknown.code, unknown.rule, unknown.param) == (forbidden.code, forbidden.rule, forbidden.param)
    assert forbidden.reason == (
        "The model `o3` does not exist or your team may not use it. GET /v1/models lists what you may use."
    )


@pytest.mark.parametrize("mode", ["off", "shadow", "warn"])
def test_an_unknown_model_is_refused_in_every_mode(policy: Policies, mode: str) -> None:
    lax = policy(f"models: {{allow: ['*'], mode: {mode}}}")

    assert facts(authorize_call(lax, asking(model="gpt-99"))) == REFUSED


def test_a_model_name_of_a_megabyte_is_not_repeated(policy: Policies) -> None:
    deny = authorize_call(policy(), asking(model="x" * 1_000_000))[0]

    assert len(deny.reason) < 250


def test_a_missing_model_is_the_endpoints_default(policy: Policies) -> None:
    assert authorize_call(policy("models: [gpt-image-1]"), asking(IMAGES)) == []
    assert facts(authorize_call(policy("models: [gpt-4o]"), asking(IMAGES))) == REFUSED
    assert facts(authorize_call(policy("models: [gpt-4o]"), asking(IMAGES, model=None))) == REFUSED


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_where_there_is_no_default_a_model_must_be_named(policy: Policies, endpoint: Endpoint) -> None:
    assert facts(authorize_call(policy('models: ["*"]'), asking(endpoint))) == [
        (ErrorCode.INVALID_VALUE, Mode.ENFORCE, "model")
    ]


@pytest.mark.parametrize("model", [5, True, ["gpt-4o"], {"name": "gpt-4o"}])
def test_a_model_that_is_no_string_is_never_taken_for_the_default(policy: Policies, model: Any) -> None:
    assert facts(authorize_call(policy('models: ["*"]'), asking(IMAGES, model=model))) == [
        (ErrorCode.INVALID_VALUE, Mode.ENFORCE, "model")
    ]


def test_a_call_that_has_no_model_by_nature_passes(policy: Policies) -> None:
    assert authorize_call(policy("models: []"), asking(NO_MODEL)) == []


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "function"}, {"type": "image_generation", "model": "o3"}]}, "tools.1.model"),
        ({"moderation": {"model": "o3"}}, "moderation.model"),
    ],
)
def test_further_models_of_a_request_are_judged_too(
    policy: Policies, members: dict[str, Any], param: str
) -> None:
    denies = authorize_call(policy("models: [gpt-4o]"), asking(RESPONSES, model="gpt-4o", **members))

    assert facts(denies) == [(ErrorCode.MODEL_NOT_ALLOWED, Mode.ENFORCE, param)]


@pytest.mark.parametrize("name", ["fast", "house-model", "deployment-7"])
def test_a_further_model_goes_upstream_as_written_and_must_mean_the_same_there(
    policy: Policies, name: str
) -> None:
    call = asking(RESPONSES, model="gpt-4o", tools=[{"type": "image_generation", "model": name}])

    assert [deny.param for deny in authorize_call(policy('models: ["*"]'), call)] == ["tools.0.model"]


@pytest.mark.parametrize(
    "members", [{"tools": "x"}, {"tools": [5, None, {"model": 5}]}, {"moderation": ["x"]}, {"tools": None}]
)
def test_malformed_tools_are_left_to_the_upstream(policy: Policies, members: dict[str, Any]) -> None:
    assert authorize_call(policy("models: [gpt-4o]"), asking(RESPONSES, model="gpt-4o", **members)) == []


def test_users_of_a_model_that_goes_away_are_warned(policy: Policies) -> None:
    deny = authorize_call(policy(), asking(model="gpt-4o-mini"))[0]

    assert (deny.mode, deny.rule) == (Mode.WARN, "models.deprecated")
    assert (
        deny.reason == "The model `gpt-4o-mini` is announced to go away on 2027-01-14. Use `gpt-4o` instead."
    )


def test_the_list_of_models_is_what_the_caller_may_use(policy: Policies) -> None:
    assert [model.name for model in usable_models(policy("models: [o3, gpt-4o*]"))] == [
        "gpt-4o",
        "gpt-4o-mini",
        "o3",
    ]


def test_a_list_that_only_watches_hides_nothing(policy: Policies) -> None:
    assert len(usable_models(policy("models: {allow: [], mode: shadow}"))) == 5


def test_what_has_no_price_is_hidden_from_those_who_may_use_only_what_has_one(policy: Policies) -> None:
    picky = policy("models: ['*']\nunpriced: refuse")
    models = picky.catalogue.models
    priced = replace(models["o3"], prices=(Price(Rates(input=2_000_000)),))
    picky = replace(picky, catalogue=replace(picky.catalogue, models={**models, "o3": priced}))
    assert usable_models(picky) == [priced]
    assert usable_model(picky, "gpt-4o") is None


@pytest.mark.parametrize(
    ("name", "found"), [("fast", "gpt-4o-mini"), ("gpt-4o", "gpt-4o"), ("o3", None), ("x", None)]
)
def test_one_model_is_shown_if_the_caller_may_use_it(policy: Policies, name: str, found: str | None) -> None:
    model = usable_model(policy("models: [gpt-4o*]"), name)

    assert (model and model.name) == found


# What a credential is for, within its team's policy.


def judged(denies: list[Deny]) -> list[tuple[ErrorCode, str]]:
    assert all(deny.mode is Mode.ENFORCE for deny in denies)
    return [(deny.code, deny.rule) for deny in denies]


@pytest.mark.parametrize(
    ("grant", "endpoint", "expected"),
    [
        (Grant(endpoints=("chat_*",)), CHAT, []),
        (Grant(endpoints=("chat_*",)), RESPONSES, [(ErrorCode.ENDPOINT_NOT_ALLOWED, "key.endpoints")]),
        (Grant(models=("o3",)), CHAT, []),
        (Grant(read_only=True), NO_MODEL, []),
        (Grant(read_only=True), CHAT, [(ErrorCode.PERMISSION_DENIED, "key.read_only")]),
    ],
)
def test_a_credential_is_for_some_endpoints(
    policy: Policies, grant: Grant, endpoint: Endpoint, expected: list[tuple[ErrorCode, str]]
) -> None:
    assert judged(authorize_endpoint(narrowed(policy(), grant), endpoint)) == expected


def test_what_the_team_may_not_no_credential_may(policy: Policies) -> None:
    strict = narrowed(policy("endpoints: [responses]\nmodels: [gpt-4o]"), Grant(("*",), ("*",), False, 5))

    assert facts(authorize_endpoint(strict, CHAT)) == [(ErrorCode.ENDPOINT_NOT_ALLOWED, Mode.ENFORCE, None)]
    assert facts(authorize_call(strict, asking(model="o3"))) == REFUSED


@pytest.mark.parametrize("model", ["o3", "hidden"])
def test_a_credential_is_for_some_models_by_whatever_name(policy: Policies, model: str) -> None:
    own = narrowed(policy("models: ['*']"), Grant(models=("gpt-4o",)))

    assert authorize_call(own, asking(model="gpt-4o")) == []
    assert judged(authorize_call(own, asking(model=model))) == [(ErrorCode.MODEL_NOT_ALLOWED, "key.models")]


def test_further_models_are_judged_by_the_credential_too(policy: Policies) -> None:
    own = narrowed(policy("models: ['*']"), Grant(models=("gpt-4o",)))

    denies = authorize_call(own, asking(RESPONSES, model="gpt-4o", moderation={"model": "o3"}))

    assert [(deny.rule, deny.param) for deny in denies] == [("key.models", "moderation.model")]


def test_what_a_credential_is_not_for_is_hidden(policy: Policies) -> None:
    own = narrowed(policy("models: ['*']"), Grant(models=("gpt-4o*",)))

    assert [model.name for model in usable_models(own)] == ["gpt-4o", "gpt-4o-mini"]
    assert usable_model(own, "o3") is None
    assert usable_model(own, "fast") is not None
