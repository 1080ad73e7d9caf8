"""Legacy completions: one choice for each prompt and each of `n`; whole and streamed."""

from collections.abc import Iterator

from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.ask import Ask
from gateway.simulator.chunks import Choice, chunked, head, is_streamed, spell
from gateway.simulator.pretend import Said, Wish, speak, usage_of

_MOST_CHOICES = 128
_MOST_TOKENS = 10_000_000
_USUAL_TOKENS = 16
"""OpenAI's own default for `max_tokens` here."""


def answer(ask: Ask) -> Answer:
    prompts = ask.strings("prompt")
    most = ask.integer("max_tokens", _USUAL_TOKENS, _MOST_TOKENS)
    each = range(ask.integer("n", 1, _MOST_CHOICES))
    wishes = [Wish(model=ask.model, contents=[prompt], most_tokens=most) for prompt in prompts]
    said = [speak(wish, index) for wish in wishes for index in each]
    usage = usage_of(Wish(model=ask.model, contents=prompts), said)
    common = head(ask, "text_completion", "cmpl-")
    if is_streamed(ask):
        choices = (choice for index, spoken in enumerate(said) for choice in _deltas(index, spoken))
        return chunked(ask, common, choices, usage)
    bodies = [_choice(index, spoken.text, spoken.finish) for index, spoken in enumerate(said)]
    return whole(
        common | {"choices": bodies, "usage": spell(usage)}, usage.completion_tokens, bill=usage.bill
    )


def _deltas(index: int, said: Said) -> Iterator[Choice]:
    for token in said.tokens:
        yield Choice(_choice(index, token, None), 1)
    yield Choice(_choice(index, "", said.finish))


def _choice(index: int, text: str, finish: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
