"""Chat completions: text, tool calls, structured outputs, several choices, logprobs; whole and streamed."""

from collections.abc import Iterator
from itertools import chain, zip_longest
from secrets import token_hex

from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.ask import Ask
from gateway.simulator.chunks import Choice, chunked, head, is_streamed, spell
from gateway.simulator.pretend import MOST_TOKENS, Said, Wish, speak, usage_of
from gateway.simulator.text import texts

_MOST_CHOICES = 128
_MOST_ALTERNATIVES = 20


def answer(ask: Ask) -> Answer:
    wish = _wish(ask)
    said = [speak(wish, index) for index in range(ask.integer("n", 1, _MOST_CHOICES))]
    usage = usage_of(wish, said)
    if is_streamed(ask):
        # Choices arrive in turns, not one after the other.
        turns = zip_longest(*(_deltas(ask, index, each) for index, each in enumerate(said)))
        choices = (choice for choice in chain.from_iterable(turns) if choice is not None)
        return chunked(ask, head(ask, "chat.completion.chunk", "chatcmpl-"), choices, usage)
    common = head(ask, "chat.completion", "chatcmpl-")
    bodies = [_choice(ask, index, each) for index, each in enumerate(said)]
    return whole(
        common | {"choices": bodies, "usage": spell(usage)}, usage.completion_tokens, bill=usage.bill
    )


def _wish(ask: Ask) -> Wish:
    messages = ask.objects("messages")
    last = messages[-1]
    most = ask.integer("max_tokens", MOST_TOKENS, MOST_TOKENS)
    return Wish(
        model=ask.model,
        contents=[message.get("content") for message in messages],
        asks=" ".join(texts(last.get("content"))) if last.get("role") == "user" else "",
        most_tokens=ask.integer("max_completion_tokens", most, MOST_TOKENS),
        tools=ask.functions(),
        tool_choice=ask.tool_choice(),
        schema=ask.schema(ask.object("response_format")),
        effort=ask.text("reasoning_effort", "medium"),
    )


def _choice(ask: Ask, index: int, said: Said) -> Json:
    message: Json = {"role": "assistant", "content": said.text, "refusal": None, "annotations": []}
    if said.call:
        message |= {"content": None, "tool_calls": [_call(said.call, said.text)]}
    logprobs = None if said.call else _logprobs(ask, said.tokens)
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": said.finish}


def _deltas(ask: Ask, index: int, said: Said) -> Iterator[Choice]:
    def choice(delta: Json, logprobs: Json | None = None, finish: str | None = None) -> Json:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    opening: Json = {"role": "assistant", "content": "", "refusal": None}
    if said.call:
        opening |= {"content": None, "tool_calls": [{"index": 0, **_call(said.call, "")}]}
    yield Choice(choice(opening), said.reasoning_tokens)
    for token in said.tokens:
        if said.call:
            yield Choice(choice({"tool_calls": [{"index": 0, "function": {"arguments": token}}]}), 1)
        else:
            yield Choice(choice({"content": token}, _logprobs(ask, (token,))), 1)
    yield Choice(choice({}, finish=said.finish))


def _call(name: str, arguments: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{token_hex(12)}", "type": "function", "function": function}


def _logprobs(ask: Ask, tokens: tuple[str, ...]) -> Json | None:
    if not ask.flag("logprobs"):
        return None
    ranks = range(ask.integer("top_logprobs", 0, _MOST_ALTERNATIVES, least=0))
    likely = [[_likely(token, rank) for rank in ranks] for token in tokens]
    content = [_likely(token, 0) | {"top_logprobs": tops} for token, tops in zip(tokens, likely, strict=True)]
    return {"content": content, "refusal": None}


def _likely(token: str, rank: int) -> Json:
    """A token and its probability; rank 0 is the one that was said."""
    other = token + "'" * rank
    return {"token": other, "logprob": -0.125 - 2.0 * rank, "bytes": list(other.encode())}
