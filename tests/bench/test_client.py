"""The bench must notice a contestant that changes a byte: what reads the answers is tested like a product."""

import pytest

from tests.bench.client import AnswerReader, WrongAnswer

_SIZED = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 12\r\n\r\nhello\r\n\r\nyou"
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nserver: x\r\n\r\n"
    b"5\r\nhello\r\n6\r\n\r\n\r\nyo\r\n0\r\n\r\n"
)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "body"),
    [(_SIZED, b"hello\r\n\r\nyou"), (_CHUNKED, b"hello\r\n\r\nyo")],
    ids=["sized", "chunked"],
)
def test_a_body_is_read_the_same_however_it_is_split(answer: bytes, body: bytes, size: int) -> None:
    reader = AnswerReader()
    assert b"".join(reader.feed(piece) for piece in pieces(answer, size)) == body
    assert reader.done


@pytest.mark.parametrize("answer", [_SIZED, _CHUNKED], ids=["sized", "chunked"])
def test_an_answer_is_not_done_before_its_last_byte(answer: bytes) -> None:
    reader = AnswerReader()
    for piece in pieces(answer[:-1], 1):
        reader.feed(piece)
    assert not reader.done


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc",
    ],
)
def test_a_wrong_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(WrongAnswer):
        AnswerReader().feed(answer)
