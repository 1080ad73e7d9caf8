"""The responses API: one message or one function call; whole, or as its typed and numbered events."""

from collections.abc import Iterator
from secrets import token_hex
from typing import Any, NamedTuple

from gateway.simulator.answer import Answer, Dialect, Json, Part, stream, whole
from gateway.simulator.ask import Ask, member
from gateway.simulator.errors import invalid
from gateway.simulator.pretend import MOST_TOKENS, Said, Usage, Wish, speak, usage_of
from gateway.simulator.text import texts

_UNSET = ("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "user")
_ECHOED: Json = dict.fromkeys(_UNSET) | {
    "background": False,
    "metadata": {},
    "parallel_tool_calls": True,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}
"""Members that come back as they were sent, and what stands there otherwise."""


class _Event(NamedTuple):
    body: Json
    tokens: int


def answer(ask: Ask) -> Answer:
    if "include_usage" in ask.object("stream_options"):
        # Here usage comes unasked, in the last event; OpenAI takes the option for a mistake.
        name = "stream_options.include_usage"
        raise invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    wish = _wish(ask)
    said = speak(wish)
    usage = usage_of(wish, [said])
    begun = _begun(ask)
    item = _item(said)
    ended = begun | _ending(said) | {"output": [item], "usage": _spell(usage)}
    if ask.flag("stream"):
        events = _numbered(_events(ask, said, begun, item, ended))
        return stream(events, Dialect.RESPONSES, bill=usage.bill)
    return whole(ended, usage.completion_tokens, bill=usage.bill)


def _wish(ask: Ask) -> Wish:
    given = ask.body.get("input")
    items = ask.objects("input") if isinstance(given, list) else [{"role": "user", "content": given}]
    contents = [item.get("content", item.get("output")) for item in items]
    last = items[-1] if items else {}
    return Wish(
        model=ask.model,
        contents=[ask.text("instructions"), *contents],
        asks=" ".join(texts(last.get("content"))) if last.get("role") == "user" else "",
        most_tokens=ask.integer("max_output_tokens", MOST_TOKENS, MOST_TOKENS),
        tools=ask.functions(),
        tool_choice=ask.tool_choice(),
        schema=ask.schema(member(ask.object("text"), "format")),
        effort=str(ask.object("reasoning").get("effort") or "medium"),
    )


def _begun(ask: Ask) -> Json:
    fresh: Json = {"id": f"resp_{token_hex(24)}", "object": "response", "status": "in_progress", "output": []}
    echoed = _ECHOED | {name: ask.body[name] for name in _ECHOED if ask.body.get(name) is not None}
    reasoning = {"effort": ask.object("reasoning").get("effort"), "summary": None}
    made: Json = {"created_at": ask.created, "model": ask.model, "reasoning": reasoning}
    made |= {"service_tier": ask.tier}
    return fresh | made | dict.fromkeys(("error", "incomplete_details", "usage")) | echoed


def _ending(said: Said) -> Json:
    if said.finish == "length":
        return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return {"status": "completed"}


def _item(said: Said) -> Json:
    status = "incomplete" if said.finish == "length" else "completed"
    if said.call:
        call: Json = {"call_id": f"call_{token_hex(12)}", "name": said.call, "arguments": said.text}
        return {"type": "function_call", "id": f"fc_{token_hex(24)}", "status": status} | call
    message: Json = {"role": "assistant", "content": [_text_part(said.text)]}
    return {"type": "message", "id": f"msg_{token_hex(24)}", "status": status} | message


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _spell(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _events(ask: Ask, said: Said, begun: Json, item: Json, ended: Json) -> Iterator[_Event]:
    yield _event("response.created", response=begun)
    yield _event("response.in_progress", response=begun)
    empty: Json = {"arguments": ""} if said.call else {"content": []}
    added = item | {"status": "in_progress"} | empty
    yield _event("response.output_item.added", said.reasoning_tokens, output_index=0, item=added)
    yield from _call_events(ask, said, item["id"]) if said.call else _text_events(ask, said, item["id"])
    yield _event("response.output_item.done", output_index=0, item=item)
    yield _event(f"response.{ended['status']}", response=ended)


def _text_events(ask: Ask, said: Said, item_id: str) -> Iterator[_Event]:
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield _event("response.content_part.added", **place, part=_text_part(""))
    for position, token in enumerate(said.tokens):
        delta = place | {"delta": token, "logprobs": []} | ask.padding(position)
        yield _event("response.output_text.delta", 1, **delta)
    yield _event("response.output_text.done", **place, text=said.text, logprobs=[])
    yield _event("response.content_part.done", **place, part=_text_part(said.text))


def _call_events(ask: Ask, said: Said, item_id: str) -> Iterator[_Event]:
    place = {"item_id": item_id, "output_index": 0}
    for position, token in enumerate(said.tokens):
        delta = place | {"delta": token} | ask.padding(position)
        yield _event("response.function_call_arguments.delta", 1, **delta)
    yield _event("response.function_call_arguments.done", **place, arguments=said.text, name=said.call)


def _event(kind: str, tokens: int = 0, /, **members: Any) -> _Event:
    return _Event({"type": kind, **members}, tokens)


def _numbered(events: Iterator[_Event]) -> Iterator[Part]:
    for number, (body, tokens) in enumerate(events):
        yield Part(body | {"sequence_number": number}, event=body["type"], tokens=tokens)
