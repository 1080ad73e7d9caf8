"""What is written together, who is refused, and what is kept. The writer is the test's own hand."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.writer import Change, Writer
from gateway.metering.ledger.group_commit import Batch, GroupCommit
from tests.support.ledger_lines import a_settlement, an_admission


class Hand(Writer):
    """Writes when the test says so."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.close()
        self.lots: list[list[str]] = []
        self.under_way: list[asyncio.Future[None]] = []

    def write(self, changes: Sequence[Change]) -> "asyncio.Future[None]":
        self.lots.append([line for line, _ in changes])
        self.under_way.append(asyncio.get_running_loop().create_future())
        return self.under_way[-1]

    async def succeed(self) -> None:
        self.under_way.pop(0).set_result(None)
        await turns()

    async def fail(self) -> None:
        self.under_way.pop(0).set_exception(StoreUnavailable("disk full"))
        await turns()


class Desk:
    """A group commit whose lines are names, and all that it tells."""

    def __init__(self, hand: Hand, *, most: int = 100, patience: float = 30.0) -> None:
        self.hand = hand
        self.told: list[str] = []
        self.lines = GroupCommit(
            writer=hand,
            compose=self._compose,
            on_written=self._answer,
            on_trouble=lambda trouble: self.told.append("over" if trouble is None else str(trouble)),
            most_waiting=most,
            most_kept=most,
            patience=patience,
        )

    def add(self, name: str) -> "asyncio.Future[None]":
        return self.lines.add(an_admission(name))

    def keep(self, name: str) -> None:
        self.lines.keep(a_settlement(name))

    @staticmethod
    def _compose(batch: Batch) -> Sequence[Change]:
        admitted = [(f"+{admission.attempt_id}", []) for admission, _ in batch.admissions]
        settled: list[Change] = [(f"-{line.attempt_id}", []) for line in batch.settlements]
        return [*admitted, *settled]

    @staticmethod
    def _answer(batch: Batch) -> None:
        for _, written in batch.admissions:
            if not written.done():
                written.set_result(None)


