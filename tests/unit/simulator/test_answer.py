from typing import Any

import pytest

from gateway.simulator.answer import Part, stream, whole


@pytest.mark.parametrize(
    ("data", "usage"),
    [
        ({"usage": {"a": 1}}, {"a": 1}),
        ({"response": {"usage": {"a": 1}}}, {"a": 1}),
        ({"usage": None}, None),
        ({"response": {"usage": None}}, None),
        ({}, None),
        ("[DONE]", None),
        (b"\x00", None),
    ],
)
def test_a_part_knows_the_usage_it_reports(data: Any, usage: object) -> None:
    assert Part(data).usage == usage


def test_only_a_stream_streams_events() -> None:
    assert stream([]).streams_events
    assert not whole({}).streams_events
