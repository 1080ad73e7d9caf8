"""Streams of named events: all bytes pass as they came; usage is found even beside megabytes of base64."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Dialect
from gateway.core.usage import Doubt, Observed, Usage, UsageSource
from gateway.wire.sse import LONGEST
from gateway.wire.usage_events import EventStream

RESPONSE_USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 6},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 80},
    "total_tokens": 123,
}
RESPONSE_COUNTED = Usage(
    UsageSource.PROVIDER, input_tokens=36, cached_tokens=6, output_tokens=87, reasoning_tokens=80
)
IMAGE_USAGE = {"input_tokens": 10, "input_tokens_details": {"image_tokens": 4}, "output_tokens": 90}
IMAGE_COUNTED = Usage(
    UsageSource.PROVIDER,
    input_tokens=10,
    image_input_tokens=4,
    output_tokens=90,
    image_output_tokens=90,
    images=1,
)


def reader(dialect: Dialect) -> EventStream:
    return EventStream(dialect=dialect, count_tokens=len)


def watch(dialect: Dialect, portions: Iterable[bytes]) -> EventStream:
    stream = reader(dialect)
    for portion in portions:
        assert stream.feed(portion) is portion
    assert stream.end() == b""
    return stream


def event(kind: str, named: bool = True, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members}, separators=(",", ":")).encode()
    return (f"event: {kind}\n".encode() if named else b"") + b"data: " + data + b"\n\n"


def delta(text: str, kind: str = "response.output_text.delta", named: bool = True) -> bytes:
    return event(kind, named, sequence_number=4, delta=text, logprobs=[], obfuscation="x4")


def response(kind: str, **members: Any) -> bytes:
    members.setdefault("usage", None)
    whole = {"id": "resp_1", "model": "m-1", "service_tier": "default", "error": None, **members}
    return event(kind, sequence_number=9, response=whole)


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_a_response_ends_with_its_usage(kind: str) -> None:
    portions = [response("response.created"), delta("a"), response(kind, usage=RESPONSE_USAGE)]
    assert watch(Dialect.RESPONSES, portions).observed() == Observed(RESPONSE_COUNTED, "m-1", "default", True)


def test_a_response_without_a_final_event_is_not_finished() -> None:
    observed = watch(Dialect.RESPONSES, [response("response.created"), delta("a")]).observed()
    assert observed == Observed(model="m-1", service_tier="default")


def test_a_second_end_comes_too_late() -> None:
    late = response("response.completed", usage={"input_tokens": 1})
    told = watch(Dialect.RESPONSES, [response("response.completed", usage=RESPONSE_USAGE), late])
    silent = watch(Dialect.RESPONSES, [response("response.completed"), late])
    assert (told.observed().usage, told.observed().doubt) == (RESPONSE_COUNTED, None)
    assert (silent.observed().usage, silent.observed().doubt) == (None, Doubt.LATE)


def test_usage_that_makes_no_sense_is_a_doubt() -> None:
    stream = watch(Dialect.RESPONSES, [response("response.completed", usage={"input_tokens": -1})])
    assert (stream.observed().usage, stream.observed().doubt) == (None, Doubt.NEGATIVE)


def test_one_image_of_which_usage_makes_no_sense_is_enough() -> None:
    events = [
        event("image_generation.completed", b64_json="A", usage=usage)
        for usage in (IMAGE_USAGE, {"input_tokens": "ten"}, IMAGE_USAGE)
    ]
    stream = watch(Dialect.IMAGES, events)
    assert (stream.observed().usage, stream.observed().doubt) == (None, Doubt.UNREADABLE)


def test_a_response_may_end_without_usage() -> None:
    assert watch(Dialect.RESPONSES, [response("response.completed")]).observed().finished


def test_words_in_a_delta_end_nothing() -> None:
    said = {"type": "response.completed", "response": {"usage": {"input_tokens": 1}}}
    text = f"event: response.completed\ndata: {json.dumps(said)}\n\n"
    assert watch(Dialect.RESPONSES, [delta(text)]).observed() == Observed()


@pytest.mark.parametrize("kind", ["image_generation.completed", "image_edit.completed"])
def test_an_image_is_counted_with_its_usage(kind: str) -> None:
    partial = event("image_generation.partial_image", b64_json="A" * 5000, usage={"input_tokens": 1})
    stream = watch(Dialect.IMAGES, [partial, event(kind, b64_json="A" * 5000, usage=IMAGE_USAGE)])
    assert stream.observed() == Observed(IMAGE_COUNTED, finished=True)


def test_each_image_has_a_usage_of_its_own() -> None:
    stream = watch(Dialect.IMAGES, [event("image_generation.completed", b64_json="A", usage=IMAGE_USAGE)] * 3)
    usage = stream.observed().usage
    assert usage is not None
    assert (usage.images, usage.output_tokens) == (3, 270)


def test_an_image_without_usage_is_still_an_image() -> None:
    stream = watch(Dialect.IMAGES, [event("image_generation.completed", b64_json="A")])
    assert stream.observed().usage == Usage(UsageSource.PROVIDER, images=1)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("usage_first", [False, True])
@pytest.mark.parametrize("size", [100_000, LONGEST + 5, 3 * LONGEST])
def test_usage_is_found_beside_megabytes_of_an_image(size: int, usage_first: bool, named: bool) -> None:
    image = {"b64_json": "A" * size}
    members = {"usage": IMAGE_USAGE, **image} if usage_first else {**image, "usage": IMAGE_USAGE}
    whole = event("image_generation.completed", named, **members)
    portions = [whole[at : at + 65_536] for at in range(0, len(whole), 65_536)]
    observed = watch(Dialect.IMAGES, portions).observed()
    assert observed.finished
    # Beyond the bound usage is found at the end alone, where OpenAI puts it.
    only_image = Usage(UsageSource.PROVIDER, images=1)
    assert observed.usage == (only_image if usage_first and size > LONGEST else IMAGE_COUNTED)


def test_a_long_event_that_is_not_final_is_not_read() -> None:
    partial = event("image_generation.partial_image", b64_json="A" * LONGEST, usage=IMAGE_USAGE)
    final = event("image_generation.completed", b64_json="A", usage=IMAGE_USAGE)
    assert watch(Dialect.IMAGES, [partial]).observed() == Observed()
    assert watch(Dialect.IMAGES, [partial, final]).observed() == Observed(IMAGE_COUNTED, finished=True)


def test_a_long_response_is_read_at_its_end() -> None:
    output = [{"content": [{"type": "output_text", "text": "x" * LONGEST}]}]
    stream = watch(Dialect.RESPONSES, [response("response.completed", output=output, usage=RESPONSE_USAGE)])
    assert stream.observed() == Observed(RESPONSE_COUNTED, finished=True)


def test_a_response_with_half_a_surrogate_pair_is_read_at_its_end() -> None:
    final = response("response.completed", output="half", usage=RESPONSE_USAGE).replace(b"half", rb"\ud83d")
    assert watch(Dialect.RESPONSES, [final]).observed() == Observed(RESPONSE_COUNTED, finished=True)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("kind", "usage", "counted"),
    [
        (
            "speech.audio.done",
            {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            Usage(UsageSource.PROVIDER, input_tokens=14, output_tokens=101),
        ),
        (
            "transcript.text.done",
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"audio_tokens": 14},
                "output_tokens": 4,
            },
            Usage(UsageSource.PROVIDER, input_tokens=14, audio_input_tokens=14, output_tokens=4),
        ),
        (
            "transcript.text.done",
            {"type": "duration", "seconds": 2.5},
            Usage(UsageSource.PROVIDER, audio_milliseconds=2500),
        ),
    ],
)
def test_audio_ends_with_its_usage(kind: str, usage: dict[str, Any], counted: Usage, named: bool) -> None:
    final = event(kind, named, text="a", usage=usage)
    assert watch(Dialect.AUDIO, [final, b"data: [DONE]\n\n"]).observed() == Observed(counted, finished=True)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (event("error", code="server_error", message="m", param=None, sequence_number=3), "server_error"),
        (event("error", named=False, code=None, message="m"), "error"),
        (
            event("error", error={"type": "image_generation_error", "code": "moderation_blocked"}),
            "moderation_blocked",
        ),
        (b'data: {"error":{"type":"server_error","code":null}}\n\n', "server_error"),
        (response("response.failed", error={"code": "rate_limit_exceeded"}), "rate_limit_exceeded"),
        (b"event: error\ndata: not json\n\n", "error"),
        (response("response.created"), None),
    ],
)
def test_an_error_in_the_stream_is_noticed(raw: bytes, code: str | None) -> None:
    assert watch(Dialect.RESPONSES, [raw]).observed().error == code


@pytest.mark.parametrize("named", [True, False])
def test_text_is_counted_and_audio_is_not(named: bool) -> None:
    portions = [
        delta("The", named=named),
        delta(" quick", "response.reasoning_summary_text.delta", named),
        delta("{}", "response.function_call_arguments.delta", named),
        delta("no", "response.refusal.delta", named),
        delta("QUFB", "response.audio.delta", named),
        event("response.output_text.done", named, text="The"),
    ]
    assert watch(Dialect.RESPONSES, portions).generated_tokens() == len("The quick{}no")


def test_a_transcript_is_counted() -> None:
    portions = [
        delta("The", "transcript.text.delta", named=False),
        delta("QUFB", "speech.audio.delta", named=False),
    ]
    assert watch(Dialect.AUDIO, portions).generated_tokens() == 3


def test_a_boundary_is_where_an_event_ends() -> None:
    stream = reader(Dialect.RESPONSES)
    whole = delta("The")
    assert stream.at_boundary
    stream.feed(whole[:30])
    assert not stream.at_boundary
    stream.feed(whole[30:])
    assert stream.at_boundary
    stream.feed(whole[:-1] + b"d")
    assert not stream.at_boundary


EVENTS = [
    response("response.created"),
    delta("The \u2028 fox"),
    delta('"response.completed"', "response.reasoning_text.delta"),
    b": keep-alive\n\n",
    b"\n",
    event("response.output_item.done", item={"type": "message", "usage": {"input_tokens": 1}}),
    b"id: 4\nretry: 10\nevent: response.output_text.delta\nevent: x\ndata: {\ndata: }\n\n",
    event("response.from_the_future", x=1),
    event("x" * 300, delta="y"),
]


@given(st.lists(st.sampled_from(EVENTS), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_how_a_stream_was_portioned_changes_nothing(
    events: list[bytes], end: bytes, data: st.DataObject
) -> None:
    final = response("response.completed", usage=RESPONSE_USAGE)
    whole = (
        b"".join([*events, final]).replace(b"\n", end).removesuffix(data.draw(st.sampled_from([b"", end])))
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    expected = watch(Dialect.RESPONSES, [whole])
    assert expected.observed() == Observed(RESPONSE_COUNTED, "m-1", "default", True)
    for portions in (
        [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)],
        [whole[at : at + 1] for at in range(len(whole))],
    ):
        stream = watch(Dialect.RESPONSES, portions)
        assert stream.observed() == expected.observed()
        assert stream.generated_tokens() == expected.generated_tokens()


JUNK = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"event: ", b"data: ", b"response.completed", b'{"type":', b'"error"', b"}", b"\xff"]
    )
    | st.sampled_from(EVENTS)
    | st.binary(max_size=6),
    max_size=20,
)


@given(st.sampled_from(list(Dialect)), JUNK)
def test_junk_raises_nothing_and_passes_whole(dialect: Dialect, portions: list[bytes]) -> None:
    stream = watch(dialect, portions)
    stream.observed()
    stream.generated_tokens()
