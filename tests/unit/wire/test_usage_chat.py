"""Chat streams: usage is always read, and who had not asked for it gets what would have come without it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.usage import Doubt, Observed, Usage, UsageSource
from gateway.wire.sse import LONGEST
from gateway.wire.usage_chat import ChatStream

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 12,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
}
COUNTED = Usage(UsageSource.PROVIDER, input_tokens=9, cached_tokens=4, output_tokens=12, reasoning_tokens=5)
DONE = b"data: [DONE]\n\n"


def reader(conceal: bool = True) -> ChatStream:
    return ChatStream(conceal_usage=conceal, count_tokens=len)


def relay(stream: ChatStream, portions: Iterable[bytes]) -> bytes:
    return b"".join([*(stream.feed(portion) for portion in portions), stream.end()])


def body(text: str = " fox", **members: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "m-1",
        "choices": choices,
        **members,
    }


def event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def extra(**members: Any) -> bytes:
    return event({**body(), "choices": [], "usage": USAGE, **members})


# What goes in, and what comes out when usage is concealed.
CONCEALED = [
    pytest.param(event(body(usage=None)), event(body()), id="last member"),
    pytest.param(event({"usage": None, **body()}), event(body()), id="first member"),
    pytest.param(event({"id": "", "usage": None, **body()}), event(body()), id="in the middle"),
    pytest.param(event(body(usage=None, obfuscation="x4Kq")), event(body(obfuscation="x4Kq")), id="padded"),
    pytest.param(
        event(body(obfuscation="x4Kq")), event(body(obfuscation="x4Kq")), id="padded, nothing to hide"
    ),
    pytest.param(
        event(body(usage=None, service_tier="flex")), event(body(service_tier="flex")), id="before another"
    ),
    pytest.param(event(body("a]b[0]", usage=None)), event(body("a]b[0]")), id="brackets in the text"),
    pytest.param(
        event(body('],"usage":null}\n\n', usage=None)),
        event(body('],"usage":null}\n\n')),
        id="quoted in the text",
    ),
    pytest.param(event(body(x={"usage": None}, usage=None)), event(body(x={"usage": None})), id="nested too"),
    pytest.param(
        event(body(usage=None, x={"a": 1, "usage": None})),
        event(body(x={"a": 1, "usage": None})),
        id="nested after",
    ),
    pytest.param(
        event(body(x={"a": 1, "usage": None})), event(body(x={"a": 1, "usage": None})), id="nested only"
    ),
    pytest.param(
        event(body(x=[{"a": 1, "usage": None}])),
        event(body(x=[{"a": 1, "usage": None}])),
        id="nested in an array",
    ),
    pytest.param(event(body(usage=USAGE)), event(body(usage=USAGE)), id="usage beside choices stays"),
    pytest.param(extra(), b"", id="extra chunk"),
    pytest.param(extra(obfuscation="x"), b"", id="extra chunk, padded"),
    pytest.param(event({"usage": USAGE}), b"", id="extra chunk without choices"),
    pytest.param(event({**body(), "choices": [], "usage": {}}), b"", id="extra chunk with empty usage"),
    pytest.param(
        event({**body(), "choices": [], "prompt_filter_results": []}),
        event({**body(), "choices": [], "prompt_filter_results": []}),
        id="Azure's first chunk",
    ),
    pytest.param(
        event({**body(), "choices": [], "x": [], "usage": None}),
        event({**body(), "choices": [], "x": []}),
        id="no choices, null",
    ),
    pytest.param(b'data: {"choices": [], "usage": null}\n\n', b'data: {"choices": []}\n\n', id="spaced"),
    pytest.param(
        b'data: {"choices":[{}] , "usage" : null , "a":1}\n\n',
        b'data: {"choices":[{}] , "a":1}\n\n',
        id="spaced more",
    ),
    pytest.param(b'data:{"choices":[{}],"usage":null}\r\n\r\n', b'data:{"choices":[{}]}\r\n\r\n', id="CRLF"),
    pytest.param(b'data: {"choices":[{}],"usage":null}\r\r', b'data: {"choices":[{}]}\r\r', id="CR"),
    pytest.param(
        b': ,"usage":null}\ndata: {"choices":[{}],"usage":null}\n\n',
        b': ,"usage":null}\ndata: {"choices":[{}]}\n\n',
        id="after a comment",
    ),
    pytest.param(
        b'data: {"choices":[{}],"usage":null}\n: ,"usage":null}\n\n',
        b'data: {"choices":[{}]}\n: ,"usage":null}\n\n',
        id="before a comment",
    ),
    pytest.param(
        b'id: 1\ndata: {"choices":[{}],\ndata: "usage":null}\n\n',
        b'id: 1\ndata: {"choices":[{}]}\n\n',
        id="two lines",
    ),
    pytest.param(
        b'data: {"choices":\ndata: [{}],"usage":null}\n\n',
        b'data: {"choices":\ndata: [{}]}\n\n',
        id="two lines stay two",
    ),
    pytest.param(b'data: {"choices":[{}],"usage":null}', b'data: {"choices":[{}]}', id="no blank line"),
    pytest.param(b": keep-alive\n\n", b": keep-alive\n\n", id="comment"),
    pytest.param(DONE, DONE, id="done"),
]


@pytest.mark.parametrize(("given", "shown"), CONCEALED)
def test_concealing_takes_out_what_the_option_brought_and_nothing_else(given: bytes, shown: bytes) -> None:
    assert relay(reader(), [given]) == shown


@pytest.mark.parametrize(("given", "shown"), CONCEALED)
def test_concealing_is_the_same_for_a_later_chunk(given: bytes, shown: bytes) -> None:
    first = event(body("The"))
    assert relay(reader(), [first, given]) == first + shown


@pytest.mark.parametrize(("given", "shown"), [case for case in CONCEALED if case.id != "no blank line"])
def test_concealing_is_the_same_for_a_chunk_like_the_one_before(given: bytes, shown: bytes) -> None:
    assert relay(reader(), [given, given, given]) == shown * 3


@pytest.mark.parametrize(("given", "shown"), CONCEALED)
def test_concealing_is_the_same_one_byte_at_a_time(given: bytes, shown: bytes) -> None:
    assert relay(reader(), (given[at : at + 1] for at in range(len(given)))) == shown


@pytest.mark.parametrize("given", [case.values[0] for case in CONCEALED])
def test_without_concealing_the_very_bytes_pass(given: bytes) -> None:
    stream = reader(conceal=False)
    assert stream.feed(given) is given
    assert stream.end() == b""


@pytest.mark.parametrize("conceal", [True, False])
def test_a_stream_is_read_to_its_end(conceal: bool) -> None:
    stream = reader(conceal)
    relay(stream, [event(body(usage=None, service_tier="default")), extra(), DONE])
    assert stream.observed() == Observed(COUNTED, model="m-1", service_tier="default", finished=True)


@pytest.mark.parametrize("conceal", [True, False])
@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(event(body(usage=USAGE)), id="beside choices"),
        pytest.param(event({"usage": USAGE, **body()}), id="before choices"),
        pytest.param(event(body(usage=USAGE, x=[])), id="an array after it"),
        pytest.param(event(body(usage=USAGE, obfuscation="x4")), id="padded"),
        pytest.param(event(body(usage=USAGE)).replace(b":", b": "), id="spaced"),
        pytest.param(event(body(usage=USAGE, x=[])).replace(b",", b" , "), id="spaced, an array after it"),
    ],
)
def test_usage_is_found_wherever_a_later_chunk_carries_it(conceal: bool, chunk: bytes) -> None:
    stream = reader(conceal)
    relay(stream, [event(body("The")), event(body(" quick")), chunk])
    assert stream.observed().usage == COUNTED


def test_the_last_usage_counts_where_every_chunk_has_one() -> None:
    stream = reader()
    relay(stream, [event(body(usage={"prompt_tokens": 9, "completion_tokens": n})) for n in (1, 2, 3)])
    assert stream.observed().usage == Usage(UsageSource.PROVIDER, input_tokens=9, output_tokens=3)


def test_the_last_usage_counts_also_when_it_makes_no_sense() -> None:
    stream = reader()
    relay(stream, [event(body(usage=USAGE)), event(body(usage={"prompt_tokens": -1}))])
    assert (stream.observed().usage, stream.observed().doubt) == (None, Doubt.NEGATIVE)


def test_a_report_that_is_null_is_none() -> None:
    stream = reader()
    relay(stream, [event(body(usage=USAGE)), event(body(usage=None)), event(body())])
    assert stream.observed().usage == COUNTED


def test_usage_after_the_end_is_late() -> None:
    stream = reader()
    relay(stream, [event(body()), DONE, extra()])
    assert (stream.observed().usage, stream.observed().doubt) == (None, Doubt.LATE)


def test_usage_after_the_end_does_not_undo_what_was_said_before() -> None:
    stream = reader()
    relay(stream, [extra(), DONE, extra(usage={"prompt_tokens": 1})])
    assert (stream.observed().usage, stream.observed().doubt) == (COUNTED, None)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_several_events_may_come_at_once(end: bytes) -> None:
    stream = reader()
    stream.feed(event(body("The")))
    stream.feed(spell(body(" quick"), False, end) + DONE.replace(b"\n", end) + event(body(" fox")))
    assert stream.observed().finished
    assert stream.generated_tokens() == len("The quick fox")


@pytest.mark.parametrize(
    ("usage", "doubt"),
    [
        ({"prompt_tokens": -1, "completion_tokens": 5}, Doubt.NEGATIVE),
        *[(junk, Doubt.UNREADABLE) for junk in ({}, "many", [1], 5, True)],
    ],
)
def test_usage_that_makes_no_sense_is_a_doubt(usage: object, doubt: Doubt) -> None:
    stream = reader()
    assert relay(stream, [extra(usage=usage)]) == b""
    assert (stream.observed().usage, stream.observed().doubt) == (None, doubt)


def test_a_stream_without_done_is_not_finished() -> None:
    stream = reader()
    relay(stream, [event(body()), extra()])
    assert not stream.observed().finished


def test_done_without_its_blank_line_finishes() -> None:
    stream = reader()
    assert relay(stream, [b"data: [DONE]"]) == b"data: [DONE]"
    assert stream.observed().finished


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ({"error": {"message": "m", "type": "server_error", "param": None, "code": None}}, "server_error"),
        ({"error": {"message": "m", "type": "t", "code": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
        ({"error": {"code": 502}}, "502"),
        ({"error": "boom"}, "error"),
        (body(error={"code": "c"}), "c"),
        (body(error="boom"), "error"),
        (body(obfuscation="x4", error="boom"), "error"),
        (body(error="boom", x=[]), "error"),
        ({"error": {"code": "c"}, "usage": USAGE}, "c"),
        ({"error": None, **body()}, None),
    ],
)
def test_an_error_in_the_stream_is_noticed_and_passes(chunk: dict[str, Any], code: str | None) -> None:
    stream = reader()
    portions = [event(body("The")), event(chunk)]
    assert relay(stream, portions) == b"".join(portions)
    assert stream.observed().error == code


def test_the_model_is_the_first_that_is_named() -> None:
    stream = reader()
    relay(
        stream, [event({"choices": [], "model": ""}), event(body("a")), event({"model": "", "choices": [{}]})]
    )
    assert stream.observed().model == "m-1"


def test_what_passed_of_a_cut_stream_is_counted() -> None:
    stream = reader()
    for text in ("The", " quick]", " brown", ' "fox"'):
        stream.feed(event(body(text, usage=None)))
    stream.feed(b'data: {"choices":[{"delta":{"content":" never arr')
    assert stream.generated_tokens() == len('The quick] brown "fox"')
    assert stream.generated_tokens() == len('The quick] brown "fox"')


def test_a_long_stream_is_counted_whole() -> None:
    stream = reader()
    for _ in range(1000):
        stream.feed(event(body(" fox")))
    assert stream.generated_tokens() == 4000


def test_an_incomplete_event_is_held_while_usage_is_concealed() -> None:
    stream = reader()
    assert stream.feed(b'data: {"choices":[{}],"usage":nu') == b""
    assert stream.at_boundary
    assert stream.feed(b"ll}\n\n") == b'data: {"choices":[{}]}\n\n'
    assert stream.at_boundary


def test_an_incomplete_event_passes_at_once_when_nothing_is_concealed() -> None:
    stream = reader(conceal=False)
    assert stream.at_boundary
    assert stream.feed(b"data: {") == b"data: {"
    assert not stream.at_boundary
    stream.feed(b"}\n\n")
    assert stream.at_boundary


def test_an_event_beyond_the_bound_is_let_go_unread() -> None:
    stream = reader()
    long = event(body("x" * LONGEST, usage=None))
    passed = stream.feed(long[:-20])
    assert len(passed) > LONGEST
    assert not stream.at_boundary
    assert passed + stream.feed(long[-20:]) + stream.feed(event(body(usage=None))) == long + event(body())
    assert stream.at_boundary


def test_an_event_that_breaks_off_passes_as_far_as_it_came() -> None:
    cut = b'data: {"choices":[{"delta":{"content":"a'
    assert relay(reader(), [event(body(usage=None)) + cut]) == event(body()) + cut


def test_a_chunk_with_half_a_surrogate_pair_passes() -> None:
    chunk = event(body()).replace(b" fox", rb"\ud83d")
    assert relay(reader(), [chunk]) == chunk


# Properties

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        '],"usage":null}',
        ',"usage":null',
        '"usage":{',
        "\u2028\u0085",
        "a[0]}",
        '"error"',
        "\\",
        "[DONE]",
        "\r\n\r\n",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@dataclass(frozen=True)
class Example:
    """A stream as it comes with the option, and as it would have come without."""

    given: bytes
    without: bytes
    portions: list[bytes]
    usage: Usage | None
    text: str


def spell(chunk: dict[str, Any], spaced: bool, end: bytes) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    data = json.dumps(chunk, separators=separators, ensure_ascii=False).encode("utf-8", "replace")
    return b"data: " + data + end + end


def placed(chunk: dict[str, Any], place: int) -> dict[str, Any]:
    members = list(chunk.items())
    return dict([*members[:place], ("usage", None), *members[place:]])


@st.composite
def streams(draw: st.DrawFn) -> Example:
    spaced, end, padded = draw(st.booleans()), draw(ENDS), draw(st.booleans())
    place = draw(st.integers(0, 6))
    given, without = [], []
    texts = draw(st.lists(TEXTS, max_size=5))
    for text in texts:
        comment = draw(st.sampled_from([b"", b": keep-alive" + end + end]))
        chunk = body(text, **({"obfuscation": "xK4"} if padded else {}))
        given += [comment, spell(placed(chunk, place), spaced, end)]
        without += [comment, spell(chunk, spaced, end)]
    usage = draw(st.booleans())
    if usage:
        given.append(spell({**body(), "choices": [], "usage": USAGE}, spaced, end))
    done = b"data: [DONE]" + end + draw(st.sampled_from([b"", end]))
    whole = b"".join([*given, done])
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    portions = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return Example(whole, b"".join([*without, done]), portions, COUNTED if usage else None, "".join(texts))


@given(streams())
def test_however_it_comes_the_client_gets_what_it_would_have_got_without_the_option(example: Example) -> None:
    bytewise = [example.given[at : at + 1] for at in range(len(example.given))]
    for portions in ([example.given], example.portions, bytewise):
        stream = reader()
        assert relay(stream, portions) == example.without
        observed = stream.observed()
        assert (observed.usage, observed.finished, observed.error) == (example.usage, True, None)
        assert stream.generated_tokens() == len(example.text)


@given(streams())
def test_however_it_comes_a_client_that_asked_gets_the_very_bytes(example: Example) -> None:
    for portions in ([example.given], example.portions):
        stream = reader(conceal=False)
        assert all(stream.feed(portion) is portion for portion in portions)
        assert stream.end() == b""
        assert (stream.observed().usage, stream.observed().finished) == (example.usage, True)


JUNK = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"data: ",
            b"{",
            b"}",
            b'"choices":[',
            b"]",
            b'"usage"',
            b":",
            b"{}",
            b"[DONE]",
            b"\xff",
        ]
    )
    | st.binary(max_size=6),
    max_size=20,
)


@given(JUNK, JUNK)
def test_junk_raises_nothing_and_passes_whole(first: list[bytes], second: list[bytes]) -> None:
    stream = reader()
    portions = [*first, event(body()), *second]
    assert relay(stream, portions) == b"".join(portions)
    stream.observed()
    stream.generated_tokens()
