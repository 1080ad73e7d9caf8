"""What counts against a store."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.limits.away.breaker import Breaker, Circuit
from gateway.limits.away.watch import Watch
from tests.support.clock import ManualClock


@dataclass
class Watched:
    clock: ManualClock
    circuit: Circuit = field(default_factory=lambda: Circuit(Breaker(failures=3, slow=0.05)))
    bad: int = 0
    late: bool = False
    whys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(
            circuit=self.circuit,
            clock=self.clock,
            is_late=lambda: self.late,
            on_bad=self._note_bad,
            on_open=self.whys.append,
        )

    def _note_bad(self) -> None:
        self.bad += 1

    async def call(self, *, takes: float = 0.0, away: bool = False) -> None:
        self.clock.advance(takes)
        if away:
            raise StoreUnavailable("gone")


@pytest.fixture
def watched(clock: ManualClock) -> Watched:
    return Watched(clock)


async def failing(watched: Watched, over: Callable[[Awaitable[None]], Awaitable[object]]) -> None:
    with pytest.raises(StoreUnavailable):
        await over(watched.call(away=True))


async def test_a_failure_is_raised_on(watched: Watched) -> None:
    await failing(watched, watched.watch.over)
    await failing(watched, watched.watch.over_bulk)
    assert watched.bad == 2


async def test_it_tells_why_it_opened(watched: Watched) -> None:
    for _ in range(4):
        await failing(watched, watched.watch.over)
    assert watched.whys == ["gone"]


async def test_slow_replies_to_a_process_that_is_late_itself_do_not(watched: Watched) -> None:
    watched.late = True
    for _ in range(3):
        await watched.watch.over(watched.call(takes=0.06))
    assert await watched.watch.over_probe(watched.call(takes=0.06))
    assert (watched.whys, watched.bad) == ([], 0)


async def test_failures_count_though_the_process_be_late(watched: Watched) -> None:
    watched.late = True
    for _ in range(3):
        await failing(watched, watched.watch.over)
    assert watched.whys == ["gone"]


async def test_slow_replies_open_it(watched: Watched) -> None:
    for _ in range(3):
        await watched.watch.over(watched.call(takes=0.06))
    assert watched.whys == ["slow replies"]


async def test_a_large_call_may_take_its_time(watched: Watched) -> None:
    for _ in range(3):
        await watched.watch.over_bulk(watched.call(takes=0.5))
    assert watched.bad == 0


@pytest.mark.parametrize("kind", ["over", "over_bulk"])
async def test_a_good_call_ends_the_row(watched: Watched, kind: str) -> None:
    for _ in range(3):
        await failing(watched, watched.watch.over)
        await getattr(watched.watch, kind)(watched.call())
    assert watched.whys == []


@pytest.mark.parametrize(
    ("takes", "away", "good"), [(0.0, False, True), (0.06, False, False), (0.0, True, False)]
)
async def test_a_probe_is_good_when_it_is_answered_soon(
    watched: Watched, takes: float, away: bool, good: bool
) -> None:
    assert await watched.watch.over_probe(watched.call(takes=takes, away=away)) is good
    assert watched.bad == (not good)


async def test_bad_probes_open_it_too(watched: Watched) -> None:
    await failing(watched, watched.watch.over)
    for _ in range(2):
        await watched.watch.over_probe(watched.call(away=True))
    assert watched.circuit.is_open
