"""Usage: five spellings become one, and nonsense becomes a doubt."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.usage import Doubt, Observed, Usage, UsageSource
from gateway.wire.usage_shapes import (
    LARGEST,
    TAIL,
    Tail,
    add_usage,
    error_code,
    find_usage,
    observed,
    read_duration,
    read_image_usage,
    read_usage,
)


def counted(**amounts: int) -> Usage:
    return Usage(UsageSource.PROVIDER, **amounts)


SHAPES = [
    pytest.param(
        {
            "prompt_tokens": 19,
            "completion_tokens": 10,
            "total_tokens": 29,
            "prompt_tokens_details": {
                "cached_tokens": 8,
                "audio_tokens": 2,
                "image_tokens": 3,
                "cache_write_tokens": 1,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 4,
                "audio_tokens": 5,
                "accepted_prediction_tokens": 1,
                "rejected_prediction_tokens": 1,
            },
        },
        counted(
            input_tokens=19,
            cached_tokens=8,
            cache_write_tokens=1,
            audio_input_tokens=2,
            image_input_tokens=3,
            output_tokens=10,
            reasoning_tokens=4,
            audio_output_tokens=5,
        ),
        id="chat",
    ),
    pytest.param({"prompt_tokens": 8, "total_tokens": 8}, counted(input_tokens=8), id="embeddings"),
    pytest.param(
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 2},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 80},
            "total_tokens": 123,
        },
        counted(
            input_tokens=36, cached_tokens=6, cache_write_tokens=2, output_tokens=87, reasoning_tokens=80
        ),
        id="responses",
    ),
    pytest.param(
        {
            "total_tokens": 100,
            "input_tokens": 50,
            "output_tokens": 50,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            "output_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        },
        counted(input_tokens=50, image_input_tokens=40, output_tokens=50, image_output_tokens=40),
        id="images",
    ),
    pytest.param(
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            "output_tokens": 45,
            "total_tokens": 59,
        },
        counted(input_tokens=14, audio_input_tokens=14, output_tokens=45),
        id="transcription",
    ),
    pytest.param(
        {
            "input_tokens": 14,
            "output_tokens": 101,
            "output_token_details": {"text_tokens": 1, "audio_tokens": 100},
            "total_tokens": 115,
        },
        counted(input_tokens=14, output_tokens=101, audio_output_tokens=100),
        id="speech",
    ),
    pytest.param({"type": "duration", "seconds": 8.25}, counted(audio_milliseconds=8250), id="duration"),
    pytest.param(
        {"prompt_tokens": 3, "prompt_tokens_details": None}, counted(input_tokens=3), id="null details"
    ),
    pytest.param({"prompt_tokens": 3, "completion_tokens": None}, counted(input_tokens=3), id="null output"),
    pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, counted(), id="zero is a number"),
]


@pytest.mark.parametrize(("found", "usage"), SHAPES)
def test_each_spelling_is_read(found: dict[str, Any], usage: Usage) -> None:
    assert read_usage(found) == usage


@pytest.mark.parametrize("found", [None, msgspec.UNSET])
def test_what_says_nothing_of_usage_is_absent(found: object) -> None:
    assert read_usage(found) is None


@pytest.mark.parametrize(
    "found",
    [
        *("", "x", 5, True, [], [1], {}),
        {"total_tokens": 5},
        {"output_tokens": 5},
        {"tokens": {"in": 5, "out": 3}},
        {"usage": {"prompt_tokens": 5}},
        {"prompt_tokens": None, "completion_tokens": 5},
    ],
)
def test_usage_of_another_shape_is_unreadable(found: object) -> None:
    assert read_usage(found) is Doubt.UNREADABLE


HOSTILE = [
    (-1, Doubt.NEGATIVE),
    (-(10**30), Doubt.NEGATIVE),
    (1.0, Doubt.UNREADABLE),
    (1.5, Doubt.UNREADABLE),
    ("7", Doubt.UNREADABLE),
    (True, Doubt.UNREADABLE),
    ([], Doubt.UNREADABLE),
    ({"value": 5}, Doubt.UNREADABLE),
    (float("inf"), Doubt.UNREADABLE),
    (LARGEST + 1, Doubt.ABSURD),
    (10**30, Doubt.ABSURD),
]


@pytest.mark.parametrize(("number", "doubt"), HOSTILE)
def test_a_hostile_total_is_a_doubt(number: object, doubt: Doubt) -> None:
    assert read_usage({"prompt_tokens": number, "completion_tokens": 5}) is doubt
    assert read_usage({"input_tokens": 5, "output_tokens": number}) is doubt
    assert read_usage({"input_tokens": 5, "output_tokens": 6, "total_tokens": number}) is doubt


@pytest.mark.parametrize(("number", "doubt"), [*HOSTILE, (101, Doubt.INCONSISTENT)])
def test_with_a_hostile_part_nothing_is_believed(number: object, doubt: Doubt) -> None:
    found = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": number}}
    assert read_usage(found) is doubt


def test_a_part_that_is_null_is_absent() -> None:
    found = {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": None}}
    assert read_usage(found) == counted(input_tokens=100)


def test_a_total_that_is_less_than_what_it_is_made_of_is_inconsistent() -> None:
    found = {"prompt_tokens": 5, "completion_tokens": 6}
    assert read_usage({**found, "total_tokens": 10}) is Doubt.INCONSISTENT
    assert read_usage({**found, "total_tokens": 15}) == counted(input_tokens=5, output_tokens=6)


@pytest.mark.parametrize("details", [5, "x", [], True])
def test_hostile_details_are_unreadable(details: object) -> None:
    assert read_usage({"input_tokens": 5, "input_tokens_details": details}) is Doubt.UNREADABLE


@pytest.mark.parametrize(
    ("seconds", "doubt"),
    [
        (-1, Doubt.NEGATIVE),
        ("8", Doubt.UNREADABLE),
        (True, Doubt.UNREADABLE),
        (float("nan"), Doubt.UNREADABLE),
        (float("inf"), Doubt.ABSURD),
        (10**30, Doubt.ABSURD),
        (1e8, Doubt.ABSURD),
    ],
)
def test_a_hostile_duration_is_a_doubt(seconds: object, doubt: Doubt) -> None:
    assert read_duration(seconds) is doubt
    assert read_usage({"type": "duration", "seconds": seconds}) is doubt


def test_no_duration_is_absent_where_it_is_no_report() -> None:
    assert read_duration(None) is None
    assert read_usage({"type": "duration"}) is Doubt.UNREADABLE


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([*SHAPES[0].values[0], *SHAPES[4].values[0], "seconds", "cached_tokens"]), inner
        )
    ),  # type: ignore[misc]
)


@given(JUNK)
def test_whatever_is_said_amounts_are_never_negative_and_parts_never_exceed_their_totals(
    found: object,
) -> None:
    usage = read_usage(found)
    if isinstance(usage, Usage):
        assert 0 <= usage.cached_tokens <= usage.input_tokens <= LARGEST
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens <= LARGEST
        assert usage.audio_milliseconds >= 0


def test_the_output_of_an_image_model_is_images() -> None:
    found = {"input_tokens": 10, "output_tokens": 90}
    expected = counted(input_tokens=10, output_tokens=90, image_output_tokens=90, images=2)
    assert read_image_usage(found, images=2) == expected


def test_output_details_of_an_image_model_are_believed() -> None:
    found = {
        "input_tokens": 10,
        "output_tokens": 90,
        "output_tokens_details": {"text_tokens": 90, "image_tokens": 0},
    }
    assert read_image_usage(found, images=1) == counted(input_tokens=10, output_tokens=90, images=1)


def test_images_count_without_usage() -> None:
    assert read_image_usage(None, images=3) == counted(images=3)
    assert read_image_usage(None, images=0) is None


def test_usages_add_up() -> None:
    one, other = counted(input_tokens=1, images=1), counted(input_tokens=2, output_tokens=5)
    assert add_usage(one, other) == counted(input_tokens=3, output_tokens=5, images=1)
    assert add_usage(one, None) == add_usage(None, one) == one
    assert add_usage(None, None) is None


@pytest.mark.parametrize("other", [None, counted(images=1), Doubt.LATE])
def test_nothing_can_be_added_to_something_unusable(other: Usage | Doubt | None) -> None:
    assert add_usage(Doubt.NEGATIVE, other) is Doubt.NEGATIVE
    assert isinstance(add_usage(other, Doubt.NEGATIVE), Doubt)


def test_an_image_is_not_made_of_nothing() -> None:
    assert read_image_usage({"input_tokens": 10, "output_tokens": 0}, images=1) is Doubt.ZERO


def test_what_is_observed_is_a_count_or_a_doubt() -> None:
    assert observed(counted(images=1), model="m") == Observed(counted(images=1), "m")
    assert observed(Doubt.LATE, finished=True) == Observed(doubt=Doubt.LATE, finished=True)
    assert observed(None) == Observed()


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        (b'AAAA","usage":{"input_tokens":1}}', {"input_tokens": 1}),
        (
            b'x" , "usage" : {"input_tokens":1,"d":{"e":{}}} , "z":{}}\n\n',
            {"input_tokens": 1, "d": {"e": {}}},
        ),
        (b'"usage":{"input_tokens":1,"note":"}{"}}', {"input_tokens": 1, "note": "}{"}),
        (b'"usage":{"input_tokens":1},"usage":{"input_tokens":2}}', {"input_tokens": 2}),
        (b'"usage":{"input_tokens":1},"x":{"usage":null}}', {"input_tokens": 1}),
        (b'"usage":{"input_tokens":1},"x":"usage"}', {"input_tokens": 1}),
        (rb'"text":"\"usage\":{\"input_tokens\":1}"}', None),
        (b'"usage":{"input_tokens":1', None),
        (b'"usage":{"input_tokens":-1}}', None),
        (b'"usage":', None),
        (b'"usage"', None),
        (b"", None),
        (b'"usage":{' * 1000, None),
        (b'"usage":{' + b"}" * 1000, None),
    ],
)
def test_usage_is_found_in_the_end_of_a_text(tail: bytes, found: object) -> None:
    assert find_usage(tail) == found


@given(st.lists(st.binary(max_size=3000), max_size=80))
def test_a_tail_keeps_the_last_bytes(portions: list[bytes]) -> None:
    tail = Tail()
    for portion in portions:
        tail.add(portion)
    assert tail.take() == b"".join(portions)[-TAIL:]
    assert tail.take() == b""


def test_a_tail_stays_small() -> None:
    tail = Tail()
    for _ in range(100):
        tail.add(b"x" * TAIL)
    assert tail.take() == b"x" * TAIL


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, None),
        ({}, None),
        (False, None),
        ({"code": "c", "type": "t"}, "c"),
        ({"code": None, "type": "t"}, "t"),
        ({"code": 429}, "429"),
        ({"message": "m"}, "error"),
        ({"code": {}}, "error"),
        ("text", "error"),
        ({"code": "c" * 1000}, "c" * 64),
    ],
)
def test_an_error_has_a_short_name(error: object, code: str | None) -> None:
    assert error_code(error) == code
