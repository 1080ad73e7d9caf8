"""Facts about `gateway/policies/shaping_rules.py`."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.decision import Mode
from gateway.core.policy import ShapingKind, ShapingRule
from gateway.policies.shaping_rules import ShapingSpelling


def compiled(**rule: Any) -> tuple[ShapingRule, ...]:
    spelling: Any = TypeAdapter(ShapingSpelling).validate_python(rule)
    return spelling.compiled("it")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"clamp": "n", "at_most": 4}, ShapingRule("it", ShapingKind.CLAMP, member="n", at_most=4)),
        ({"default": "n", "value": 2}, ShapingRule("it", ShapingKind.DEFAULT, member="n", value=2)),
        (
            {"force": "store", "value": False},
            ShapingRule("it", ShapingKind.FORCE, member="store", value=False),
        ),
        (
            {"force": "user", "from": "principal.subject"},
            ShapingRule("it", ShapingKind.FORCE, member="user", from_principal="subject"),
        ),
        ({"strip": "seed"}, ShapingRule("it", ShapingKind.STRIP, member="seed")),
        ({"guard": "context_window"}, ShapingRule("it", ShapingKind.CONTEXT_WINDOW)),
    ],
)
def test_each_verb_makes_its_rule(rule: dict[str, Any], expected: ShapingRule) -> None:
    assert compiled(**rule) == (expected,)


def test_a_clamp_of_several_members_is_a_rule_for_each_under_one_name() -> None:
    rules = compiled(clamp=["max_tokens", "max_completion_tokens"], at_most=100)

    assert [(rule.name, rule.member) for rule in rules] == [
        ("it", "max_tokens"),
        ("it", "max_completion_tokens"),
    ]


def test_a_whole_bound_stays_whole() -> None:
    assert repr(compiled(clamp="n", at_most=4)[0].at_most) == "4"
    assert repr(compiled(clamp="temperature", at_most=0.7)[0].at_most) == "0.7"


def test_null_can_be_forced() -> None:
    assert compiled(force="user", value=None)[0].value is None


def test_endpoints_and_models_narrow_a_rule() -> None:
    rule = compiled(strip="seed", endpoints=["chat*"], models=["gpt-*"], mode="warn")[0]

    assert (rule.endpoints, rule.models, rule.mode) == (("chat*",), ("gpt-*",), Mode.WARN)


def test_a_rule_that_is_off_is_no_rule() -> None:
    assert compiled(strip="seed", mode="off") == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"clamp": "n"},
        {"clamp": "n", "at_most": True},
        {"clamp": "n", "at_most": "4"},
        {"clamp": "n", "at_most": float("inf")},
        {"clamp": [], "at_most": 4},
        {"clamp": "n", "at_least": 5, "at_most": 4},
        {"default": "n"},
        {"force": "user"},
        {"force": "user", "value": "x", "from": "principal.team"},
        {"force": "user", "from": "principal.key_id"},
        {"force": "user", "from_": "principal.team"},
        {"strip": "a.b"},
        {"strip": "model"},
        {"force": "stream", "value": False},
        {"default": "stream_options", "value": {}},
        {"clamp": "n", "strip": "n", "at_most": 4},
        {},
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compiled(**rule)