async def turns(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture
def hand(database: Database) -> Hand:
    return Hand(database)


@pytest.fixture
def desk(hand: Hand) -> Desk:
    return Desk(hand)


def failure(written: "asyncio.Future[None]") -> str:
    return str(written.exception()) if written.done() else "still waiting"


async def test_what_comes_in_one_turn_is_one_write(desk: Desk, hand: Hand) -> None:
    desk.add("a"), desk.keep("b"), desk.add("c")
    await turns()
    assert hand.lots == [["+a", "+c", "-b"]]


async def test_nobody_is_told_before_the_write_is_over(desk: Desk, hand: Hand) -> None:
    written = desk.add("a")
    await turns()
    assert not written.done()
    await hand.succeed()
    assert written.done()


async def test_what_comes_during_a_write_is_the_next_one_all_together(desk: Desk, hand: Hand) -> None:
    desk.add("a")
    await turns()
    for name in "bcd":
        desk.add(name)
        await turns()
    assert len(hand.lots) == 1
    await hand.succeed()
    assert hand.lots[1:] == [["+b", "+c", "+d"]]


async def test_an_admission_takes_waiting_settlements_along(desk: Desk, hand: Hand) -> None:
    desk.keep("a")
    await turns()
    assert hand.lots == []
    desk.add("b")
    await turns()
    assert hand.lots == [["+b", "-a"]]


async def test_a_settlement_without_company_is_written_soon(desk: Desk, hand: Hand) -> None:
    desk.keep("a")
    await asyncio.wait_for(_until(hand), 5)
    assert hand.lots == [["-a"]]


async def _until(hand: Hand) -> None:
    loop = asyncio.get_running_loop()
    began = loop.create_future()

    def look() -> None:
        if hand.lots:
            began.set_result(None)
        else:
            loop.call_later(0.005, look)

    look()
    await began


async def test_settlements_that_came_during_a_write_are_not_forgotten(desk: Desk, hand: Hand) -> None:
    desk.add("a")
    await turns()
    desk.keep("b")
    desk.lines._stop_lingering()
    await hand.succeed()
    assert hand.lots[1:] == [["-b"]]


async def test_more_admissions_than_may_wait_are_refused_at_once(hand: Hand) -> None:
    desk = Desk(hand, most=2)
    desk.add("a"), desk.add("b")
    with pytest.raises(StoreUnavailable, match="too many"):
        desk.add("c")


async def test_more_settlements_than_can_be_kept_are_counted(hand: Hand) -> None:
    desk = Desk(hand, most=2)
    for name in "abcd":
        desk.keep(name)
    assert desk.lines.lost == 2


async def test_admissions_of_a_write_that_fails_are_refused(desk: Desk, hand: Hand) -> None:
    first = desk.add("a")
    await turns()
    later = desk.add("b")
    await hand.fail()
    assert [failure(first), failure(later)] == ["disk full", "disk full"]


async def test_settlements_of_a_write_that_fails_are_written_by_the_next_try(desk: Desk, hand: Hand) -> None:
    desk.keep("a"), desk.add("b")
    await turns()
    desk.keep("c")
    await hand.fail()
    desk.lines.soon()
    await turns()
    assert hand.lots[1:] == [["-a", "-c"]]


async def test_while_there_is_trouble_nobody_waits(desk: Desk, hand: Hand) -> None:
    refused = desk.add("a")
    await turns()
    await hand.fail()
    with pytest.raises(StoreUnavailable, match="disk full"):
        desk.add("b")
    assert failure(refused) == "disk full"
    assert len(hand.lots) == 1


async def test_the_first_success_ends_the_trouble(desk: Desk, hand: Hand) -> None:
    desk.keep("a")
    refused = desk.add("b")
    await turns()
    await hand.fail()
    desk.lines.soon()
    await turns()
    await hand.succeed()
    desk.add("c")
    await turns()
    assert failure(refused) == "disk full"
    assert hand.lots[-1] == ["+c"]


async def test_trouble_is_told_once_each_way(desk: Desk, hand: Hand) -> None:
    refused = desk.add("b")
    desk.keep("a")
    await turns()
    for _ in range(3):
        await hand.fail()
        desk.lines.soon()
        await turns()
    await hand.succeed()
    assert failure(refused) == "disk full"
    assert desk.told == ["disk full", "over"]


async def test_a_write_that_takes_too_long_refuses_who_waits_for_it(hand: Hand) -> None:
    desk = Desk(hand, patience=0.01)
    waiting = [desk.add("a")]
    await turns()
    waiting.append(desk.add("b"))
    await asyncio.wait(waiting, timeout=5)
    assert [failure(one) for one in waiting] == ["the database did not answer in time"] * 2
    assert desk.told == ["the database did not answer in time"]


async def test_a_write_that_was_given_up_and_succeeds_ends_the_trouble(hand: Hand) -> None:
    desk = Desk(hand, patience=0.01)
    waiting = desk.add("a")
    await asyncio.wait([waiting], timeout=5)
    await hand.succeed()
    assert failure(waiting) == "the database did not answer in time"
    assert desk.told[-1] == "over"


async def test_draining_writes_all_that_is_left(desk: Desk, hand: Hand) -> None:
    desk.add("a")
    await turns()
    desk.keep("b")
    draining = asyncio.gather(desk.lines.drain())
    await turns()
    await hand.succeed()
    await hand.succeed()
    await draining
    assert hand.lots == [["+a"], ["-b"]]


async def test_after_the_end_nothing_is_taken(desk: Desk) -> None:
    desk.lines.close()
    desk.keep("a")
    with pytest.raises(StoreUnavailable, match="closed"):
        desk.add("b")
    assert desk.lines.lost == 1
