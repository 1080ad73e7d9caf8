"""The context-window guard: input that cannot fit is refused before it is sent, in words like OpenAI's own.

Counting is the last resort. A token stands for at least one byte of UTF-8, so a request that has fewer bytes
than the window has tokens fits, and nearly all do. A count is never exact (names of members stand for the
framing that the provider adds, very long texts are sampled): what is over by less than the margin is left to
the upstream to judge.
"""

from collections.abc import Sequence
from typing import Any, Final

from gateway.core.call import Call
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.policy import Model, ShapingRule
from gateway.shaping.interfaces import Tokenizer
from gateway.wire.tokens import at_most

MARGIN: Final = 0.02

_INPUTS: Final = ("messages", "input", "prompt")


def guard(rule: ShapingRule, call: Call, model: Model, tokenizer: Tokenizer) -> Deny | None:
    """A Deny (`context_length_exceeded`) when the input is longer than the model's window."""
    window = model.context_window
    if window is None or (isinstance(call.body, bytes) and len(call.body) <= window):
        return None
    tokens = _tokens(call, model, window, tokenizer)
    if tokens <= window * (1 + MARGIN):
        return None
    reason = (
        f"This model's maximum context length is {window} tokens. However, your input has about {tokens}. "
        "Please reduce its length."
    )
    param = next((name for name in _INPUTS if name in call.members), None)
    return Deny(ErrorCode.CONTEXT_LENGTH_EXCEEDED, reason, f"shaping.{rule.name}", rule.mode, param)


def _tokens(call: Call, model: Model, window: int, tokenizer: Tokenizer) -> int:
    """The tokens of the input, or of the longest where there are several; a bound if that will do."""
    several = next((call.members[name] for name in _INPUTS if _is_several(call.members.get(name))), None)
    texts: Sequence[str] = call.texts
    if several is not None:
        longest = max(several, key=len)
        if not isinstance(longest, str):
            return len(longest)
        texts = (longest,)
    bound = at_most(texts)
    return bound if bound <= window else tokenizer.total(texts, model.encoding)


def _is_several(value: Any) -> bool:
    """Embeddings and completions take several inputs, texts or tokens; each has the window to itself."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, str | list) for one in value)
