"""How many tokens an answer is expected to have, and the most that a call can use: both before it is sent.

Expected, not the worst: to reserve every caller's `max_tokens` would starve agents that name a large one and
use little of it. What answers typically have is learnt, for each key, model and endpoint by itself; and how
much of it is reasoning, which nobody sees of an answer that is cut. The most is for budgets that may never be
overspent. Settling puts either right.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, Final, TypeVar

from gateway.core.call import Call
from gateway.core.endpoint import Dialect
from gateway.core.policy import Model
from gateway.core.principal import Principal
from gateway.wire.tokens import Tokenizer

TYPICAL_OUTPUT: Final = 256
"""Tokens of an answer, while nothing better is known."""
TYPICAL_REASONING: Final = 256
"""Tokens of hidden reasoning, while nothing better is known, of a call that asks for some."""
REASONING_PER_SECOND: Final = 100
"""Tokens that a model is supposed to have thought at most before its first word."""
WEIGHT: Final = 1 / 8
"""Of the latest answer in the mean. One odd answer moves it little; another habit has nearly arrived after
some twenty."""

_CAPS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""By family of endpoints. A cap that an endpoint does not know bounds nothing."""
_CHOICES: Final = ("n", "best_of")
_TELLING: Final = frozenset(("prompt", *_CHOICES, *(cap for caps in _CAPS.values() for cap in caps)))
_ANSWERS_WITH_TEXT: Final = frozenset({Dialect.CHAT, Dialect.RESPONSES})

