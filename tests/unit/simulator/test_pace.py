import pytest

from gateway.simulator.pace import Pace


async def never(seconds: float) -> None:
    pytest.fail(f"slept {seconds} s")


async def test_a_pace_waits_for_the_first_token_and_then_for_each() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(first_token_seconds=0.5, tokens_per_second=50, sleep=sleep)
    await pace.think()
    await pace.say(1)
    await pace.say(10)
    await pace.say(0)

    assert slept == [0.5, 0.02, 0.2]


async def test_the_instant_pace_never_sleeps() -> None:
    instant = Pace.instant()
    pace = Pace(instant.first_token_seconds, instant.tokens_per_second, sleep=never)

    await pace.think()
    await pace.say(1_000_000)
