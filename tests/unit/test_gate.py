"""How many are inside, and who may come in."""

import asyncio
from contextlib import ExitStack

import pytest

from gateway.core.errors import ErrorCode, Refused
from gateway.gate import Gate


def gate(most: int = 2) -> tuple[Gate, list[int]]:
    told: list[int] = []
    return Gate(most=most, on_change=told.append), told


def refusal(full: Gate) -> Refused:
    with pytest.raises(Refused) as refused:
        full.check()
    return refused.value


async def test_the_count_is_told_at_each_change() -> None:
    entrance, told = gate()
    with entrance, entrance:
        pass
    assert told == [1, 2, 1, 0]


async def test_an_exchange_is_counted_out_when_it_fails() -> None:
    entrance, _ = gate()
    with pytest.raises(ZeroDivisionError), entrance:
        raise ZeroDivisionError
    assert entrance.inside == 0


async def test_as_many_as_the_bound_may_be_inside() -> None:
    entrance, _ = gate(most=2)
    with entrance, entrance:
        entrance.check()


async def test_one_more_is_told_that_the_gateway_is_full() -> None:
    entrance, _ = gate(most=2)
    with entrance, entrance, entrance:
        error = refusal(entrance)
    assert (error.code, error.retry_after) == (ErrorCode.OVERLOADED, 1)


async def test_there_is_room_again_when_one_has_left() -> None:
    entrance, _ = gate(most=1)
    with entrance:
        pass
    with entrance:
        entrance.check()


async def test_who_comes_while_it_drains_is_told_to_come_again() -> None:
    entrance, _ = gate()
    entrance.draining = True
    with entrance:
        error = refusal(entrance)
    assert (error.code, error.retry_after) == (ErrorCode.DRAINING, 1)


async def test_an_empty_gate_is_empty_at_once() -> None:
    entrance, _ = gate()
    await entrance.empty()


async def test_the_wait_is_over_when_the_last_one_has_left() -> None:
    entrance, _ = gate()
    with ExitStack() as inside:
        inside.enter_context(entrance)
        second = entrance
        second.__enter__()
        waiting = asyncio.create_task(entrance.empty())
        await asyncio.sleep(0)
        second.__exit__(None, None, None)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def waiting_at(entrance: Gate, *, forever: asyncio.Event) -> None:
    with entrance.until_cleared():
        await forever.wait()


async def test_who_waits_is_told_when_the_gate_is_cleared() -> None:
    entrance, _ = gate()
    waiting = asyncio.create_task(waiting_at(entrance, forever=asyncio.Event()))
    await asyncio.sleep(0)
    entrance.clear()
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.code is ErrorCode.DRAINING
    assert waiting.cancelling() == 0


async def test_a_wait_that_is_cancelled_by_another_hand_stays_cancelled() -> None:
    entrance, _ = gate()
    waiting = asyncio.create_task(waiting_at(entrance, forever=asyncio.Event()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_that_is_over_is_not_touched() -> None:
    entrance, _ = gate()
    over = asyncio.Event()
    over.set()
    await waiting_at(entrance, forever=over)
    entrance.clear()


async def test_who_begins_to_wait_when_it_was_cleared_is_told_so_at_once() -> None:
    entrance, _ = gate()
    entrance.clear()
    with pytest.raises(Refused) as refused:
        await waiting_at(entrance, forever=asyncio.Event())
    assert refused.value.code is ErrorCode.DRAINING
