"""Facts about `gateway/shaping/shape.py`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.core.call import REMOVED, Call
from gateway.core.decision import Mode
from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.errors import ErrorCode
from gateway.core.policy import Model, Policy, ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping import shape
from gateway.shaping.shape import ACTS, Shaper
from gateway.wire.patch import encode_json

CLAMP, DEFAULT, FORCE, STRIP, GUARD = (
    ShapingKind.CLAMP,
    ShapingKind.DEFAULT,
    ShapingKind.FORCE,
    ShapingKind.STRIP,
    ShapingKind.CONTEXT_WINDOW,
)
RESPONSES = Endpoint("responses", "POST", "/v1/responses", "responses", dialect=Dialect.RESPONSES)

Chat = Callable[..., Call]
Policies = Callable[..., Policy]


@pytest.fixture
def shaper(tokenizer: Any) -> Shaper:
    return Shaper(tokenizer=tokenizer)


def sent(call: Call) -> dict[str, Any]:
    return msgspec.json.decode(encode_json(call))  # type: ignore[no-any-return]


def test_every_kind_of_rule_has_its_act_or_is_the_guard() -> None:
    assert {*ACTS, GUARD} == set(ShapingKind)


def test_when_no_rule_changes_anything_the_call_is_the_clients_own(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    call = chat(n=1)
    rules = policy(ShapingRule("few", CLAMP, member="n", at_most=4), ShapingRule("no", STRIP, member="seed"))

    shaped = shaper.shape(call, rules, principal, model)

    assert shaped.call is call
    assert shaped.notes == ()


def test_rules_change_only_their_members(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    call = chat(n=9, seed=1, temperature=0.5, user="jane")
    rules = policy(
        ShapingRule("few", CLAMP, member="n", at_most=4),
        ShapingRule("who", FORCE, member="user", from_principal="subject"),
        ShapingRule("private", FORCE, member="store", value=False),
        ShapingRule("no", STRIP, member="seed"),
    )

    shaped = shaper.shape(call, rules, principal, model)

    assert sent(shaped.call) == {
        "model": "gpt-4o",
        "n": 4,
        "temperature": 0.5,
        "user": "search/daily",
        "store": False,
    }
    assert shaped.call.changes["seed"] is REMOVED


def test_a_default_is_clamped_like_what_a_client_asks_for(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    rules = policy(
        ShapingRule("longest", CLAMP, member="max_tokens", at_most=100),
        ShapingRule("usual", DEFAULT, member="max_tokens", value=500),
    )

    assert sent(shaper.shape(chat(), rules, principal, model).call)["max_tokens"] == 100


def test_what_is_forced_has_the_last_word(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    rules = policy(
        ShapingRule("forced", FORCE, member="n", value=7),
        ShapingRule("few", CLAMP, member="n", at_most=4),
        ShapingRule("none", STRIP, member="n"),
    )

    assert sent(shaper.shape(chat(n=1), rules, principal, model).call)["n"] == 7


def test_a_default_after_a_strip_replaces_what_the_client_said(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    rules = policy(ShapingRule("a", DEFAULT, member="seed", value=1), ShapingRule("b", STRIP, member="seed"))

    assert sent(shaper.shape(chat(seed=5), rules, principal, model).call)["seed"] == 1


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
def test_a_rule_that_only_watches_changes_nothing_and_is_noted(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model, mode: Mode
) -> None:
    call = chat(n=9, seed=1)
    rules = policy(
        ShapingRule("few", CLAMP, mode, member="n", at_most=4),
        ShapingRule("calm", DEFAULT, mode, member="temperature", value=1),
        ShapingRule("who", FORCE, mode, member="user", from_principal="subject"),
        ShapingRule("no", STRIP, mode, member="seed"),
    )

    shaped = shaper.shape(call, rules, principal, model)

    assert shaped.call is call
    assert [(note.code, note.rule, note.mode, note.param) for note in shaped.notes] == [
        (ErrorCode.INVALID_VALUE, "shaping.no", mode, "seed"),
        (ErrorCode.INVALID_VALUE, "shaping.calm", mode, "temperature"),
        (ErrorCode.REQUEST_EXCEEDS_LIMIT, "shaping.few", mode, "n"),
        (ErrorCode.INVALID_VALUE, "shaping.who", mode, "user"),
    ]


def test_a_rule_that_is_off_does_nothing(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    rules = policy(ShapingRule("few", CLAMP, Mode.OFF, member="n", at_most=4))

    assert shaper.shape(chat(n=9), rules, principal, model) == (chat(n=9), ())


@pytest.mark.parametrize(
    ("endpoints", "models", "applies"),
    [
        (("chat_*",), ("*",), True),
        (("responses",), ("*",), False),
        (("*",), ("gpt-4*",), True),
        (("*",), ("o3", "o4"), False),
    ],
)
def test_a_rule_concerns_the_endpoints_and_models_that_it_names(
    shaper: Shaper,
    chat: Chat,
    policy: Policies,
    principal: Principal,
    model: Model,
    endpoints: tuple[str, ...],
    models: tuple[str, ...],
    applies: bool,
) -> None:
    rules = policy(ShapingRule("few", CLAMP, member="n", at_most=4, endpoints=endpoints, models=models))

    assert sent(shaper.shape(chat(n=9), rules, principal, model).call)["n"] == (4 if applies else 9)


def test_a_call_without_a_model_is_shaped_by_rules_for_all_models(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal
) -> None:
    rules = policy(
        ShapingRule("few", CLAMP, member="n", at_most=4),
        ShapingRule("calm", DEFAULT, member="temperature", value=1, models=("gpt-*",)),
    )

    assert shaper.shape(chat(n=9), rules, principal, None).call.changes == {"n": 4}


def test_the_upstreams_name_of_the_model_is_sent(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    shaped = shaper.shape(chat(model="fast"), policy(), principal, replace(model, upstream_model="d7"))

    assert sent(shaped.call)["model"] == "d7"
    assert shaped.call.members["model"] == "fast"


def test_the_usage_of_every_chat_stream_is_asked_for(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    shaped = shaper.shape(chat(stream=True), policy(), principal, model)

    assert sent(shaped.call)["stream_options"] == {"include_usage": True}
    assert shaper.shape(chat(RESPONSES, stream=True), policy(), principal, model).call.changes == {}


def test_a_guards_refusal_is_among_the_notes(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    call = chat(messages=[{"role": "user", "content": "word " * 500}])

    shaped = shaper.shape(call, policy(ShapingRule("fits", GUARD)), principal, model)

    assert [(note.code, note.mode) for note in shaped.notes] == [
        (ErrorCode.CONTEXT_LENGTH_EXCEEDED, Mode.ENFORCE)
    ]


def test_what_was_changed_before_is_shaped_as_it_is_now(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    call = chat(n=1).changed({"n": 9, "seed": REMOVED})
    rules = policy(
        ShapingRule("few", CLAMP, member="n", at_most=4),
        ShapingRule("seeded", DEFAULT, member="seed", value=7),
    )

    assert shaper.shape(call, rules, principal, model).call.changes == {"n": 4, "seed": 7}


def test_another_policy_is_never_taken_for_the_first(
    shaper: Shaper, chat: Chat, policy: Policies, principal: Principal, model: Model
) -> None:
    found = [
        shaper.shape(
            chat(n=999), policy(ShapingRule("few", CLAMP, member="n", at_most=most)), principal, model
        ).call.get("n")
        for most in range(200)
    ]

    assert found == list(range(200))


def test_the_number_of_plans_is_bounded(
    shaper: Shaper,
    chat: Chat,
    policy: Policies,
    principal: Principal,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shape, "MOST_PLANS", 10)

    for _ in range(100):
        shaper.shape(chat(), policy(), principal, model)

    assert len(shaper._plans) <= 10
