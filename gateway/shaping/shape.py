"""Applies a policy's shaping rules to a request: strip, default, clamp, force, alias, and the guard.

The order is the same whatever order the files have: a default is clamped like what a client asks for, and
what is forced has the last word. Rules that are not enforced change nothing and say what they would have
done. Last of all the usage of streams is asked for, which no policy can switch off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.core.call import REMOVED, Call
from gateway.core.decision import Deny, Mode
from gateway.core.patterns import matches
from gateway.core.policy import Model, Policy, ShapingKind, ShapingRule
from gateway.core.principal import Principal
from gateway.shaping.alias import alias
from gateway.shaping.change import Act
from gateway.shaping.clamp import clamp
from gateway.shaping.context_window import guard
from gateway.shaping.defaults import default
from gateway.shaping.force import force
from gateway.shaping.interfaces import Tokenizer
from gateway.shaping.strip import strip
from gateway.shaping.usage import options_to_send

ACTS: Final[Mapping[ShapingKind, Act]] = MappingProxyType(
    {
        ShapingKind.STRIP: strip,
        ShapingKind.DEFAULT: default,
        ShapingKind.CLAMP: clamp,
        ShapingKind.FORCE: force,
    }
)
"""In the order in which they are applied."""

MOST_PLANS: Final = 4096


class Shaped(NamedTuple):
    """The request as it will be sent, and what was decided on the way."""

    call: Call
    notes: tuple[Deny, ...] = ()
    """Refusals of guards, and what rules in shadow or warn mode would have done."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a policy does to calls of one endpoint for one model."""

    policy: Policy
    """Kept, so that no other policy can have its identity."""
    steps: tuple[tuple[ShapingRule, Act], ...]
    guards: tuple[ShapingRule, ...]


class Shaper:
    """Shapes requests. Remembers which rules concern which requests."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._plans: dict[tuple[int, str, str | None], _Plan] = {}

    def shape(self, call: Call, policy: Policy, principal: Principal, model: Model | None) -> Shaped:
        """Raises nothing: a refusal is among the notes. `model` is the catalogue's entry for the call."""
        plan = self._plan(policy, call.endpoint.name, model)
        changes: dict[str, Any] = {}
        notes: list[Deny] = []
        for rule, act in plan.steps:
            member = rule.member
            value = changes[member] if member in changes else call.get(member, REMOVED)
            change = act(rule, value, principal)
            if change is None:
                continue
            if rule.mode is Mode.ENFORCE:
                changes[member] = change.value
            else:
                notes.append(change.noted(rule))
        if model is not None:
            if (name := alias(call, model)) is not None:
                changes["model"] = name
            if plan.guards:
                notes += filter(None, [guard(rule, call, model, self._tokenizer) for rule in plan.guards])
        if (options := options_to_send(call)) is not None:
            changes["stream_options"] = options
        return Shaped(call.changed(changes) if changes else call, tuple(notes))

    def _plan(self, policy: Policy, endpoint: str, model: Model | None) -> _Plan:
        key = (id(policy), endpoint, model.name if model is not None else None)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = _planned(policy, endpoint, key[2])
        return plan


def _planned(policy: Policy, endpoint: str, model: str | None) -> _Plan:
    rules = [rule for rule in policy.shaping if _concerns(rule, endpoint, model)]
    steps = tuple((rule, act) for kind, act in ACTS.items() for rule in rules if rule.kind is kind)
    guards = tuple(rule for rule in rules if rule.kind is ShapingKind.CONTEXT_WINDOW)
    return _Plan(policy, steps, guards)


def _concerns(rule: ShapingRule, endpoint: str, model: str | None) -> bool:
    if rule.mode is Mode.OFF or not matches(rule.endpoints, endpoint):
        return False
    return "*" in rule.models if model is None else matches(rule.models, model)
