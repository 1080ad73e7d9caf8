"""The side reader of answers: what an answer cost is read off it while it passes, and never holds it up.

One reader for each way in which answers are spelled; `answer_reader` chooses. Readers do no I/O, hold bounded
memory, and whatever bytes come, raise nothing.
"""

from typing import Protocol

from gateway.core.endpoint import JSON, Dialect, Endpoint, Meter
from gateway.core.usage import Observed
from gateway.wire.usage_body import JsonBody, Passing, Transcript
from gateway.wire.usage_chat import ChatStream
from gateway.wire.usage_deltas import CountTokens
from gateway.wire.usage_events import EventStream


class AnswerReader(Protocol):
    """Looks at one answer as it passes. What `feed` and `end` return is what goes to the client."""

    @property
    def at_boundary(self) -> bool:
        """Whether a comment (`: keep-alive`) could be put in now: what was relayed ends where an event
        ends.
        """

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now: the same object, unless something in them is hidden.

        While usage is concealed, the start of an event is held back until its end has come, up to
        `sse.LONGEST`.
        """

    def end(self) -> bytes:
        """The answer is over, as HTTP tells: what was still held back. Not called for an answer that was
        cut.
        """

    def observed(self) -> Observed:
        """What was read so far. Complete after `end`."""

    def generated_tokens(self) -> int:
        """Our own count of the text that passed, for answers that were cut or said nothing of usage."""

    def thought_aloud(self) -> bool:
        """Whether reasoning itself, no mere summary of it, was among the text that passed."""

    def generated_about(self) -> int:
        """Nearly the same while an event stream passes, for next to nothing."""


def answer_reader(
    endpoint: Endpoint, content_type: str, *, conceal_usage: bool, count_tokens: CountTokens
) -> AnswerReader:
    """The reader for a good answer of this endpoint.

    `conceal_usage`: the client had not asked for `stream_options.include_usage`, and is not to notice that
    the gateway did. Only chat and completion streams have anything to conceal.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "text/event-stream":
        if endpoint.dialect is Dialect.CHAT:
            return ChatStream(conceal_usage=conceal_usage, count_tokens=count_tokens)
        return EventStream(dialect=endpoint.dialect, count_tokens=count_tokens)
    if media_type == JSON or media_type.endswith("+json"):
        return JsonBody(meter=endpoint.meter, count_tokens=count_tokens)
    return Transcript() if endpoint.meter is Meter.AUDIO else Passing()
