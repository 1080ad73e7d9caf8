"""The pretended model: the same wish always gets the same words, calls and token counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from gateway.simulator.answer import Json
from gateway.simulator.bill import Bill
from gateway.simulator.schema import example
from gateway.simulator.text import count, dice, pictures, sentences, texts, tokens

MOST_TOKENS = 10_000_000
_SHORTEST, _LONGEST = 12, 40
_A_MESSAGE = 3
_A_PICTURE = 85
_CACHED = 1024
"""Of a longer prompt so many tokens count as read from the cache."""
_REASONERS = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_REASONING = {"none": 0, "minimal": 0, "low": 8, "medium": 16, "high": 32, "xhigh": 64}
_SHORTEST_TELLING_WORD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of the model, whichever endpoint asks."""

    model: str
    contents: Sequence[object]
    """What each message holds, in order: a string, or a list of typed parts."""
    asks: str = ""
    """What the user said last; empty when a tool's result is to be answered."""
    most_tokens: int = MOST_TOKENS
    tools: Mapping[str, Json] = field(default_factory=dict)
    """The schema of the arguments by the function's name."""
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of a function."""
    schema: Json | None = None
    """The answer shall be JSON of this schema."""
    effort: str = "medium"

    @property
    def prompt_tokens(self) -> int:
        said = sum(count(text) for content in self.contents for text in texts(content))
        seen = sum(_A_PICTURE * pictures(content) for content in self.contents)
        offered = count(msgspec.json.encode(self.tools).decode()) if self.tools else 0
        return said + seen + offered + _A_MESSAGE * (len(self.contents) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One choice of the model. The tokens spell its text, or the arguments of its call."""

    tokens: tuple[str, ...]
    call: str | None
    """The function that it calls."""
    finish: Literal["stop", "length", "tool_calls"]
    reasoning_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) + self.reasoning_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one request cost, before it is spelled in an endpoint's own words."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int

    @property
    def cached_tokens(self) -> int:
        return _CACHED if self.prompt_tokens > _CACHED else 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def bill(self) -> Bill:
        return Bill(
            input_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.completion_tokens,
        )


def usage_of(wish: Wish, said: Sequence[Said]) -> Usage:
    return Usage(
        prompt_tokens=wish.prompt_tokens,
        completion_tokens=sum(each.completion_tokens for each in said),
        reasoning_tokens=sum(each.reasoning_tokens for each in said),
    )


def speak(wish: Wish, choice: int = 0) -> Said:
    """One choice. Hidden reasoning comes first and is cut first, as with the real ones."""
    call = _called(wish)
    planned = _planned(wish, call, choice)
    reasoning = _REASONING.get(wish.effort, 0) if wish.model.startswith(_REASONERS) else 0
    reasoning = min(reasoning, wish.most_tokens)
    spoken = planned[: wish.most_tokens - reasoning]
    finish: Literal["stop", "tool_calls"] = "tool_calls" if call else "stop"
    return Said(
        tokens=spoken,
        call=call,
        finish=finish if spoken == planned else "length",
        reasoning_tokens=reasoning,
    )


def _planned(wish: Wish, call: str | None, choice: int) -> tuple[str, ...]:
    schema = wish.schema if call is None else wish.tools[call]
    if schema is not None:
        return tuple(tokens(msgspec.json.encode(example(schema)).decode()))
    said = (text for content in wish.contents for text in texts(content))
    seed = "\n".join([wish.model, str(choice), *said])
    return sentences(seed, _SHORTEST + dice(seed, 1)[0] % (_LONGEST - _SHORTEST))


def _called(wish: Wish) -> str | None:
    """The forced function, or the one whose name shares a telling word with what the user asked."""
    if wish.tool_choice in wish.tools:
        return wish.tool_choice
    if wish.tool_choice == "required":
        return next(iter(wish.tools), None)
    asked = wish.asks.lower() if wish.tool_choice == "auto" else ""
    for name in wish.tools:
        words = [word for word in name.lower().split("_") if len(word) >= _SHORTEST_TELLING_WORD]
        if any(word in asked for word in words):
            return name
    return None
