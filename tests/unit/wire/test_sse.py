"""The SSE decoder: any portioning of the bytes gives the same events and the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import LONGEST, Cutter, Event, Piece, peek_name, read_event, with_data

JUNK = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b"data", b":", b"event: e", b"\xe2\x80\xa8"])
)


def cut(portions: list[bytes], longest: int = LONGEST) -> list[Piece]:
    cutter = Cutter(longest=longest)
    return [piece for portion in portions for piece in cutter.feed(portion)] + cutter.end()


def whole_events(portions: list[bytes], longest: int = LONGEST) -> list[bytes]:
    return [piece.raw for piece in cut(portions, longest) if piece.whole]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@st.composite
def portioned(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return whole, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"], id="LF"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"data: a\r\r", b"data: b\r\r"], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"data: a\r\n\n", b"data: b\n\r\n"], id="mixed"),
        pytest.param(b"data: a\r\n\rdata: b\n\n", [b"data: a\r\n\r", b"data: b\n\n"], id="CRLF and CR"),
        pytest.param(
            b"data: a\n\n\n\ndata: b\n\n", [b"data: a\n\n", b"\n", b"\n", b"data: b\n\n"], id="spare"
        ),
        pytest.param(b"\r\n\r\ndata: a\n\n", [b"\r\n", b"\r\n", b"data: a\n\n"], id="blank lines first"),
        pytest.param(b"data: a\n\ndata: b", [b"data: a\n\n", b"data: b"], id="no last blank line"),
        pytest.param(
            b"data: a\n\ndata: b\n", [b"data: a\n\n", b"data: b\n"], id="no last blank line but its LF"
        ),
        pytest.param(
            b"data: a\xe2\x80\xa8\xc2\x85b\x0b\x0c\x1c\n\n",
            [b"data: a\xe2\x80\xa8\xc2\x85b\x0b\x0c\x1c\n\n"],
            id="U+2028",
        ),
        pytest.param(b": keep-alive\n\ndata: a\n\n", [b": keep-alive\n\n", b"data: a\n\n"], id="comment"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_an_event_ends_at_its_blank_line(stream: bytes, events: list[bytes]) -> None:
    assert whole_events([stream]) == events
    assert whole_events(one_by_one(stream)) == events


@given(portioned(JUNK.map(b"".join) | st.binary(max_size=60)))
def test_the_pieces_are_the_stream_and_do_not_depend_on_how_it_came(given: tuple[bytes, list[bytes]]) -> None:
    stream, portions = given
    pieces = cut(portions)
    assert b"".join(piece.raw for piece in pieces) == stream
    assert pieces == cut([stream]) == cut(one_by_one(stream))


@given(portioned(JUNK.map(b"".join)))
def test_which_events_are_too_long_does_not_depend_on_how_they_came(given: tuple[bytes, list[bytes]]) -> None:
    stream, portions = given
    assert b"".join(piece.raw for piece in cut(portions, longest=12)) == stream
    events = whole_events([stream], longest=12)
    assert whole_events(portions, longest=12) == whole_events(one_by_one(stream), longest=12) == events
    assert all(len(event) <= 12 for event in events)
    assert events == [event for event in whole_events([stream]) if len(event) <= 12]


def test_an_event_that_is_too_long_goes_by_in_pieces() -> None:
    cutter = Cutter(longest=10)
    first = cutter.feed(b"data: 0123456789")
    assert [(piece.first, piece.last) for piece in first] == [(True, False)]
    assert cutter.inside
    rest = cutter.feed(b"abc\n\ndata: b\n\n")
    assert [(piece.first, piece.last) for piece in rest] == [(False, True), (True, True)]
    assert rest[-1].raw == b"data: b\n\n"
    assert not cutter.inside


def test_no_more_is_held_than_the_longest_event() -> None:
    cutter = Cutter(longest=1000)
    passed = sum(len(piece.raw) for _ in range(100) for piece in cutter.feed(b"x" * 100))
    assert passed >= 100 * 100 - 1000


def test_a_cutter_is_clean_where_an_event_ends() -> None:
    cutter = Cutter()
    assert cutter.clean
    cutter.feed(b"data: a\n")
    assert not cutter.clean
    cutter.feed(b"\n")
    assert cutter.clean


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: a\n\n", Event("", b"a")),
        (b"data:a\n\n", Event("", b"a")),
        (b"data:  a \n\n", Event("", b" a ")),
        (b"data: a\ndata: b\n\n", Event("", b"a\nb")),
        (b"data: a\r\ndata:\r\ndata: b\r\n\r\n", Event("", b"a\n\nb")),
        (b"data: a\rdata: b\r\r", Event("", b"a\nb")),
        (b"data: a\rdata: b\n\n", Event("", b"a\nb")),
        (b"event: e\ndata: a\n\n", Event("e", b"a")),
        (b"event:e\nevent: f\ndata: a", Event("f", b"a")),
        (b": note\nid: 7\nretry: 10\nsurprise: s\ndata: a\n\n", Event("", b"a")),
        (b"data: a\xe2\x80\xa8b\n\n", Event("", b"a\xe2\x80\xa8b")),
        (b"data\n\n", Event("", b"")),
        (b"event: \xff\ndata: a\n\n", Event("\ufffd", b"a")),
        (b": keep-alive\n\n", None),
        (b"event: e\n\n", None),
        (b"\n", None),
        (b"", None),
    ],
)
def test_an_event_says_its_name_and_its_data(raw: bytes, event: Event | None) -> None:
    assert read_event(raw) == event


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"event: a.b\ndata: x\n\n", "a.b"),
        (b"event:a.b\r\ndata: x\r\n\r\n", "a.b"),
        (b"event: a.b\rdata: x\r\r", "a.b"),
        (b"event:\ndata: x\n\n", ""),
        (b"event:", ""),
        (b"data: x\nevent: a.b\n\n", ""),
        (b"event: " + b"n" * 1000, "n" * 249),
    ],
)
def test_a_name_can_be_read_without_the_rest(raw: bytes, name: str) -> None:
    assert peek_name(raw) == name


@pytest.mark.parametrize(
    ("raw", "changed"),
    [
        (b"data: old\n\n", b"data: new\n\n"),
        (b"data:old\r\n\r\n", b"data:new\r\n\r\n"),
        (b": c\nid: 1\ndata: old\nretry: 2\n\n", b": c\nid: 1\ndata: new\nretry: 2\n\n"),
        (b"data: o\ndata: ld\nid: 1\n\n", b"data: new\nid: 1\n\n"),
        (b"data: old", b"data: new"),
    ],
)
def test_changed_data_leaves_the_rest_of_the_event_alone(raw: bytes, changed: bytes) -> None:
    assert with_data(raw, b"new") == changed


def test_changed_data_of_several_lines_is_spelled_as_several_lines() -> None:
    assert with_data(b"data: a\r\ndata: b\r\n\r\n", b"c\nd") == b"data: c\r\ndata: d\r\n\r\n"
