"""The log: what a line holds, what it never holds, and a sink that is stuck."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.errors import ErrorCode
from gateway.telemetry.logging import LogSink, make_logger

ROOT = Path(__file__).parents[3]


class Lines:
    """A logger and what it wrote."""

    def __init__(self, level: str = "debug") -> None:
        self._stream = io.BytesIO()
        self._sink = LogSink(self._stream)
        self.log: Any = make_logger(self._sink, level)

    @property
    def raw(self) -> bytes:
        self._sink.close()
        return self._stream.getvalue()

    @property
    def all(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.raw.splitlines()]


class StuckPipe:
    """A pipe that nobody reads, filled to the brim."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "wb", buffering=0)
        os.set_blocking(writing, False)
        while self.stream.write(bytes(4096)):
            pass
        os.set_blocking(writing, True)

    def unstick(self) -> None:
        os.close(self._reading)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def pipe() -> Iterator[StuckPipe]:
    pipe = StuckPipe()
    yield pipe
    pipe.stream.close()


def raise_something() -> None:
    raise ValueError("what a client sent: sk-1")


# Lines.


def test_a_line_is_one_json_object_and_a_line_end(lines: Lines) -> None:
    lines.log.info("exchange", team="search", text="two\nlines")
    assert lines.raw.count(b"\n") == 1


def test_a_line_tells_the_event_with_its_level_and_fields(lines: Lines) -> None:
    lines.log.warning("exchange", status=429)
    (line,) = lines.all
    assert (line["event"], line["level"], line["status"]) == ("exchange", "warning", 429)


def test_a_line_begins_with_its_time(lines: Lines) -> None:
    lines.log.info("exchange")
    (line,) = lines.all
    assert next(iter(line)) == "time"
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_many_fields_are_given_as_one_dict(lines: Lines) -> None:
    lines.log.info("exchange", fields={"team": "search", "status": 200})
    (line,) = lines.all
    assert (line["team"], line["status"]) == ("search", 200)


def test_what_was_bound_is_on_every_line(lines: Lines) -> None:
    lines.log.bind(replica="a").info("started")
    assert lines.all[0]["replica"] == "a"


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_what_is_below_the_level_is_not_said(level: str, said: list[str]) -> None:
    lines = Lines(level)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(lines.log, name)("something")
    assert [line["level"] for line in lines.all] == said


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (ErrorCode.DRAINING, "draining"),
        (Path("policies/models.yaml"), "policies/models.yaml"),
        (None, None),
        (1.5, 1.5),
        (["a", "b"], ["a", "b"]),
        (object(), "object"),
        (ValueError("sk-1"), "ValueError"),
    ],
)
def test_a_plain_value_is_told_and_of_others_the_kind(lines: Lines, value: Any, told: Any) -> None:
    lines.log.info("something", value=value)
    assert lines.all[0]["value"] == told


@pytest.mark.parametrize("value", ["\udcff", {1j: 2}, 2**70 * 1.5e300])
def test_a_value_that_cannot_be_written_never_raises(lines: Lines, value: Any) -> None:
    lines.log.info("something", value=value)
    assert lines.all[0]["event"] == "something"


@pytest.mark.parametrize("how", ["exception", "exc_info", "exc_info_tuple"])
def test_an_exception_is_told_by_kind_and_places_without_its_message(lines: Lines, how: str) -> None:
    try:
        raise_something()
    except ValueError as error:
        if how == "exception":
            lines.log.exception("failed")
        elif how == "exc_info":
            lines.log.error("failed", exc_info=error)
        else:
            lines.log.error("failed", exc_info=sys.exc_info())
    (line,) = lines.all
    assert line["exception"][0] == "ValueError"
    assert line["exception"][-1].startswith("test_logging.py:")
    assert line["exception"][-1].endswith(" raise_something")
    assert "sk-1" not in str(line)


def test_no_exception_is_told_when_there_is_none(lines: Lines) -> None:
    lines.log.error("failed", exc_info=None)
    assert "exception" not in lines.all[0]


# The sink.


def test_lines_are_written_in_their_order_by_the_close() -> None:
    stream = io.BytesIO()
    sink = LogSink(stream)
    sink.start()
    for number in range(1000):
        sink.write(b"%d\n" % number)
    sink.close()
    assert stream.getvalue() == b"".join(b"%d\n" % number for number in range(1000))


def test_lines_are_written_before_the_close_too() -> None:
    written = threading.Event()

    class Stream(io.BytesIO):
        def flush(self) -> None:
            written.set()

    sink = LogSink(Stream())
    sink.start()
    sink.write(b"one\n")
    assert written.wait(10)
    sink.close()


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    stream, told = io.BytesIO(), []
    sink = LogSink(stream, most_lines=2, on_dropped=told.append)
    for line in (b"1\n", b"2\n", b"3\n", b"4\n"):
        sink.write(line)
    sink.close()
    assert (stream.getvalue(), sink.dropped, sum(told)) == (b"3\n4\n", 2, 2)


def test_a_stuck_sink_holds_up_neither_those_who_log_nor_the_stop(pipe: StuckPipe) -> None:
    sink = LogSink(pipe.stream, most_lines=10)
    sink.start()
    for _ in range(5000):
        sink.write(b"a line\n")
    sink.close(seconds=0)
    assert sink.dropped >= 4980
    pipe.unstick()


def test_a_broken_sink_costs_the_lines_alone(pipe: StuckPipe) -> None:
    pipe.unstick()
    told: list[int] = []
    sink = LogSink(pipe.stream, on_dropped=told.append)
    sink.write(b"one\n")
    sink.write(b"two\n")
    sink.close()
    assert (sink.dropped, told) == (2, [2])


def test_a_closed_sink_costs_the_lines_alone() -> None:
    stream = io.BytesIO()
    stream.close()
    sink = LogSink(stream)
    sink.write(b"one\n")
    sink.close()
    assert sink.dropped == 1


def test_what_is_written_in_part_is_written_to_its_end() -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:3])

    stream = Slow()
    sink = LogSink(stream)
    sink.write(b"a longer line\n")
    sink.close()
    assert stream.getvalue() == b"a longer line\n"


def test_a_stuck_sink_does_not_keep_the_process_from_ending(pipe: StuckPipe) -> None:
    program = (
        "import sys; from gateway.telemetry.logging import LogSink\n"
        "sink = LogSink(sys.stdout.buffer); sink.start(); sink.write(b'line'); sink.close(seconds=0.2)"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        stdout=pipe.stream,
        env=environment,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0
    pipe.unstick()
