"""`POST /v1/edits`, which OpenAI has shut down, kept alive as a chat completion and back.

The instruction becomes the system message and the input the user's. All other members go along as they are,
so that the chat endpoint judges what it does not know, and shaping and limits find what they look for.
"""

from typing import Any, Final

import msgspec

from gateway.core.call import REMOVED, Call
from gateway.core.endpoint import JSON, Endpoint
from gateway.core.errors import ErrorCode, Refused, UpstreamFailed
from gateway.wire.parse import parse_json
from gateway.wire.usage_shapes import UNREADABLE

_OWN: Final = ("input", "instruction")
_NEVER_KNOWN: Final = ("messages", "stream")
"""Members that edits never had and that would change what is asked, or how it is answered."""


def to_chat(call: Call, chat: Endpoint) -> Call:
    """The chat completion call that asks for the same edit, with a body, members and texts of its own.

    Raises Refused (`invalid_value`): no instruction, or an input that is no text, or a member of
    `_NEVER_KNOWN`.
    """
    asked = {name: value for name, value in {**call.members, **call.changes}.items() if value is not REMOVED}
    for name in _NEVER_KNOWN:
        if asked.get(name):
            raise _wrong(name, f"`{name}` is not a member of edits. Use /v1/chat/completions.")
    instruction, text = asked.get("instruction"), asked.get("input")
    if not isinstance(instruction, str):
        raise _wrong("instruction", "`instruction` must be a string that says how to edit the input.")
    if not isinstance(text, str | None):
        raise _wrong("input", "`input` must be a string.")
    messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text or ""}]
    kept = {name: value for name, value in asked.items() if name not in (*_OWN, *_NEVER_KNOWN)}
    return parse_json(chat, JSON, msgspec.json.encode({**kept, "messages": messages}))


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    created: int = 0
    usage: _Usage | None = None


_completions: Final = msgspec.json.Decoder(_Completion)


def from_chat(body: bytes) -> bytes:
    """The edit that a chat completion makes. Raises UpstreamFailed (`upstream_error`) when it is none."""
    try:
        completion = _completions.decode(body)
    except UNREADABLE as error:
        message = "The upstream's answer to this edit is not a chat completion."
        raise UpstreamFailed(ErrorCode.UPSTREAM_ERROR, message) from error
    choices = [{"text": choice.message.content or "", "index": choice.index} for choice in completion.choices]
    edit: dict[str, Any] = {"object": "edit", "created": completion.created, "choices": choices}
    if completion.usage is not None:
        edit["usage"] = completion.usage
    return msgspec.json.encode(edit)


def _wrong(param: str, message: str) -> Refused:
    return Refused(ErrorCode.INVALID_VALUE, message, param=param)
