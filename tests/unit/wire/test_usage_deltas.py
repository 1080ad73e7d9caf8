"""Our own count of what was generated: whatever carries text counts, in bounded memory."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.wire.usage_deltas import (
    HEAP,
    Generated,
    answers_text,
    choices_text,
    deltas_text,
    shows_thoughts,
)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"index": 0, "delta": {"role": "assistant", "content": "a"}}, "a"),
        ({"delta": {"content": None, "refusal": "no"}}, "no"),
        ({"delta": {"reasoning_content": "because"}}, "because"),
        ({"delta": {"reasoning": "because", "reasoning_content": "because"}}, "because"),
        (
            {"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":'}}]}},
            'f{"a":',
        ),
        ({"delta": {"tool_calls": [{"index": 0}, {"function": {"arguments": "1}"}}]}}, "1}"),
        ({"delta": {"function_call": {"name": "f", "arguments": "{}"}}}, "f{}"),
        (
            {"delta": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, "x", {"text": "b"}]}},
            "ab",
        ),
        ({"text": "completion", "index": 0}, "completion"),
        ({"message": {"content": "whole"}}, "whole"),
        ({"delta": {}}, ""),
        ({"delta": {"content": 5}}, ""),
        ({}, ""),
    ],
)
def test_what_the_model_wrote_in_a_choice_is_text(choice: dict[str, Any], text: str) -> None:
    assert choices_text([dumped(choice)]) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "response.output_text.delta", "delta": "a"}, "a"),
        ({"type": "transcript.text.delta", "delta": "b"}, "b"),
        ({"type": "x.delta", "delta": {"a": 1}}, ""),
        ({"type": "x.delta"}, ""),
    ],
)
def test_what_the_model_wrote_in_an_event_is_its_delta(event: dict[str, Any], text: str) -> None:
    assert deltas_text([dumped(event)]) == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, "ab"),
        ({"choices": [{"text": "a"}]}, "a"),
        ({"output": [{"content": [{"type": "output_text", "text": "a"}]}, {"arguments": "{}"}]}, "a{}"),
        ({"text": "a transcript", "usage": {}}, ""),
        ({"choices": None, "output": None}, ""),
    ],
)
def test_what_the_model_wrote_in_a_whole_answer_is_text(answer: dict[str, Any], text: str) -> None:
    assert answers_text([dumped(answer)]) == text


@pytest.mark.parametrize("read", [choices_text, deltas_text, answers_text])
@pytest.mark.parametrize(
    "junk", [b"", b"x", b"]", b"5", b'"a"', b"\xff", b'{"choices":5}', b'{"delta":', b"[" * 99999]
)
def test_junk_is_no_text(read: Callable[[Sequence[bytes]], str], junk: bytes) -> None:
    assert read([junk]) == ""


def test_junk_does_not_spoil_its_neighbours() -> None:
    parts = [
        dumped({"delta": {"content": "a"}}),
        b"{",
        b"",
        rb'{"delta":{"content":"\ud83d"}}',
        b'{"text":"b"}',
    ]
    assert choices_text(parts) == "ab"


def test_several_choices_may_come_as_one_part() -> None:
    assert choices_text([b'{"text":"a"},{"text":"b"}', b'{"text":"c"}']) == "abc"


def test_what_is_remembered_is_read_before_it_grows() -> None:
    seen: list[int] = []

    def read(parts: Sequence[bytes]) -> str:
        seen.append(sum(map(len, parts)))
        return "x" * len(parts)

    generated = Generated(read=read, count_tokens=len)
    for _ in range(1000):
        generated.add(b"y" * 100)
    assert generated.tokens() == 1000
    assert len(seen) > 10
    assert max(seen) <= HEAP + 100


def test_nothing_is_counted_twice() -> None:
    generated = Generated(read=choices_text, count_tokens=len)
    generated.add(b'{"text":"abc"}')
    assert generated.tokens() == 3
    assert generated.tokens() == 3
    generated.add(b'{"text":"d"}')
    assert generated.tokens() == 4


# Nearly, and for next to nothing.


def a_stream(chunk: bytes, chunks: int) -> Generated:
    generated = Generated(read=choices_text, count_tokens=lambda text: len(text.split()))
    for _ in range(chunks):
        generated.add(chunk)
    return generated


def a_chunk(words: int) -> bytes:
    text = " on" * words
    return dumped({"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None})


def test_at_first_nothing_was_generated() -> None:
    assert a_stream(b"", 0).about() == 0


@pytest.mark.parametrize("words", [1, 5, 40])
@pytest.mark.parametrize("chunks", [300, 1000, 3000])
def test_what_is_remembered_is_taken_for_what_was_read(words: int, chunks: int) -> None:
    generated = a_stream(a_chunk(words), chunks)
    assert generated.about() == pytest.approx(words * chunks, rel=0.15)


@pytest.mark.parametrize(("words", "least", "most"), [(1, 1, 6), (40, 0.2, 1)])
def test_before_anything_was_read_it_is_supposed(words: int, least: float, most: float) -> None:
    chunks = HEAP // len(a_chunk(words))
    assert least <= a_stream(a_chunk(words), chunks).about() / (words * chunks) <= most


def test_to_say_nearly_nothing_is_read() -> None:
    seen: list[int] = []
    generated = Generated(read=lambda parts: str(seen.append(len(parts))), count_tokens=len)
    generated.add(a_chunk(1))
    assert generated.about() > 0
    assert seen == []


def test_what_was_counted_is_known_exactly() -> None:
    generated = a_stream(a_chunk(3), 10)
    assert generated.about() != 30
    assert generated.tokens() == generated.about() == 30


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (b'{"delta":{"reasoning_content":"Well"}}', True),
        (b'{"delta":{"reasoning": "Well"}}', True),
        (b'{"type":"response.reasoning_text.delta","delta":"Well"}', True),
        (b'{"content":[{"type":"reasoning_text","text":"Well"}]}', True),
        (b'{"delta":{"reasoning_content":"","reasoning":null}}', False),
        (b'{"type":"response.reasoning_summary_text.delta","delta":"Well"}', False),
        (b'{"reasoning":{"effort":"low"}}', False),
        (rb'{"delta":{"content":"\"reasoning\":\"x, \"reasoning_text\""}}', False),
        (b"", False),
    ],
)
def test_reasoning_that_is_shown_is_noticed(part: bytes, shown: bool) -> None:
    assert shows_thoughts(part) is shown
    generated = Generated(read=lambda _: "", count_tokens=len)
    generated.add(part)
    assert generated.thought_aloud() is shown


def test_reasoning_that_was_read_long_ago_is_remembered() -> None:
    generated = Generated(read=lambda _: "", count_tokens=len)
    generated.add(b'{"reasoning":"Well"}')
    generated.add(b"x" * HEAP)
    generated.add(b"y")
    assert generated.thought_aloud()
