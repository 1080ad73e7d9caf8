"""An answer on its way from the upstream to the client: byte for byte, watched, and never forged."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.core.endpoint import Endpoint
from gateway.core.errors import ClientLeft, ErrorCode, Refused, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.relay import KEEP_ALIVE, Relay, StreamBounds, StreamWatch
from gateway.wire.endpoints import CHAT_COMPLETIONS, EDITS, SERVED
from gateway.wire.legacy_edits import from_chat
from gateway.wire.usage_body import Passing
from gateway.wire.usage_reader import AnswerReader, answer_reader
from tests.support.clock import ManualClock
from tests.support.memory import EVENTS, JSON, MemoryAnswer, MemoryReply

BROKEN = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "The upstream broke off its answer.")
SPEECH = next(endpoint for endpoint in SERVED if endpoint.name == "audio_speech")
MP3 = "audio/mpeg"

WORD = b'data: {"choices":[{"delta":{"content":"on"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


class Desk:
    """A relay, and what it passes an answer with."""

    def __init__(self, *, whole: int = 1000, bounds: StreamBounds | None = None) -> None:
        self.clock = ManualClock()
        self.watch = StreamWatch(clock=self.clock, bounds=bounds or StreamBounds())
        self.streams: list[int] = []
        self.relay = Relay(
            clock=self.clock, watch=self.watch, whole=whole, translated=1000, open_streams=self.streams.append
        )
        self.reply = MemoryReply()
        self.exchange = Exchange(id="req_1", method="POST", received_at=0.0, started=0.0)
        self.reader: AnswerReader = Passing()

    async def pass_on(
        self, answer: MemoryAnswer, *, endpoint: Endpoint = CHAT_COMPLETIONS, conceal: bool = False
    ) -> None:
        self.reader = answer_reader(endpoint, answer.content_type, conceal_usage=conceal, count_tokens=len)
        headers = [("content-type", answer.headers["content-type"])]
        await self.relay.pass_on(self.exchange, answer, self.reader, self.reply, headers)

    async def passing(self, answer: MemoryAnswer, **options: Any) -> "asyncio.Task[None]":
        """An answer on its way, as far as it comes by itself."""
        task = asyncio.create_task(self.pass_on(answer, **options))
        await turn()
        return task

    async def after(self, seconds: float) -> None:
        """The watch's next look, so much later."""
        self.clock.advance(seconds)
        await self.watch.tick()
        await turn()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def stream(*portions: Any) -> MemoryAnswer:
    return MemoryAnswer(*portions, content_type=f"{EVENTS}; charset=utf-8")


async def error_of(task: "asyncio.Task[None]") -> BaseException:
    done, _ = await asyncio.wait([task], timeout=10)
    assert done
    error = task.exception()
    assert error is not None
    return error


# JSON, in one piece while it is small.


async def test_json_is_passed_on_in_one_piece() -> None:
    desk = Desk()
    await desk.pass_on(MemoryAnswer(b'{"a"', b": 1}", status=201))
    assert (desk.reply.status, desk.reply.written, desk.reply.ended) == (201, [b'{"a": 1}'], True)


async def test_json_that_is_large_is_passed_on_as_it_comes() -> None:
    desk = Desk(whole=5)
    await desk.pass_on(MemoryAnswer(b'{"a"', b": 1", b", ", b"2}"))
    assert desk.reply.written == [b'{"a": 1', b", ", b"2}"]
    assert desk.reply.ended


async def test_json_of_just_the_size_is_still_passed_on_in_one_piece() -> None:
    desk = Desk(whole=8)
    await desk.pass_on(MemoryAnswer(b'{"a"', b": 1}"))
    assert desk.reply.written == [b'{"a": 1}']


async def test_json_that_breaks_leaves_the_answer_unbegun() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(MemoryAnswer(b'{"a"', BROKEN))
    assert not desk.reply.started


async def test_json_that_breaks_when_it_is_large_is_not_ended() -> None:
    desk = Desk(whole=3)
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(MemoryAnswer(b'{"a"', b": 1", BROKEN))
    assert (desk.reply.written, desk.reply.ended) == ([b'{"a"', b": 1"], False)


@pytest.mark.parametrize("whole", [3, 1000], ids=["large", "small"])
async def test_the_usage_of_json_is_read(whole: int) -> None:
    desk = Desk(whole=whole)
    await desk.pass_on(MemoryAnswer(b'{"usage": {"prompt_tokens": 9, ', b'"completion_tokens": 3}}'))
    usage = desk.reader.observed().usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (9, 3)


# Streams of events, portion by portion.


