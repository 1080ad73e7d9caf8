"""Usage: five spellings become one, and nonsense becomes nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.usage import Usage, UsageSource
from gateway.wire.usage_shapes import (
    LARGEST,
    TAIL,
    Tail,
    add_usage,
    error_code,
    find_usage,
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


@pytest.mark.parametrize(
    "found", [None, "", "x", 5, True, [], [1], {}, {"total_tokens": 5}, {"output_tokens": 5}]
)
def test_what_is_no_usage_is_absent(found: object) -> None:
    assert read_usage(found) is None


@pytest.mark.parametrize("number", [-1, 1.0, 1.5, "7", True, [], {}, LARGEST + 1, 10**30, float("inf")])
def test_a_hostile_total_makes_usage_absent(number: object) -> None:
    assert read_usage({"prompt_tokens": number, "completion_tokens": 5}) is None
    assert read_usage({"input_tokens": 5, "output_tokens": number}) is None


@pytest.mark.parametrize("number", [-1, 1.0, "7", True, None, [], LARGEST + 1, 101])
def test_a_hostile_part_is_no_credit(number: object) -> None:
    found = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": number}}
    assert read_usage(found) == counted(input_tokens=100, output_tokens=1)


@pytest.mark.parametrize("details", [5, "x", [], True])
def test_hostile_details_are_left_out(details: object) -> None:
    assert read_usage({"input_tokens": 5, "input_tokens_details": details}) == counted(input_tokens=5)


@pytest.mark.parametrize("seconds", [-1, "8", True, None, float("nan"), float("inf"), 10**30, 1e8])
def test_a_hostile_duration_is_absent(seconds: object) -> None:
    assert read_duration(seconds) is None
    assert read_usage({"type": "duration", "seconds": seconds}) is None


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
    if usage is not None:
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
