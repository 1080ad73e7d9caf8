"""Questions that travel together."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from gateway.auth.keys.together import MOST, Together
from gateway.core.errors import StoreUnavailable


class Answers:
    """Somebody who knows all that begins with `k`, and answers when the gate is open."""

    def __init__(self) -> None:
        self.lots: list[Sequence[str]] = []
        self.gate = asyncio.Event()
        self.away = False

    async def __call__(self, asked: Sequence[str]) -> Mapping[str, str]:
        self.lots.append(asked)
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        return {each: each.upper() for each in asked if each.startswith("k")}


@pytest.fixture
def answers() -> Answers:
    return Answers()


async def turns(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_one_alone_is_asked_for_at_once(answers: Answers) -> None:
    answers.gate.set()
    assert await Together(answers).find("k1") == "K1"
    assert answers.lots == [["k1"]]


async def test_what_there_is_not_is_none(answers: Answers) -> None:
    answers.gate.set()
    assert await Together(answers).find("x") is None


async def test_who_comes_while_one_is_answered_travels_with_the_next_lot(answers: Answers) -> None:
    together = Together(answers)
    asking = [asyncio.gather(together.find("k0"))]
    await turns()
    asking += [asyncio.gather(together.find(f"k{number}")) for number in range(1, 100)]
    await turns()
    answers.gate.set()
    assert [(await each)[0] for each in asking] == [f"K{number}" for number in range(100)]
    assert list(map(len, answers.lots)) == [1, 99]


async def test_nobody_joins_a_lot_that_is_asked_for_already(answers: Answers) -> None:
    """What it answers may be from before a change."""
    together = Together(answers)
    older = asyncio.gather(together.find("k1"))
    await turns()
    later = asyncio.gather(together.find("k1"))
    await turns()
    answers.gate.set()
    assert await older + await later == ["K1", "K1"]
    assert answers.lots == [["k1"], ["k1"]]


async def test_a_lot_has_a_bound(answers: Answers) -> None:
    together = Together(answers)
    asking = asyncio.gather(*[together.find(f"k{number}") for number in range(2 * MOST + 2)])
    await turns()
    answers.gate.set()
    assert await asking == [f"K{number}" for number in range(2 * MOST + 2)]
    assert list(map(len, answers.lots)) == [1, MOST, MOST, 1]


async def test_who_shares_a_lot_shares_its_failure(answers: Answers) -> None:
    together = Together(answers)
    answers.away = True
    asking = asyncio.gather(*[together.find(f"k{number}") for number in range(10)], return_exceptions=True)
    await turns()
    answers.gate.set()
    assert [type(answer) for answer in await asking] == [StoreUnavailable] * 10


async def test_after_a_failure_it_is_asked_again(answers: Answers) -> None:
    together = Together(answers)
    answers.gate.set()
    answers.away = True
    with pytest.raises(StoreUnavailable):
        await together.find("k1")
    answers.away = False
    assert await together.find("k1") == "K1"


@pytest.mark.parametrize("begun", [True, False], ids=["asks", "waits for its turn"])
async def test_when_the_one_who_leads_leaves_the_others_are_answered(answers: Answers, begun: bool) -> None:
    together = Together(answers)
    before = asyncio.gather(*([] if begun else [together.find("k0")]))
    await turns()
    leads = asyncio.gather(together.find("k1"))
    others = asyncio.gather(together.find("k2"), together.find("k3"))
    await turns()
    leads.cancel()
    await turns()
    answers.gate.set()
    assert await others == ["K2", "K3"]
    await before


async def test_one_who_follows_and_leaves_takes_nobody_along(answers: Answers) -> None:
    together = Together(answers)
    leads = asyncio.gather(together.find("k1"))
    follows, stays = asyncio.gather(together.find("k2")), asyncio.gather(together.find("k3"))
    await turns()
    follows.cancel()
    await turns()
    answers.gate.set()
    assert await leads + await stays == ["K1", "K3"]