async def test_events_are_passed_on_in_the_upstreams_own_portions() -> None:
    desk = Desk()
    await desk.pass_on(stream(WORD, WORD[:10], WORD[10:], DONE))
    assert desk.reply.written == [WORD, WORD[:10], WORD[10:], DONE]
    assert desk.reply.ended


async def test_events_are_passed_on_while_the_upstream_is_still_at_it() -> None:
    desk, more = Desk(), asyncio.Event()
    task = await desk.passing(stream(WORD, more, DONE))
    assert (desk.reply.written, desk.reply.ended) == ([WORD], False)
    more.set()
    await task


async def test_a_stream_begins_before_its_first_event() -> None:
    desk, more = Desk(), asyncio.Event()
    task = await desk.passing(stream(more, DONE))
    assert desk.reply.started
    more.set()
    await task


async def test_usage_that_the_client_had_not_asked_for_does_not_reach_it() -> None:
    desk = Desk()
    await desk.pass_on(stream(WORD, USAGE, DONE), conceal=True)
    assert desk.reply.body == WORD + DONE
    assert desk.reader.observed().usage is not None


async def test_a_portion_of_which_nothing_is_shown_is_not_written() -> None:
    desk = Desk()
    await desk.pass_on(stream(WORD, USAGE, DONE), conceal=True)
    assert desk.reply.written == [WORD, DONE]


async def test_what_is_held_back_comes_out_at_the_end() -> None:
    desk = Desk()
    await desk.pass_on(stream(WORD, b"data: [DONE]"), conceal=True)
    assert desk.reply.written == [WORD, b"data: [DONE]"]


async def test_a_stream_that_breaks_is_not_ended() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(stream(WORD, BROKEN))
    assert (desk.reply.written, desk.reply.ended) == ([WORD], False)


async def test_half_an_event_that_is_held_back_is_lost_with_a_stream_that_breaks() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(stream(WORD, WORD[:-5], BROKEN), conceal=True)
    assert desk.reply.written == [WORD]


@pytest.mark.parametrize("answer", [stream(DONE), stream(BROKEN), stream(ZeroDivisionError())])
async def test_open_streams_are_counted_in_and_out(answer: MemoryAnswer) -> None:
    desk = Desk()
    await asyncio.wait([await desk.passing(answer)])
    assert desk.streams == [1, -1]


@pytest.mark.parametrize("kind", [JSON, MP3])
async def test_what_is_no_stream_is_not_counted_as_one(kind: str) -> None:
    desk = Desk()
    await desk.pass_on(MemoryAnswer(b"{}", content_type=kind))
    assert desk.streams == []


# Everything else, portion by portion too.


async def test_audio_is_passed_on_as_it_comes() -> None:
    desk = Desk()
    await desk.pass_on(MemoryAnswer(b"ID3", b"\x00", b"\xff", content_type=MP3), endpoint=SPEECH)
    assert (desk.reply.written, desk.reply.ended) == ([b"ID3", b"\x00", b"\xff"], True)


async def test_audio_that_breaks_at_once_leaves_the_answer_unbegun() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(MemoryAnswer(BROKEN, content_type=MP3), endpoint=SPEECH)
    assert not desk.reply.started


async def test_audio_that_breaks_later_is_not_ended() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(MemoryAnswer(b"ID3", BROKEN, content_type=MP3), endpoint=SPEECH)
    assert (desk.reply.written, desk.reply.ended) == ([b"ID3"], False)


@pytest.mark.parametrize("answer", [stream(), MemoryAnswer(), MemoryAnswer(content_type=MP3)])
async def test_an_answer_may_be_empty(answer: MemoryAnswer) -> None:
    desk = Desk()
    await desk.pass_on(answer)
    assert (desk.reply.body, desk.reply.ended) == (b"", True)


# When the first byte was.


@pytest.mark.parametrize(
    "make",
    [
        lambda *portions: stream(*portions),
        lambda *portions: MemoryAnswer(*portions, content_type=MP3),
        lambda *portions: MemoryAnswer(*portions, b"x" * 2000),
    ],
    ids=["events", "audio", "large json"],
)
async def test_the_first_byte_is_what_counts(make: Callable[..., MemoryAnswer]) -> None:
    desk = Desk()
    began = desk.clock.monotonic()
    later = lambda: desk.clock.advance(1)  # noqa: E731 - a step of the upstream's
    await desk.pass_on(make(later, b"x" * 1001, later, b"y", later))
    assert desk.exchange.answered == began + 1


