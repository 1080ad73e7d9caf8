"""The right reader for each way in which answers are spelled."""

import pytest

from gateway.core.endpoint import Endpoint
from gateway.wire.endpoints import SERVED
from gateway.wire.usage_body import JsonBody, Passing, Transcript
from gateway.wire.usage_chat import ChatStream
from gateway.wire.usage_events import EventStream
from gateway.wire.usage_reader import AnswerReader, answer_reader

ENDPOINTS = {endpoint.name: endpoint for endpoint in SERVED}
SSE = "text/event-stream"
JSON = "application/json"


def reader(endpoint: Endpoint, content_type: str, *, conceal_usage: bool = True) -> AnswerReader:
    return answer_reader(endpoint, content_type, conceal_usage=conceal_usage, count_tokens=len)


@pytest.mark.parametrize(
    ("endpoint", "content_type", "kind"),
    [
        ("chat_completions", SSE, ChatStream),
        ("chat_completions", "Text/Event-Stream; charset=utf-8", ChatStream),
        ("chat_completions", JSON, JsonBody),
        ("chat_completions", "application/json; charset=utf-8", JsonBody),
        ("completions", SSE, ChatStream),
        ("embeddings", JSON, JsonBody),
        ("moderations", "application/problem+json", JsonBody),
        ("responses", SSE, EventStream),
        ("responses", JSON, JsonBody),
        ("images_generations", SSE, EventStream),
        ("images_edits", JSON, JsonBody),
        ("images_variations", JSON, JsonBody),
        ("audio_speech", SSE, EventStream),
        ("audio_speech", "audio/mpeg", Passing),
        ("audio_speech", "", Passing),
        ("audio_transcriptions", SSE, EventStream),
        ("audio_transcriptions", JSON, JsonBody),
        ("audio_transcriptions", "text/plain; charset=utf-8", Transcript),
        ("audio_translations", "text/vtt", Transcript),
        ("audio_translations", "application/x-subrip", Transcript),
        ("embeddings", SSE, EventStream),
        ("chat_completions", "text/html", Passing),
    ],
)
def test_an_answer_has_the_reader_of_its_spelling(endpoint: str, content_type: str, kind: type) -> None:
    assert type(reader(ENDPOINTS[endpoint], content_type)) is kind


@pytest.mark.parametrize("conceal", [True, False])
def test_usage_is_concealed_when_that_is_asked_for(conceal: bool) -> None:
    chunk = b'data: {"choices":[{}],"usage":null}\n\n'
    relayed = reader(ENDPOINTS["chat_completions"], SSE, conceal_usage=conceal).feed(chunk)
    assert relayed == (b'data: {"choices":[{}]}\n\n' if conceal else chunk)


@pytest.mark.parametrize("endpoint", SERVED, ids=lambda endpoint: endpoint.name)
@pytest.mark.parametrize("content_type", [SSE, JSON, "audio/mpeg", "text/plain"])
def test_whatever_comes_passes_and_raises_nothing(endpoint: Endpoint, content_type: str) -> None:
    watching = reader(endpoint, content_type)
    portions = [b"\xff\x00{", b"data: {", b"\n\n\r", b'"usage":{}', b""]
    assert b"".join([*map(watching.feed, portions), watching.end()]) == b"".join(portions)
    assert watching.observed().usage is None
    assert watching.generated_about() >= watching.generated_tokens() == 0
    assert watching.thought_aloud() is False
    assert watching.at_boundary in (True, False)


EVENTS = {
    "chat_completions": b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"on and on"}}]}\n\n',
    "responses": (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"on and on"}\n\n'
    ),
}


@pytest.mark.parametrize("endpoint", EVENTS)
def test_while_a_stream_passes_it_is_nearly_known_what_it_has_generated(endpoint: str) -> None:
    watching = reader(ENDPOINTS[endpoint], SSE)
    for _ in range(1000):
        watching.feed(EVENTS[endpoint])
    assert watching.generated_about() == pytest.approx(9000, rel=0.1)
    assert watching.generated_tokens() == 9000