_OWN_TOOLS: Final = ("function", "custom")
"""Tools that the caller runs. What others add to the input, and how often, nobody knows beforehand."""
_TEXTUAL: Final = (
    *(None, "message", "text", "input_text", "output_text", "refusal"),
    *("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
)
"""Types of items, and of parts of their content, that are spelled out."""
_KEPT_ELSEWHERE: Final = ("previous_response_id", "conversation")

_Habit = tuple[str, str, str, str]
_Kind = tuple[str, str]
"""A model and an endpoint."""
_Key = TypeVar("_Key")


class TypicalOutputs:
    """What the answers to each key typically have, by model and endpoint: means that forget."""

    def __init__(self, *, most: int = 10_000) -> None:
        """`most`: habits that are remembered; the one longest unused is forgotten."""
        self._most = most
        self._means: OrderedDict[_Habit, float] = OrderedDict()
        self._reasoning: OrderedDict[_Habit | _Kind, float] = OrderedDict()
        """Of each key's habits; and of everybody together, for those that have none yet."""

    def of(self, principal: Principal, model: Model, call: Call) -> int:
        """Tokens of one choice."""
        habit = _habit(principal, model, call)
        mean = self._means.get(habit)
        if mean is None:
            return TYPICAL_OUTPUT
        self._means.move_to_end(habit)
        return ceil(mean)

    def reasoning_of(self, principal: Principal, model: Model, call: Call) -> int:
        """Tokens of hidden reasoning, in all choices together."""
        effort = _effort(call)
        if effort == "none" or call.endpoint.dialect not in _ANSWERS_WITH_TEXT:
            return 0
        habit = _habit(principal, model, call)
        usual = 0 if effort is None else TYPICAL_REASONING
        mean = self._reasoning.get(habit, self._reasoning.get(habit[2:], usual))
        return ceil(mean) * _choices(call)

    def learn(
        self, principal: Principal, model: Model, call: Call, tokens: int, reasoning: int | None = None
    ) -> None:
        """An answer came whole, and had so many tokens in all its choices together; so many of them were
        reasoning, if that was told.
        """
        habit, choices = _habit(principal, model, call), _choices(call)
        mean = self._means.get(habit, TYPICAL_OUTPUT)
        self._keep(self._means, habit, mean + (tokens / choices - mean) * WEIGHT)
        if reasoning is not None:
            for whose in (habit, habit[2:]):
                mean = self._reasoning.get(whose, reasoning / choices)
                self._keep(self._reasoning, whose, mean + (reasoning / choices - mean) * WEIGHT)

    def _keep(self, means: "OrderedDict[_Key, float]", whose: _Key, mean: float) -> None:
        means[whose] = mean
        means.move_to_end(whose)
        if len(means) > self._most:
            means.popitem(last=False)


def unseen_reasoning(typical: int, *, passed: int, seconds: float, reserved: int, most: int | None) -> int:
    """Tokens of reasoning behind an answer of which so many `passed` before it was cut, `seconds` after it
    was asked for.

    The typical, once it has begun to speak; before, no more than can have been thought in that time. With
    what passed never more than was reserved, nor than the call allows.
    """
    thought = typical if passed else min(typical, ceil(seconds * REASONING_PER_SECOND))
    room = reserved if most is None else min(reserved, most)
    return max(0, min(thought, room - passed))


def expected_output(call: Call, model: Model, typical: int) -> int:
    """Tokens of the answer: what is typical, but at most what is allowed, for each choice."""
    if call.endpoint.dialect not in _ANSWERS_WITH_TEXT:
        return 0
    if _TELLING.isdisjoint(call.members) and _TELLING.isdisjoint(call.changes):
        return typical if model.max_output is None else min(typical, model.max_output)
    allowed = _allowed(call, model)
    return (typical if allowed is None else min(typical, allowed)) * _choices(call)


def most_output(call: Call, model: Model) -> int | None:
    """The most tokens that all choices together can have; None when neither caller nor model bounds them."""
    if call.endpoint.dialect not in _ANSWERS_WITH_TEXT:
        return 0
    allowed = _allowed(call, model)
    return None if allowed is None else allowed * _choices(call)


def most_input(call: Call, model: Model, tokenizer: Tokenizer) -> int | None:
    """The most tokens that the provider can count for what is asked; None when nobody can say.

    The whole body is counted as the text that it is, by the model's vocabulary: all that the model sees
    stands in it, and JSON frames a message or a tool in more tokens than a provider does. What stands
    elsewhere, or is no text (pictures, sound, files), is at most what the context window holds.
    """
    if any(kind not in _OWN_TOOLS for kind in _tools(call)):
        return None
    if not isinstance(call.body, bytes) or not _is_spelled_out(call):
        return model.context_window
    return tokenizer.most([call.body.decode(), *map(str, call.changes.values())], model.encoding)


def most_read(call: Call, model: Model) -> int | None:
    """The most input tokens that a provider can sensibly report: what the model can hold, for each of several
    inputs; None when nobody can say."""
    if model.context_window is None or any(kind not in _OWN_TOOLS for kind in _tools(call)):
        return None
    return (model.context_window + (model.max_output or 0)) * _inputs(call)


def cap_of(call: Call) -> str:
    """The member by which a caller bounds the output, where that can be done."""
    return _CAPS.get(call.endpoint.family, ("max_tokens",))[0]


def _habit(principal: Principal, model: Model, call: Call) -> _Habit:
    return principal.team, principal.key_id, model.name, call.endpoint.name


def _allowed(call: Call, model: Model) -> int | None:
    """Tokens that each choice may have: by the caller's cap (of two, nobody knows which one counts) and by
    the model's.
    """
    cap = -1
    for member in _CAPS.get(call.endpoint.family, ()):
        value = call.get(member)
        if isinstance(value, int) and value > cap:
            cap = value
    if cap < 0 or model.max_output is None:
        return model.max_output if cap < 0 else cap
    return min(cap, model.max_output)


def _choices(call: Call) -> int:
    """How many answers there will be: so many for each prompt."""
    choices, prompts = 1, 1
    for member in _CHOICES:
        value = call.get(member)
        if isinstance(value, int) and value > choices:
            choices = value
    several = call.get("prompt")
    if isinstance(several, list) and several and not isinstance(several[0], int):
        prompts = len(several)
    return choices * prompts


def _effort(call: Call) -> object:
    """How much the model is asked to think, as chat and the responses API spell it; None: nothing is said."""
    reasoning = call.get("reasoning")
    told = reasoning.get("effort") or "medium" if isinstance(reasoning, dict) else None
    return call.get("reasoning_effort") or told


def _inputs(call: Call) -> int:
    """How many texts are embedded or completed, each with the whole window for itself."""
    several = call.get("prompt" if call.endpoint.dialect is Dialect.CHAT else "input")
    if call.endpoint.dialect is Dialect.RESPONSES or not isinstance(several, list):
        return 1
    return 1 if not several or isinstance(several[0], int) else len(several)


def _tools(call: Call) -> Iterator[object]:
    """The kinds of the tools that the model may use."""
    if call.get("web_search_options") is not None:
        yield "web_search"
    tools = call.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        yield tool.get("type") if isinstance(tool, dict) else None


def _is_spelled_out(call: Call) -> bool:
    """Whether all that the model gets to see is text, and stands in the body."""
    if any(call.get(member) is not None for member in _KEPT_ELSEWHERE):
        return False
    return not isinstance(call.get("prompt"), dict) and all(map(_is_text, _things(call)))


def _things(call: Call) -> Iterator[Any]:
    """Messages and items, and the parts of what they say."""
    for member in ("messages", "input"):
        items = call.get(member)
        for item in items if isinstance(items, list) else ():
            yield item
            for name in ("content", "output"):
                parts = item.get(name) if isinstance(item, dict) else None
                yield from parts if isinstance(parts, list) else ()


def _is_text(thing: Any) -> bool:
    if not isinstance(thing, dict):
        return True
    kind, sealed = thing.get("type"), thing.get("encrypted_content")
    return thing.get("audio") is None and (kind in _TEXTUAL or (kind == "reasoning" and sealed is not None))