async def test_json_is_answered_when_it_is_whole() -> None:
    desk = Desk()
    began = desk.clock.monotonic()
    later = lambda: desk.clock.advance(1)  # noqa: E731 - a step of the upstream's
    await desk.pass_on(MemoryAnswer(later, b"{", later, b"}"))
    assert desk.exchange.answered == began + 2


async def test_what_never_came_was_never_answered() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(stream(BROKEN))
    assert desk.exchange.answered is None


# Answers in another shape.

COMPLETION = msgspec.json.encode(
    {
        "choices": [{"message": {"content": "Better"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }
)


async def translated(desk: Desk, answer: MemoryAnswer) -> None:
    desk.reader = answer_reader(EDITS, answer.content_type, conceal_usage=True, count_tokens=len)
    await desk.relay.pass_translated(desk.exchange, answer, desk.reader, desk.reply, [], from_chat)


async def test_a_translated_answer_is_shown_in_its_new_shape() -> None:
    desk = Desk()
    await translated(desk, MemoryAnswer(COMPLETION))
    assert desk.reply.json["choices"] == [{"text": "Better", "index": 0}]
    assert desk.reply.ended


async def test_a_translated_answer_is_metered_as_it_came() -> None:
    desk = Desk()
    await translated(desk, MemoryAnswer(COMPLETION))
    observed = desk.reader.observed()
    assert observed.finished
    assert observed.usage is not None
    assert observed.usage.total_tokens == 12


async def test_an_error_is_not_translated() -> None:
    desk = Desk()
    await translated(desk, MemoryAnswer(b'{"error": {}}', status=404))
    assert (desk.reply.status, desk.reply.body) == (404, b'{"error": {}}')


@pytest.mark.parametrize("answer", [b"{}", b"<html>", b""], ids=repr)
async def test_what_cannot_be_translated_leaves_the_answer_unbegun(answer: bytes) -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await translated(desk, MemoryAnswer(answer))
    assert not desk.reply.started


async def test_what_is_too_long_to_be_translated_leaves_the_answer_unbegun() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await translated(desk, MemoryAnswer(b" " * 1001))
    assert not desk.reply.started


async def test_a_translated_answer_is_watched() -> None:
    desk = Desk()
    task = asyncio.create_task(translated(desk, MemoryAnswer(b"{", asyncio.Event())))
    await turn()
    await desk.after(61)
    error = await error_of(task)
    assert isinstance(error, UpstreamFailed)
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT


# The watch, by its own clock.

each_kind = pytest.mark.parametrize("kind", [EVENTS, JSON, MP3])


@each_kind
async def test_an_upstream_that_stops_is_timed_out(kind: str) -> None:
    desk = Desk(bounds=StreamBounds(gap=60))
    task = await desk.passing(MemoryAnswer(b"x", asyncio.Event(), content_type=kind))
    await desk.after(60)
    assert not task.done()
    await desk.after(0.1)
    error = await error_of(task)
    assert isinstance(error, UpstreamFailed)
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT
    assert not desk.reply.ended


@each_kind
async def test_every_byte_is_a_sign_of_life(kind: str) -> None:
    desk, pauses = Desk(bounds=StreamBounds(gap=60)), [asyncio.Event() for _ in range(4)]
    portions = [portion for pause in pauses for portion in (b"x", pause)]
    task = await desk.passing(MemoryAnswer(*portions, content_type=kind))
    for pause in pauses:
        await desk.after(59)
        pause.set()
        await turn()
    await task
    assert desk.reply.ended


@each_kind
async def test_an_answer_may_not_last_for_ever(kind: str) -> None:
    desk = Desk(bounds=StreamBounds(gap=60, whole=100))
    pauses = [asyncio.Event() for _ in range(4)]
    portions = [portion for pause in pauses for portion in (b"x", pause)]
    task = await desk.passing(MemoryAnswer(*portions, content_type=kind))
    for pause in pauses[:3]:
        await desk.after(34)
        pause.set()
        await turn()
    error = await error_of(task)
    assert isinstance(error, UpstreamFailed)
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT


class SlowClient:
    """A client that takes nothing from a certain moment on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._taken = asyncio.Event()

    def slows_down(self) -> None:
        self._desk.reply.slow = self._taken

    def takes_all(self) -> None:
        self._desk.reply.slow = None
        self._taken.set()


@each_kind
@pytest.mark.parametrize("when", ["at the beginning", "in the middle", "at the end"])
async def test_a_slow_client_is_no_fault_of_the_upstream(kind: str, when: str) -> None:
    desk = Desk(bounds=StreamBounds(gap=60, whole=100))
    client = SlowClient(desk)
    portions: list[Any] = [b"x", b"y"]
    portions.insert(["at the beginning", "in the middle", "at the end"].index(when), client.slows_down)
    task = await desk.passing(MemoryAnswer(*portions, content_type=kind))
    await desk.after(1000)
    assert not task.done()
    client.takes_all()
    await task
    assert desk.reply.body == b"xy"


@pytest.mark.parametrize("kind", [EVENTS, MP3])
@pytest.mark.parametrize("already", [[], [b"x"]], ids=["at the beginning", "in the middle"])
async def test_the_time_that_the_client_took_is_not_the_upstreams(kind: str, already: list[bytes]) -> None:
    desk, more = Desk(bounds=StreamBounds(gap=60)), asyncio.Event()
    client = SlowClient(desk)
    answer = MemoryAnswer(*already, client.slows_down, b"y", more, b"z", content_type=kind)
    task = await desk.passing(answer)
    await desk.after(59)
    client.takes_all()
    await turn()
    await desk.after(59)
    assert not task.done()
    more.set()
    await task


async def test_the_time_that_the_client_took_for_the_head_is_not_the_upstreams() -> None:
    desk, more = Desk(bounds=StreamBounds(gap=60)), asyncio.Event()
    client = SlowClient(desk)
    client.slows_down()
    task = await desk.passing(stream(more, DONE))
    await desk.after(59)
    client.takes_all()
    await turn()
    await desk.after(59)
    assert not task.done()
    more.set()
    await task


async def test_a_byte_that_is_held_back_is_a_sign_of_life_too() -> None:
    desk, pauses = Desk(bounds=StreamBounds(gap=60)), [asyncio.Event() for _ in range(4)]
    portions = [portion for pause in pauses for portion in (b"data: {", pause)]
    task = await desk.passing(stream(*portions), conceal=True)
    for pause in pauses:
        await desk.after(59)
        pause.set()
        await turn()
    await task


async def test_who_is_called_off_by_others_hears_of_that() -> None:
    desk = Desk()
    task = await desk.passing(stream(WORD, asyncio.Event()))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_client_that_leaves_ends_the_relay() -> None:
    desk = Desk()
    with pytest.raises(ClientLeft):
        await desk.pass_on(stream(WORD, lambda: setattr(desk.reply, "gone", True), WORD))
    assert not desk.reply.ended


@pytest.mark.parametrize("looks", [1, 2])
async def test_a_verdict_is_no_lasting_call_off(looks: int) -> None:
    desk = Desk()
    cancelling = []

    async def journey() -> None:
        with pytest.raises(UpstreamFailed):
            await desk.pass_on(stream(WORD, asyncio.Event()))
        task = asyncio.current_task()
        assert task is not None
        cancelling.append(task.cancelling())

    task = asyncio.create_task(journey())
    await turn()
    desk.clock.advance(61)
    for _ in range(looks):
        await desk.watch.tick()
    await task
    assert cancelling == [0]


# Answers that others want ended.

CUT = Refused(ErrorCode.INSUFFICIENT_QUOTA, "The budget is used up.")


@each_kind
async def test_an_answer_that_is_to_end_ends_where_it_is(kind: str) -> None:
    desk = Desk()
    task = await desk.passing(MemoryAnswer(b"x", asyncio.Event(), content_type=kind))
    desk.watch.end("req_1", CUT)
    assert await error_of(task) is CUT
    assert not desk.reply.ended


async def test_an_answer_ends_also_while_its_client_takes_nothing() -> None:
    desk = Desk()
    client = SlowClient(desk)
    task = await desk.passing(stream(WORD, client.slows_down, WORD))
    desk.watch.end("req_1", CUT)
    assert await error_of(task) is CUT


async def test_of_two_reasons_to_end_the_first_one_counts() -> None:
    desk = Desk()
    task = await desk.passing(stream(WORD, asyncio.Event()))
    desk.watch.end("req_1", CUT)
    desk.watch.end("req_1", Refused(ErrorCode.INVALID_API_KEY, "The key was revoked."))
    assert await error_of(task) is CUT


async def test_only_the_answer_that_is_meant_ends() -> None:
    desk, more = Desk(), asyncio.Event()
    task = await desk.passing(stream(WORD, more))
    desk.watch.end("req_2", CUT)
    more.set()
    await task
    assert desk.reply.ended


async def test_an_answer_that_is_over_cannot_be_ended() -> None:
    desk = Desk()
    await desk.pass_on(stream(DONE))
    desk.watch.end("req_1", CUT)
    await turn()
    assert desk.reply.ended


async def test_answers_are_watched_while_they_last() -> None:
    desk, more = Desk(), asyncio.Event()
    task = await desk.passing(stream(WORD, more))
    assert desk.watch.open == 1
    more.set()
    await task
    assert desk.watch.open == 0


async def test_an_answer_that_failed_is_watched_no_longer() -> None:
    desk = Desk()
    with pytest.raises(UpstreamFailed):
        await desk.pass_on(stream(BROKEN))
    assert desk.watch.open == 0


async def test_all_answers_are_looked_at() -> None:
    desk = Desk()
    others = [Desk() for _ in range(2)]
    for number, other in enumerate(others, 2):
        other.exchange.id = f"req_{number}"
        other.watch, other.clock = desk.watch, desk.clock
        other.relay = Relay(clock=desk.clock, watch=desk.watch)
    tasks = [await each.passing(stream(WORD, asyncio.Event())) for each in (desk, *others)]
    await desk.after(61)
    assert [type(await error_of(task)) for task in tasks] == [UpstreamFailed] * 3


# Comments that keep a silent stream alive.


async def silent_for(desk: Desk, seconds: float, *portions: Any, conceal: bool = False) -> list[bytes]:
    """What the client got, when the upstream falls silent after these portions."""
    silence = asyncio.Event()
    task = await desk.passing(stream(*portions, silence), conceal=conceal)
    await desk.after(seconds)
    written = list(desk.reply.written)
    silence.set()
    await task
    return written


async def test_a_silent_stream_gets_a_comment() -> None:
    assert await silent_for(Desk(), 15.1, WORD) == [WORD, KEEP_ALIVE]


async def test_a_stream_gets_a_comment_before_its_first_event() -> None:
    assert await silent_for(Desk(), 15.1) == [KEEP_ALIVE]


async def test_a_stream_that_was_silent_for_a_short_time_gets_no_comment() -> None:
    assert await silent_for(Desk(), 15, WORD) == [WORD]


async def test_a_comment_never_stands_inside_an_event() -> None:
    assert await silent_for(Desk(), 15.1, WORD, WORD[:10]) == [WORD, WORD[:10]]


async def test_a_comment_may_stand_before_an_event_that_is_held_back() -> None:
    assert await silent_for(Desk(), 15.1, WORD, WORD[:10], conceal=True) == [WORD, KEEP_ALIVE]


async def test_a_client_that_has_not_taken_all_gets_no_comment() -> None:
    desk = Desk()
    desk.reply.taken = False
    assert await silent_for(desk, 15.1, WORD) == [WORD]


async def test_a_client_that_is_being_written_to_gets_no_comment() -> None:
    desk, taken = Desk(), asyncio.Event()
    desk.reply.slow = taken
    task = await desk.passing(stream(WORD))
    await desk.after(15.1)
    assert KEEP_ALIVE not in desk.reply.written
    taken.set()
    await task


@pytest.mark.parametrize("kind", [JSON, MP3])
async def test_what_is_no_stream_of_events_gets_no_comment(kind: str) -> None:
    desk, more = Desk(whole=0), asyncio.Event()
    task = await desk.passing(MemoryAnswer(b"xx", more, content_type=kind))
    await desk.after(15.1)
    more.set()
    await task
    assert desk.reply.body == b"xx"


async def test_comments_come_again_and_again() -> None:
    desk, silence = Desk(), asyncio.Event()
    task = await desk.passing(stream(WORD, silence, DONE))
    for _ in range(3):
        await desk.after(15.1)
        await desk.after(1)
    silence.set()
    await task
    assert desk.reply.written == [WORD, KEEP_ALIVE, KEEP_ALIVE, KEEP_ALIVE, DONE]


async def test_a_comment_is_no_sign_of_life_of_the_upstream() -> None:
    desk = Desk(bounds=StreamBounds(gap=60))
    task = await desk.passing(stream(WORD, asyncio.Event()))
    for _ in range(5):
        await desk.after(15.1)
    assert isinstance(await error_of(task), UpstreamFailed)


async def test_a_client_that_left_does_not_trouble_the_watch() -> None:
    desk, silence = Desk(), asyncio.Event()
    task = await desk.passing(stream(WORD, silence, DONE))
    desk.reply.gone = True
    await desk.after(15.1)
    silence.set()
    assert isinstance(await error_of(task), ClientLeft)


async def test_only_a_task_can_be_watched() -> None:
    desk = Desk()
    failures: list[BaseException] = []

    def outside() -> None:
        try:
            desk.watch.over("req_1", desk.reply, Passing(), events=True)
        except RuntimeError as error:
            failures.append(error)

    asyncio.get_running_loop().call_soon(outside)
    await turn()
    assert len(failures) == 1
