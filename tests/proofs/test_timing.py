"""How long a refusal takes tells nothing of what was wrong: a Welch test over many tries of each kind.

Each try is a new string, on the keys' real store (SQLite, with a few hundred keys), from the call to its
answer. Kinds come in random order, eight tries at a time, so whatever else the machine does hits all alike.
All tries are compared, and the fastest nine tenths and half of them: noise hides less there, and whoever
measures would look there too.

The bar for two kinds: no difference that Welch's test sees (|t| < 4.5, as is usual for such tests), or one of
means below 20 microseconds, of which nobody beyond a network can make use.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import combinations, count
from pathlib import Path
from random import Random
from statistics import fmean, variance
from typing import Final, NamedTuple

import pytest

from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.keys.api_keys import checksum, hash_secret, key_with, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.keys.sql import SqlKeyStore
from gateway.auth.keys.uses import KeyUses
from gateway.auth.revocation.known import KnownRevocations
from gateway.core.actor import Act
from gateway.core.clock import SystemClock
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from tests.support.database import open_file
from tests.support.memory import MemoryIncoming

PEPPER: Final = b"a pepper for tests only"
MADE: Final = Act("cli:tester", "key.created", "key:any")
KEYS: Final = 300
AT_ONCE: Final = 8
TRIES: Final = 100_000
FEW: Final = 3_000
WARM_UP: Final = 400
BAR: Final = 4.5
USABLE: Final = 20e-6
"""Seconds."""
SLOW: Final = 0.002
"""Seconds by which a bad store is slower for a key that there is."""

SHARES: Final = (1.0, 0.9, 0.5)
"""Of the tries, the fastest, that are compared."""

Times = dict[str, list[float]]
Guess = Callable[[], str]


class Difference(NamedTuple):
    """Between two kinds of wrong keys."""

    one: str
    other: str
    t: float
    means: float
    """In seconds."""

    @property
    def tells(self) -> bool:
        """Whether it is of use to anybody."""
        return abs(self.t) >= BAR and abs(self.means) >= USABLE


class TellingStore(MemoryKeyStore):
    """Answers later for a key that there is than for one that there is not."""

    async def find(self, key_id: str) -> StoredKey | None:
        found = await super().find(key_id)
        if found is not None:
            await asyncio.sleep(SLOW)
        return found


def guesses(ids: Sequence[str], rotated: Sequence[str]) -> dict[str, Guess]:
    """What somebody may send who knows the form of keys, and some of their ids. No string comes twice."""
    choose = Random(5)
    return {
        "wrong id": lambda: new_key()[1],
        "wrong secret": lambda: key_with(choose.choice(ids)),
        "right prefix": lambda: nearly(choose.choice(rotated)),
    }


def nearly(key: str) -> str:
    """A right key, the old one of a rotated one, but for the last characters of its secret."""
    body = key[:50] + new_key()[1][50:60]
    return body + checksum(body)


async def filled(store: KeyStore) -> dict[str, Guess]:
    """Keys, every other one rotated; and what may be guessed of them."""
    ids, rotated = [], []
    for number in range(KEYS):
        key_id, secret = new_key()
        is_rotated = number % 2 == 0
        key = StoredKey(
            id=key_id,
            team="search",
            name=f"n{number}",
            secret_hash=hash_secret(PEPPER, key_with(key_id) if is_rotated else secret),
            created_at=1,
            issued_at=1,
            previous_hash=hash_secret(PEPPER, secret) if is_rotated else None,
            previous_until=2**40 if is_rotated else None,
        )
        await store.add(key, MADE)
        (rotated if is_rotated else ids).append(secret if is_rotated else key_id)
    return guesses(ids, rotated)


def authenticator_of(store: KeyStore, **changes: float) -> KeyAuthenticator:
    clock = SystemClock()
    return KeyAuthenticator(
        store=store,
        pepper=PEPPER,
        clock=clock,
        revocations=KnownRevocations(),
        uses=KeyUses(store=MemoryUseStore(), clock=clock),
        address_of=lambda arrival: arrival.peer,
        deadline=10.0,
        **changes,
    )


async def measured(authenticator: KeyAuthenticator, kinds: dict[str, Guess], tries: int) -> Times:
    """Seconds that each try took."""
    times: Times = {kind: [] for kind in kinds}
    order = Random(7).choices(list(kinds), k=tries + WARM_UP)
    here = MemoryIncoming()
    numbers: Iterator[int] = count()

    async def attacker() -> None:
        while (number := next(numbers)) < len(order):
            kind = order[number]
            key = kinds[kind]()
            began = time.perf_counter()
            answer = await authenticator.authenticate(key, here)
            took = time.perf_counter() - began
            assert isinstance(answer, Deny)
            assert answer.code is ErrorCode.INVALID_API_KEY
            if number >= WARM_UP:
                times[kind].append(took)

    await asyncio.gather(*[attacker() for _ in range(AT_ONCE)])
    return times


def welch(ones: Sequence[float], others: Sequence[float]) -> float:
    """Welch's t: by how many standard errors the means differ."""
    error = math.sqrt(variance(ones) / len(ones) + variance(others) / len(others))
    return (fmean(ones) - fmean(others)) / error


def compared(times: Times, record: Callable[[str, object], None]) -> Iterator[Difference]:
    """For every two kinds, of all tries and of the fastest ones. All is told."""
    every = sorted(took for each in times.values() for took in each)
    for share in SHARES:
        longest = every[int(share * len(every)) - 1]
        kept = {kind: [took for took in each if took <= longest] for kind, each in times.items()}
        for one, other in combinations(kept, 2):
            t, means = welch(kept[one], kept[other]), fmean(kept[one]) - fmean(kept[other])
            record(f"{one} / {other}, {share:.0%}", f"t {t:+.2f}, {means * 1e6:+.1f} us")
            yield Difference(one, other, t, means)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlKeyStore]:
    async with open_file(tmp_path / "gateway.db") as database:
        yield SqlKeyStore(database)


@pytest.mark.timeout(900)
async def test_how_long_a_refusal_takes_does_not_tell_what_was_wrong(
    store: SqlKeyStore, full: bool, record_property: Callable[[str, object], None]
) -> None:
    kinds = await filled(store)
    times = await measured(authenticator_of(store), kinds, TRIES if full else FEW)
    record_property("tries", f"{sum(map(len, times.values())):,}")
    for kind, took in times.items():
        record_property(f"mean of {kind}", f"{fmean(took) * 1e3:.3f} ms")
    assert [each for each in compared(times, record_property) if each.tells] == []


async def test_a_store_that_tells_by_its_time_is_not_heard(
    record_property: Callable[[str, object], None],
) -> None:
    store = TellingStore()
    times = await measured(authenticator_of(store), await filled(store), FEW)
    assert [each for each in compared(times, record_property) if each.tells] == []


async def test_without_the_hold_it_would_be(record_property: Callable[[str, object], None]) -> None:
    """What the bar is worth: the same store, and answers as soon as they are known."""
    store = TellingStore()
    times = await measured(authenticator_of(store, refuse_after=0.0), await filled(store), FEW)
    told = {(each.one, each.other) for each in compared(times, record_property) if each.tells}
    assert told >= {("wrong id", "wrong secret"), ("wrong id", "right prefix")}
