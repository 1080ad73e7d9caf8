import pytest

from gateway.simulator.answer import Part
from gateway.simulator.sse import frame


@pytest.mark.parametrize(
    ("part", "line_end", "framed"),
    [
        (Part({"a": "é"}), "\n", 'data: {"a":"é"}\n\n'),
        (Part("[DONE]"), "\n", "data: [DONE]\n\n"),
        (Part({}, event="error"), "\r\n", "event: error\r\ndata: {}\r\n\r\n"),
        (Part(b"as it is"), "\n", "as it is"),
    ],
)
def test_an_event_is_framed(part: Part, line_end: str, framed: str) -> None:
    assert frame(part, line_end).decode() == framed
