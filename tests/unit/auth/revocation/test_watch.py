"""What this process knows of changes elsewhere: when it looks, what it forgets, what it tells."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from gateway.auth.interfaces import Revocation, RevocationKind
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.revocation.watch import REST, CredentialWatch
from gateway.core.errors import StoreUnavailable
from tests.support.clock import ManualClock
from tests.unit.auth.revocation.test_known import a_principal

AWAY = StoreUnavailable("away")


class House:
    """A store of keys and one of revocations, somebody who remembers, and the watch."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.now_epoch = 1
        self.revocations: list[Revocation] = []
        self.away = False
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.events: list[str] = []
        self.asked = 0
        self.read = 0
        self.confirmed: list[float] = []
        self.lags: list[float] = []
        self.told: list[StoreUnavailable | None] = []
        self.known = KnownRevocations()
        self.watch = CredentialWatch(
            keys=self,  # type: ignore[arg-type]  # of a KeyStore the epoch is all that is asked for
            store=self,  # type: ignore[arg-type]
            known=self.known,
            forgetful=[self],
            clock=self.clock,
            on_lag=self.lags.append,
            on_away=self.told.append,
            on_change=lambda: self.events.append(f"change, {len(self.known)} known"),
            pause=self.pause,
        )

    # the stores

    async def epoch(self) -> int:
        self.asked += 1
        epoch = self.now_epoch
        if self.before_answer is not None:
            await self.before_answer()
        if self.away:
            raise AWAY
        return epoch

    async def list(self) -> Sequence[Revocation]:
        self.read += 1
        if self.away:
            raise AWAY
        return list(self.revocations)

    # what remembers

    def forget(self) -> None:
        self.events.append(f"forget, {len(self.known)} known")

    def confirm(self, at: float) -> None:
        self.confirmed.append(at)

    async def pause(self, seconds: float) -> None:
        self.events.append(f"rest {seconds}")
        await asyncio.sleep(0)

    def revoke(self, value: str = "k1", *, ago: float = 0.0) -> None:
        """As another process does it, so many seconds ago."""
        at = int((self.clock.now() - ago) * 1000)
        self.now_epoch += 1
        of: dict[str, Any] = {"since": 0, "until": at // 1000, "by": "", "kind": RevocationKind.KEY}
        self.revocations.append(Revocation(id=f"rev_{value}", value=value, at=at, **of))


@pytest.fixture
async def house() -> House:
    """One that has looked once."""
    made = House()
    await made.watch.refresh()
    made.events.clear()
    made.confirmed.clear()
    made.told.clear()
    return made


async def test_what_was_revoked_before_the_start_is_known_and_has_no_lag() -> None:
    house = House()
    house.revoke(ago=500)
    await house.watch.refresh()
    assert house.known.covers(a_principal()) is not None
    assert house.lags == []
    assert house.events == ["forget, 1 known"]


async def test_while_nothing_changes_what_is_remembered_is_confirmed(house: House) -> None:
    house.clock.advance(0.5)
    await house.watch.refresh()
    assert (house.events, house.confirmed, house.read) == ([], [1000.5], 1)


async def test_it_is_confirmed_as_of_the_question_not_of_the_answer(house: House) -> None:
    async def slowly() -> None:
        house.clock.advance(3)

    house.before_answer = slowly
    await house.watch.refresh()
    assert house.confirmed == [1000.0]


async def test_a_change_is_known_before_anything_is_forgotten(house: House) -> None:
    house.revoke()
    await house.watch.refresh()
    assert house.events == ["forget, 1 known", "change, 1 known"]
    assert house.known.covers(a_principal(10)) is not None


async def test_a_change_without_a_revocation_makes_it_forget_too(house: House) -> None:
    house.now_epoch += 1
    await house.watch.refresh()
    assert (house.events, house.lags) == (["forget, 0 known", "change, 0 known"], [])


async def test_after_it_has_forgotten_what_it_finds_anew_is_confirmed(house: House) -> None:
    house.revoke()
    house.clock.advance(0.5)
    await house.watch.refresh()
    assert house.confirmed == [1000.5]


async def test_the_lag_of_each_new_revocation_is_told_once(house: House) -> None:
    house.revoke("k1", ago=0.25)
    await house.watch.refresh()
    house.revoke("k2", ago=0.5)
    house.revoke("k3", ago=0.125)
    await house.watch.refresh()
    await house.watch.refresh()
    assert house.lags == [0.25, 0.5, 0.125]


async def test_a_clock_that_is_ahead_elsewhere_makes_no_negative_lag(house: House) -> None:
    house.revoke(ago=-5)
    await house.watch.refresh()
    assert house.lags == [0.0]


async def test_a_look_that_fails_confirms_nobody_and_is_told(house: House) -> None:
    house.away = True
    await house.watch.refresh()
    assert (house.confirmed, house.events, house.told) == ([], [], [AWAY])


async def test_what_it_knows_stays_while_the_store_is_away(house: House) -> None:
    house.revoke()
    await house.watch.refresh()
    house.away = True
    await house.watch.refresh()
    assert house.known.covers(a_principal(10)) is not None


async def test_a_change_whose_reason_cannot_be_read_is_looked_at_again(house: House) -> None:
    house.revoke()
    house.before_answer = lambda: leave(house)
    await house.watch.refresh()
    assert (house.events, house.told) == ([], [AWAY])
    house.before_answer, house.away = None, False
    await house.watch.refresh()
    assert house.events == ["forget, 1 known", "change, 1 known"]
    assert house.told == [AWAY, None]


async def leave(house: House) -> None:
    house.away = True


async def test_nothing_begins_without_a_first_look() -> None:
    house = House()
    house.away = True
    with pytest.raises(StoreUnavailable):
        await house.watch.refresh()
    assert house.told == [AWAY]


async def test_who_comes_during_a_look_gets_one_that_begins_later(house: House) -> None:
    gate = asyncio.Event()
    looks: list[int] = []

    async def wait() -> None:
        looks.append(house.now_epoch)
        await gate.wait()

    house.before_answer = wait
    first = asyncio.create_task(house.watch.refresh())
    await asyncio.sleep(0)
    house.revoke()  # the look under way has asked already
    others = [asyncio.create_task(house.watch.refresh()) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert looks == [1, 2]
    assert house.known.covers(a_principal(10)) is not None


async def test_a_signal_makes_it_look_at_once(house: House) -> None:
    running = asyncio.create_task(house.watch.run())
    await turns()
    assert house.asked == 1
    house.revoke()
    house.watch.hear(b"")
    await turns()
    assert house.known.covers(a_principal(10)) is not None
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_thousand_signals_are_not_a_thousand_looks(house: House) -> None:
    running = asyncio.create_task(house.watch.run())
    await turns()
    for _ in range(1000):
        house.watch.hear(b"")
    await turns()
    assert house.asked == 2
    assert house.events == [f"rest {REST}"]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
