"""Work that outlives a request."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import CapturingLogger

from gateway.background import Background

Make = Callable[..., Background]


class Pauses:
    """Stands in for the passing of time: pauses end when the test says so."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._end = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._end.acquire()

    def end_one(self) -> None:
        self._end.release()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


@pytest.fixture
async def make(pauses: Pauses, log: CapturingLogger) -> AsyncIterator[Make]:
    made = []

    def make(**options: int) -> Background:
        background = Background(log=log, pause=pauses, **options)  # type: ignore[arg-type]
        made.append(background)
        return background

    yield make
    for background in made:
        await background.stop(drain_seconds=0)


def names(log: CapturingLogger) -> list[str]:
    return [call.args[0] for call in log.calls]


def append(done: list[int], number: int) -> Callable[[], asyncio.Future[None]]:
    async def job() -> None:
        done.append(number)

    return job  # type: ignore[return-value]


async def fails() -> None:
    raise ZeroDivisionError("what a client sent")


async def test_what_is_handed_over_is_done_in_order(make: Make) -> None:
    background, done = make(), []
    for number in range(5):
        background.hand_over(append(done, number))
    background.start()
    await background.stop()
    assert done == [0, 1, 2, 3, 4]


async def test_a_job_that_fails_does_not_hold_up_the_next(make: Make) -> None:
    background, done = make(), []
    background.start()
    background.hand_over(fails)
    background.hand_over(append(done, 1))
    await background.stop()
    assert done == [1]


async def test_a_job_that_fails_is_logged_by_the_kind_of_its_error(make: Make, log: CapturingLogger) -> None:
    background = make()
    background.start()
    background.hand_over(fails)
    await background.stop()
    call = log.calls[0]
    assert (call.args[0], call.kwargs["error"]) == ("hand_over_failed", "ZeroDivisionError")


async def test_a_full_queue_drops_the_oldest(make: Make, log: CapturingLogger) -> None:
    background, done = make(most_jobs=2), []
    for number in range(3):
        background.hand_over(append(done, number))
    background.start()
    await background.stop()
    assert (done, background.dropped, names(log)) == ([1, 2], 1, ["hand_over_dropped"])


async def test_a_job_that_takes_too_long_is_left_undone_at_the_stop(make: Make, log: CapturingLogger) -> None:
    background = make()
    background.start()
    background.hand_over(asyncio.Event().wait)  # type: ignore[arg-type]
    background.hand_over(append([], 1))
    await asyncio.sleep(0)
    await background.stop(drain_seconds=0)
    assert [(call.args[0], call.kwargs["count"]) for call in log.calls] == [("hand_overs_left_undone", 2)]


async def test_something_cancelled_inside_a_job_does_not_end_the_hand_overs(
    make: Make, pauses: Pauses
) -> None:
    background, done = make(), []

    async def awaits_what_is_cancelled() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    background.start()
    background.hand_over(awaits_what_is_cancelled)
    background.hand_over(append(done, 1))
    pauses.end_one()
    await background.stop()
    assert done == [1]


async def test_a_loop_that_fails_is_begun_again_a_second_later(make: Make, pauses: Pauses) -> None:
    background = make()
    runs: asyncio.Queue[None] = asyncio.Queue()

    async def run() -> None:
        runs.put_nowait(None)
        raise ZeroDivisionError

    background.loop("breaks", run)
    await runs.get()
    assert await pauses.asked.get() == 1.0
    pauses.end_one()
    await runs.get()


async def test_a_loop_that_fails_is_logged_with_its_name(
    make: Make, pauses: Pauses, log: CapturingLogger
) -> None:
    make().loop("breaks", fails)
    await pauses.asked.get()
    call = log.calls[0]
    assert (call.args[0], call.kwargs["loop"], call.kwargs["error"]) == (
        "loop_failed",
        "breaks",
        "ZeroDivisionError",
    )


async def test_something_is_done_again_and_again_after_a_pause(make: Make, pauses: Pauses) -> None:
    background = make()
    acts: asyncio.Queue[None] = asyncio.Queue()

    async def act() -> None:
        acts.put_nowait(None)

    background.every("tick", 5.0, act)
    for _ in range(3):
        assert await pauses.asked.get() == 5.0
        assert acts.empty()
        pauses.end_one()
        await acts.get()


async def test_the_stop_ends_every_loop(make: Make) -> None:
    background = make()
    ended = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    background.loop("waits", run)
    await asyncio.sleep(0)
    await background.stop()
    assert ended == [True]


async def test_a_loop_can_be_cancelled_by_whoever_ends_the_process(make: Make) -> None:
    make().loop("waits", asyncio.Event().wait)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "waits")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
