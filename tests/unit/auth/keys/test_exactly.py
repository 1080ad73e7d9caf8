"""A pause that ends when it should."""

import asyncio

import pytest

from gateway.auth.keys.exactly import APART, ExactPause
from gateway.core.clock import SystemClock


@pytest.mark.parametrize("seconds", [0.0005, 0.004])
async def test_it_is_never_too_short(seconds: float) -> None:
    began = SystemClock.monotonic()
    await ExactPause()(seconds)
    assert SystemClock.monotonic() - began >= seconds


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_nothing_is_waited_for_what_is_over(seconds: float) -> None:
    waiting = ExactPause()(seconds)
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_others_go_on_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    await ExactPause()(0.001)
    others.cancel()
    assert turns > 1


class Looked:
    """A clock that counts how often it is looked at, and goes on by a tenth of a millisecond each time."""

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> float:
        return self.monotonic()

    def monotonic(self) -> float:
        self.looks += 1
        return self.looks / 10_000


@pytest.fixture
def clock() -> Looked:
    return Looked()


async def test_of_a_flood_one_alone_is_waited_for_turn_by_turn(clock: Looked) -> None:
    pause = ExactPause(clock)
    await asyncio.gather(*(pause(0.0015) for _ in range(50)))
    assert clock.looks < 50 + 20


async def test_who_asks_one_thing_at_a_time_finds_every_pause_exact(clock: Looked) -> None:
    pause = ExactPause(clock)
    for _ in range(5):
        clock.looks += int(APART * 10_000)
        before = clock.looks
        await pause(0.0015)
        assert clock.looks - before > 10
