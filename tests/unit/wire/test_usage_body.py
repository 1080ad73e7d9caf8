"""Answers that are no stream of events pass as they come and are read at their end."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Meter
from gateway.core.usage import Observed, Usage, UsageSource
from gateway.wire.usage_body import LONGEST_BODY, JsonBody, Passing, Transcript

CHAT = {
    "id": "chatcmpl-1",
    "model": "m-1",
    "service_tier": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": 'A "usage":{} fox.'}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}
Reader = TypeVar("Reader", bound=Passing)
COUNTED = Usage(UsageSource.PROVIDER, input_tokens=9, output_tokens=12)


def watch(reader: Reader, portions: Iterable[bytes]) -> Reader:
    for portion in portions:
        assert reader.feed(portion) is portion
    assert reader.end() == b""
    assert not reader.at_boundary
    return reader


def read(value: Any, meter: Meter = Meter.TOKENS) -> JsonBody:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return watch(JsonBody(meter=meter, count_tokens=len), [body])


def test_a_json_answer_says_what_it_cost() -> None:
    assert read(CHAT).observed() == Observed(COUNTED, "m-1", "default", True)


def test_nothing_is_known_of_a_json_answer_that_was_cut() -> None:
    reader = JsonBody(meter=Meter.TOKENS, count_tokens=len)
    reader.feed(json.dumps(CHAT).encode()[:-30])
    assert reader.observed() == Observed()
    assert reader.generated_tokens() == 0


def test_what_a_json_answer_without_usage_says_can_be_counted() -> None:
    reader = read({**CHAT, "usage": None})
    assert reader.observed().usage is None
    assert reader.generated_tokens() == len('A "usage":{} fox.')


def test_a_moderation_costs_nothing_and_is_finished() -> None:
    observed = read({"id": "modr-1", "model": "omni-moderation", "results": []}, Meter.FREE).observed()
    assert observed == Observed(model="omni-moderation", finished=True)


def test_embeddings_are_read() -> None:
    answer = {
        "data": [{"embedding": [0.1] * 1500}] * 20,
        "model": "e",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert read(answer).observed().usage == Usage(UsageSource.PROVIDER, input_tokens=8)


def test_images_without_usage_are_counted() -> None:
    answer = {"created": 1, "data": [{"url": "https://a"}, {"b64_json": "AAAA"}]}
    assert read(answer, Meter.IMAGES).observed().usage == Usage(UsageSource.PROVIDER, images=2)


def test_images_with_usage_are_counted_too() -> None:
    answer = {"data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 5, "output_tokens": 7}}
    expected = Usage(UsageSource.PROVIDER, input_tokens=5, output_tokens=7, image_output_tokens=7, images=1)
    assert read(answer, Meter.IMAGES).observed().usage == expected


def test_images_are_counted_on_image_endpoints_alone() -> None:
    assert read({"data": [{}, {}]}).observed().usage is None


@pytest.mark.parametrize("named_last", [False, True])
def test_a_very_long_image_answer_is_read_at_its_end(named_last: bool) -> None:
    image = {"revised_prompt": 'a "b64_json" thing', "b64_json": "A" * (LONGEST_BODY // 3)}
    usage = {"usage": {"input_tokens": 5, "output_tokens": 7}}
    answer = json.dumps(
        {"data": [image] * 4, **usage, "z": 1} if named_last else {**usage, "data": [image] * 4}
    ).encode()
    portions = [answer[at : at + 50_000] for at in range(0, len(answer), 50_000)]
    observed = watch(JsonBody(meter=Meter.IMAGES, count_tokens=len), portions).observed()
    tokens = {"input_tokens": 5, "output_tokens": 7, "image_output_tokens": 7} if named_last else {}
    assert observed == Observed(Usage(UsageSource.PROVIDER, images=4, **tokens), finished=True)


@pytest.mark.parametrize("size", [1, 3, 7, 10, 11])
def test_images_of_a_very_long_answer_are_counted_across_portions(size: int) -> None:
    reader = JsonBody(meter=Meter.IMAGES, count_tokens=len)
    reader.feed(b'{"data":[{"b64_json":"' + b"A" * LONGEST_BODY)
    rest = b'"},{"b64_json":"AAAA"},{"b64_json":"AAAA"}]}'
    watch(reader, [rest[at : at + size] for at in range(0, len(rest), size)])
    assert reader.observed().usage == Usage(UsageSource.PROVIDER, images=3)


def test_a_very_long_text_answer_is_read_at_its_end() -> None:
    choices = [{"message": {"content": "x" * LONGEST_BODY}}]
    reader = read({**CHAT, "choices": choices, "usage": CHAT["usage"]})
    assert reader.observed() == Observed(COUNTED, finished=True)
    assert reader.generated_tokens() == 0


def test_a_very_long_answer_is_not_kept() -> None:
    reader = JsonBody(meter=Meter.TOKENS, count_tokens=len)
    for _ in range(LONGEST_BODY // 65_536 + 10):
        reader.feed(b"x" * 65_536)
    assert sum(map(len, reader._kept)) == 0


def test_an_answer_with_half_a_surrogate_pair_is_read_at_its_end() -> None:
    answer = json.dumps(CHAT).encode().replace(b"fox", rb"\ud83d")
    assert read(answer).observed() == Observed(COUNTED, finished=True)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"text": "a"}, None),
        (
            {"text": "a", "duration": 8.47, "language": "english"},
            Usage(UsageSource.PROVIDER, audio_milliseconds=8470),
        ),
        ({"text": "a", "duration": "8.47"}, None),
        (
            {"text": "a", "duration": 8.47, "usage": {"type": "duration", "seconds": 9}},
            Usage(UsageSource.PROVIDER, audio_milliseconds=9000),
        ),
        (
            {"text": "a", "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2}},
            Usage(UsageSource.PROVIDER, input_tokens=3, output_tokens=2),
        ),
    ],
)
def test_a_transcription_is_metered_by_tokens_or_seconds(answer: dict[str, Any], usage: Usage | None) -> None:
    assert read(answer, Meter.AUDIO).observed().usage == usage


def test_a_duration_is_metered_on_audio_endpoints_alone() -> None:
    assert read({"duration": 8}).observed().usage is None


def test_an_error_in_a_good_answer_is_noticed() -> None:
    assert read({"error": {"code": "server_error", "message": "m"}}).observed().error == "server_error"


@pytest.mark.parametrize("meter", list(Meter))
@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[]", b"5", b"\xff", b"<html>", b'{"data":5}', b'{"x":' + b"[" * 99999]
)
def test_junk_is_passed_and_says_nothing(junk: bytes, meter: Meter) -> None:
    reader = read(junk, meter)
    assert reader.observed().usage is None
    assert reader.generated_tokens() == 0


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1\n00:00:00,000 --> 00:00:04,500\nHello\n\n2\n00:00:04,500 --> 01:02:03,250\nBye\n", 3_723_250),
        ("WEBVTT\n\n00:00:00.000 --> 00:00:04.500\nHello\n", 4_500),
        ("WEBVTT\r\n\r\n00:00.000 --> 02:04.500\r\nHello\r\n", 124_500),
        ("WEBVTT\n\n123:00:00.000 --> 123:00:01.000 align:start\nHello\n", 442_801_000),
    ],
)
def test_subtitles_tell_how_long_the_audio_was(text: str, milliseconds: int) -> None:
    observed = watch(Transcript(), [text.encode()]).observed()
    assert observed == Observed(Usage(UsageSource.ESTIMATED, audio_milliseconds=milliseconds), finished=True)


@pytest.mark.parametrize("text", [b"", b"Just words.", b"an --> arrow", b"\xff\xfe", b"--> 99999:00:00,000"])
def test_plain_text_does_not_tell_how_long_the_audio_was(text: bytes) -> None:
    assert watch(Transcript(), [text]).observed() == Observed(finished=True)


def test_audio_passes_and_is_finished_at_its_end() -> None:
    reader = Passing()
    assert not reader.observed().finished
    watch(reader, [b"\x00\xff" * 1000])
    assert reader.observed() == Observed(finished=True)
    assert reader.generated_tokens() == 0


@given(st.data())
def test_how_an_answer_was_portioned_changes_nothing(data: st.DataObject) -> None:
    body = json.dumps(CHAT).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    portions = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    reader = watch(JsonBody(meter=Meter.TOKENS, count_tokens=len), portions)
    assert reader.observed() == Observed(COUNTED, "m-1", "default", True)
