"""Clients that leave: their answer is cancelled, or read on within bounds, as the policy says."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.core.attempt import Attempt
from gateway.core.errors import ClientLeft, ErrorCode, Refused, UpstreamFailed
from gateway.core.exchange import Exchange
from gateway.core.incoming import Reply
from gateway.core.policy import WhenClientLeaves
from gateway.draining import Draining
from tests.support.exchanges import POLICY
from tests.support.journey import a_policy
from tests.support.memory import MemoryReply

FAILED = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "It failed.")
DRAINS = a_policy(when_client_leaves=WhenClientLeaves.DRAIN)


class Visit:
    """One exchange that has been sent, and what is done for it."""

    def __init__(self, *, sent: bool = True, drains: bool = True, **bounds: Any) -> None:
        policy = DRAINS if drains else POLICY
        attempt = Attempt(id="att_1", upstream="openai", number=1, sent=sent)
        self.exchange = Exchange("req_1", "POST", 0.0, 0.0, policy=policy, attempts=[attempt])
        self.reply = MemoryReply()
        self.draining = Draining(**bounds)
        self.upstream = asyncio.Event()
        """Set it, and the upstream goes on."""
        self.waits = asyncio.Event()
        """Set while the upstream is waited for."""
        self.ended = ""
        """How the work did."""

    def begin(self, last: Callable[[Reply], Coroutine[Any, Any, None]] | None = None) -> asyncio.Task[None]:
        async def spend(reply: Reply) -> None:
            try:
                await reply.start(200, [])
                self.waits.set()
                await self.upstream.wait()
                if last is not None:
                    await last(reply)
                self.ended = "whole"
            except asyncio.CancelledError:
                self.ended = "cancelled"
                raise

        return asyncio.create_task(self.draining.see_through(self.exchange, self.reply, spend))

    async def client_leaves(self, task: asyncio.Task[None]) -> None:
        await self.waits.wait()
        task.cancel()
        await asyncio.sleep(0)


async def say_much(reply: Reply) -> None:
    for _ in range(10):
        await reply.write(b"x" * 100)
    await reply.end()


async def fail(_: Reply) -> None:
    raise FAILED


async def break_down(_: Reply) -> None:
    raise ZeroDivisionError


async def test_while_the_client_stays_it_gets_its_answer() -> None:
    visit = Visit()
    visit.upstream.set()
    await visit.begin(say_much)
    assert (visit.reply.status, len(visit.reply.body), visit.reply.ended) == (200, 1000, True)
    assert not visit.exchange.client_left


@pytest.mark.parametrize("error", [FAILED, Refused(ErrorCode.INSUFFICIENT_QUOTA, "It is used up.")], ids=repr)
async def test_while_the_client_stays_it_is_told_what_went_wrong(error: Exception) -> None:
    async def end(_: Reply) -> None:
        raise error

    visit = Visit()
    visit.upstream.set()
    with pytest.raises(type(error)):
        await visit.begin(end)


async def test_without_such_a_policy_the_work_ends_with_its_client() -> None:
    visit = Visit(drains=False)
    task = visit.begin()
    await visit.client_leaves(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (visit.ended, visit.exchange.client_left) == ("cancelled", False)


async def test_what_was_sent_is_read_to_its_end_without_the_client() -> None:
    visit = Visit()
    task = visit.begin(say_much)
    await visit.client_leaves(task)
    assert (task.done(), visit.exchange.client_left) == (False, True)
    visit.upstream.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (visit.ended, visit.reply.body) == ("whole", b"")


async def test_what_was_not_sent_yet_is_not_sent() -> None:
    visit = Visit(sent=False)
    task = visit.begin()
    await visit.client_leaves(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert visit.ended == "cancelled"


async def test_a_client_that_cannot_be_written_to_has_left() -> None:
    visit = Visit()
    task = visit.begin(say_much)
    await visit.waits.wait()
    visit.reply.gone = True
    visit.upstream.set()
    with pytest.raises(ClientLeft):
        await task
    assert (visit.ended, visit.exchange.client_left, len(visit.reply.written)) == ("whole", True, 1)


async def test_a_client_that_takes_nothing_is_sent_away() -> None:
    visit = Visit()
    visit.upstream.set()

    async def too_slow(reply: Reply) -> None:
        visit.reply.gone = True
        await reply.write(b"x")
        visit.reply.gone = False  # had it been told on, it would hear this
        await reply.write(b"y")

    with pytest.raises(ClientLeft):
        await visit.begin(too_slow)
    assert visit.reply.written == [b"x"]


@pytest.mark.parametrize("last", [fail, None], ids=["failed", "whole"])
async def test_whatever_comes_then_it_ended_with_its_client(
    last: Callable[[Reply], Coroutine[Any, Any, None]] | None,
) -> None:
    visit = Visit()
    task = visit.begin(last)
    await visit.client_leaves(task)
    visit.upstream.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_fault_of_ours_is_told_also_without_a_client() -> None:
    visit = Visit()
    task = visit.begin(break_down)
    await visit.client_leaves(task)
    visit.upstream.set()
    with pytest.raises(ZeroDivisionError):
        await task


async def test_nobody_is_waited_for_longer_than_the_bound() -> None:
    visit = Visit(seconds=0.01)
    task = visit.begin()
    await visit.client_leaves(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert visit.ended == "cancelled"


async def test_no_more_is_read_on_than_the_bound() -> None:
    heard = 0

    async def endless(reply: Reply) -> None:
        nonlocal heard
        while True:
            await reply.write(b"x" * 100)
            heard += 100

    visit = Visit(most=1000)
    task = visit.begin(endless)
    await visit.client_leaves(task)
    visit.upstream.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == 1000


async def test_another_cancellation_ends_it_at_once() -> None:
    visit = Visit()
    task = visit.begin()
    await visit.client_leaves(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert visit.ended == "cancelled"


async def test_a_client_that_is_gone_takes_nothing() -> None:
    taken = []

    async def look(reply: Reply) -> None:
        taken.append(reply.taken)
        visit.reply.gone = True
        await reply.write(b"x")
        taken.append(reply.taken)

    visit = Visit()
    visit.upstream.set()
    with pytest.raises(ClientLeft):
        await visit.begin(look)
    assert taken == [True, False]


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    visit = Visit(seconds=0.01)
    task = visit.begin()
    await visit.client_leaves(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
