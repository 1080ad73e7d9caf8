"""Questions that are shared."""

import asyncio

import pytest

from gateway.auth.keys.lookups import Lookups
from gateway.core.errors import StoreUnavailable


class Answers:
    """Somebody who is asked, and answers when the gate is open."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        mine = self.asked
        await self.gate.wait()
        if self.error:
            raise self.error
        return mine


async def turns(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture
def answers() -> Answers:
    return Answers()


async def test_who_asks_meanwhile_shares_the_answer(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    asking = asyncio.gather(*[lookups.shared("k1", answers) for _ in range(100)])
    await turns()
    answers.gate.set()
    assert set(await asking) == {1}


async def test_who_asks_for_another_thing_does_not(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    asking = asyncio.gather(lookups.shared("k1", answers), lookups.shared("k2", answers))
    await turns()
    answers.gate.set()
    assert await asking == [1, 2]


async def test_who_asks_later_asks_again(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    answers.gate.set()
    assert [await lookups.shared("k1", answers), await lookups.shared("k1", answers)] == [1, 2]


async def test_who_asks_after_the_forgetting_does_not_share_what_began_before(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    older = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    lookups.forget()
    later = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    answers.gate.set()
    assert await older + await later == [1, 2]


async def test_who_shares_an_answer_shares_its_failure(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    answers.error = StoreUnavailable("away")
    asking = asyncio.gather(*[lookups.shared("k1", answers) for _ in range(3)], return_exceptions=True)
    await turns()
    answers.gate.set()
    assert [type(answer) for answer in await asking] == [StoreUnavailable] * 3
    assert answers.asked == 1


async def test_when_the_one_who_asks_leaves_another_asks(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    first = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    second = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    first.cancel()
    await turns()
    answers.gate.set()
    assert await second == [2]


async def test_one_who_waits_and_leaves_takes_nobody_along(answers: Answers) -> None:
    lookups = Lookups(deadline=5)
    first = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    second = asyncio.gather(lookups.shared("k1", answers))
    await turns()
    second.cancel()
    await turns()
    answers.gate.set()
    assert await first == [1]


async def test_a_store_that_does_not_answer_is_given_up_at_the_deadline(answers: Answers) -> None:
    with pytest.raises(StoreUnavailable, match="in time"):
        await Lookups(deadline=0.01).shared("k1", answers)
