"""Who may read a report now."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.metering.reports.turns import Turns

SOON = 0.01


async def test_so_many_hold_a_place_at_once() -> None:
    turns = Turns(most=2, patience=SOON)
    async with turns.of("search"), turns.of("billing"):
        with pytest.raises(TimeoutError):
            async with turns.of("support"):
                pass


async def test_an_asker_holds_one_place() -> None:
    turns = Turns(most=2, patience=SOON)
    async with turns.of("search"):
        with pytest.raises(TimeoutError):
            async with turns.of("search"):
                pass
        async with turns.of("billing"):
            pass


async def test_who_waits_comes_next() -> None:
    turns = Turns(most=1, patience=30.0)
    entered = asyncio.Event()

    async def other() -> None:
        async with turns.of("billing"):
            entered.set()

    async with turns.of("search"):
        waiting = asyncio.create_task(other())
        await asyncio.sleep(0)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_place_is_given_back_whatever_happens(error: type[BaseException]) -> None:
    turns = Turns(most=1, patience=SOON)
    with pytest.raises(error):
        async with turns.of("search"):
            raise error
    async with turns.of("search"):
        pass


async def test_who_gave_up_waiting_holds_nothing() -> None:
    turns = Turns(most=2, patience=SOON)
    async with AsyncExitStack() as held:
        await held.enter_async_context(turns.of("search"))
        await held.enter_async_context(turns.of("billing"))
        with pytest.raises(TimeoutError):
            await held.enter_async_context(turns.of("support"))
    async with turns.of("support"), turns.of("search"):
        pass


async def test_an_error_of_the_holder_is_not_taken_for_a_lack_of_places() -> None:
    turns = Turns(most=1, patience=SOON)
    with pytest.raises(KeyError):
        async with turns.of("search"):
            raise KeyError
