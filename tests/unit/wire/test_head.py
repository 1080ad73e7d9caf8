"""Heads as bytes: nobody's header can bring in another line."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.incoming import HeaderList
from gateway.wire.head import write_head

LINE = "HTTP/1.1 200 OK"


def test_a_head_is_its_lines_and_an_empty_one() -> None:
    head = write_head(LINE, [("content-type", "application/json"), ("x", "")])
    assert head == b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx: \r\n\r\n"


def test_a_head_may_have_no_fields() -> None:
    assert write_head(LINE, []) == b"HTTP/1.1 200 OK\r\n\r\n"


def test_what_latin_1_has_is_written_in_it() -> None:
    assert write_head(LINE, [("x", "née")]) == b"HTTP/1.1 200 OK\r\nx: n\xe9e\r\n\r\n"


@pytest.mark.parametrize(
    "evil", ["a\r\nset-cookie: evil", "a\nset-cookie: evil", "a\rb", "\r\n", "a\r\n\r\nbody", "a\n"], ids=repr
)
@pytest.mark.parametrize("place", ["first line", "name", "value"])
def test_a_line_break_is_refused(evil: str, place: str) -> None:
    line = evil if place == "first line" else LINE
    field = (evil if place == "name" else "x", evil if place == "value" else "y")
    with pytest.raises(ValueError, match="line break"):
        write_head(line, [("before", "1"), field, ("after", "2")])


@pytest.mark.parametrize("text", ["日本", "\ud800", "…"], ids=ascii)
def test_what_no_header_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="latin-1"):
        write_head(LINE, [("x", text)])


class Fields:
    """Reads a head as others do."""

    def __init__(self) -> None:
        self.told: HeaderList = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.told.append((name.decode("latin-1"), value.decode("latin-1")))


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_whatever_a_value_says_a_reader_finds_one_field(value: str) -> None:
    try:
        head = write_head(LINE, [("x-first", value), ("content-length", "0")])
    except ValueError:
        return
    fields = Fields()
    try:
        httptools.HttpResponseParser(fields).feed_data(head)
    except httptools.HttpParserError:
        return
    assert [name for name, _ in fields.told] == ["x-first", "content-length"]
