"""The stream of chat and completions: who asks for usage gets `"usage":null` in each chunk, and one more."""

from collections.abc import Iterable, Iterator
from secrets import token_hex
from typing import NamedTuple

from gateway.simulator.answer import Answer, Json, Part, stream
from gateway.simulator.ask import Ask
from gateway.simulator.errors import invalid
from gateway.simulator.pretend import Usage


class Choice(NamedTuple):
    """One member of a chunk's `choices`, and how many tokens it says."""

    body: Json
    tokens: int = 0


def is_streamed(ask: Ask) -> bool:
    """Raises Refusal (400), as OpenAI does, for options of a stream that is none."""
    if ask.body.get("stream_options") is not None and not ask.flag("stream"):
        only = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid(only, "stream_options")
    return ask.flag("stream")


def head(ask: Ask, kind: str, prefix: str) -> Json:
    """What an answer and all of its chunks begin with: a fresh id, the object's kind, the time, the model."""
    common: Json = {"id": prefix + token_hex(14), "object": kind, "created": ask.created, "model": ask.model}
    return common | {"service_tier": ask.tier, "system_fingerprint": "fp_simulator"}


def spell(usage: Usage) -> Json:
    """Usage in the words of chat and completions."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chunked(ask: Ask, common: Json, choices: Iterable[Choice], usage: Usage) -> Answer:
    """The whole stream, `[DONE]` included."""
    return stream(_parts(ask, common, choices, usage), bill=usage.bill)


def _parts(ask: Ask, common: Json, choices: Iterable[Choice], usage: Usage) -> Iterator[Part]:
    reports = ask.object("stream_options").get("include_usage") is True
    no_usage_yet: Json = {"usage": None} if reports else {}
    position = 0
    if ask.azure:
        yield Part(_azure_preface())
    for position, choice in enumerate(choices, start=1):
        body = common | {"choices": [choice.body]} | no_usage_yet | ask.padding(position)
        yield Part(body, tokens=choice.tokens)
    if reports:
        yield Part(common | {"choices": [], "usage": spell(usage)} | ask.padding(position + 1))
    yield Part("[DONE]")


def _azure_preface() -> Json:
    """Azure begins with a chunk of no choices, easily mistaken for the one that carries usage."""
    return {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []}
