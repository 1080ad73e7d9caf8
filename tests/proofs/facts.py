"""The story of one fault, from the quiet before it to the quiet after it; and what has to be true of each.

The facts are the rows of docs/limits.md, "When Redis is away". Each has its own assertion, with what was found.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from gateway.core.errors import ErrorCode
from gateway.limits.interfaces import Limiter
from tests.proofs.outage import (
    COST,
    DOLLARS,
    GAIN,
    REPLICAS,
    SIZE,
    SLICE,
    SLOTS,
    Load,
    Looks,
    most_in_a_span,
    owed,
)
from tests.support.eventually import eventually
from tests.support.replicas import BREAKER, DEADLINE, Replica

OPENS_WITHIN: Final = 0.25
"""Seconds after the first failure."""
NOISE: Final = 0.75
"""Seconds for which this machine may do other things in between."""
BACK_WITHIN: Final = 2.0
"""Seconds from the end of a fault until its replicas ask again: half of one on a machine of their own."""
EXACT_WITHIN: Final = 1.0
"""Seconds from there."""
MOST: Final = 1.05
"""Of a bucket, what time pays back aside."""


@dataclass(frozen=True)
class Fault:
    """What happens to Redis."""

    name: str
    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    outages: tuple[int, int] = (1, 1)
    """How often replicas take Redis for away: at least, and at most."""
    empties: bool = False
    """Whether everything in it is lost."""
    lasts: int = 200
    """Until so many tokens have been let through."""

    @property
    def is_one_outage(self) -> bool:
        return self.outages == (1, 1)


@dataclass
class Story:
    """How it went."""

    fault: Fault
    load: Load
    began: float = 0.0
    away: float = 0.0
    """When all replicas had noticed."""
    ended: float = 0.0
    back: float = 0.0
    """When all had noticed that it was over."""
    exact: float = 0.0
    commands: int = 0
    """That came to Redis' door while it counted as away."""
    differences: dict[str, Any] = field(default_factory=dict)
    """Between Redis and what was granted, when there should be none."""
    at_rest: Looks | None = None
    at_end: Looks | None = None
    retired: Looks | None = None

    def outages(self, replica: Replica) -> list[tuple[float, float]]:
        """When it took Redis for away, and for back."""
        changes = [change for change in replica.changes if change.at >= self.began]
        return [(away.at, back.at) for away, back in zip(changes[::2], changes[1::2], strict=False)]

    def figures(self) -> dict[str, str]:
        opened = [self._opened(replica) for replica in self.load.replicas]
        return {
            "opened after the first failure": _ms(max(opened, default=0.0)),
            "closed after the end": _ms(self.back - self.ended),
            "exact after the end": _ms(self.exact - self.ended),
            "longest wait": _ms(max(wait.seconds for wait in self.load.waits)),
            "most in a span, of the bucket": f"{most_in_a_span(self.load.admissions):.3f}",
        }

    def _opened(self, replica: Replica) -> float:
        return max((away - self.first_failure(replica, away) for away, _ in self.outages(replica)), default=0)

    def first_failure(self, replica: Replica, opened: float) -> float:
        """Of the row that led to this."""
        earlier = [back for _, back in self.outages(replica) if back < opened]
        since = max([self.began, *earlier])
        return min((at for at in replica.primary.failed if at >= since), default=opened)


async def story_of(
    fault: Fault, load: Load, truth: Limiter, *, commands: Callable[[], int] = lambda: 0, longer: int = 1
) -> Story:
    """Let it happen under load. `truth`: what asks Redis whatever the replicas hold of it. `commands`: so many
    came to its door. `longer`: so many times longer."""
    story = Story(fault, load)
    async with load.going():
        await _all_well(load, truth)
        story.began = monotonic()
        await fault.begin()
        if fault.outages[0]:
            await _wait_until_away(story)
        story.away, before = monotonic(), commands()
        for replica in load.replicas:
            await load.begin_stream(replica)
        if fault.is_one_outage:
            await load.refused(ErrorCode.BUDGET_UNAVAILABLE, since=story.away, by=range(REPLICAS))
        await _more_tokens(load, fault.lasts * longer)
        story.commands, story.ended = commands() - before, monotonic()
        await fault.end()
        await _wait_until_back(story)
        story.back = monotonic()
        await _wait_until_exact(story, truth)
        load.go_on()
        await _more_tokens(load, 200)
        await load.rest()
        load.end_sessions()
    await _nothing_held(story, truth)
    await load.spend_all()
    for replica in load.replicas:
        await replica.retire()
    story.retired = await load.looks(truth)
    return story


async def _all_well(load: Load, truth: Limiter) -> None:
    """All replicas know of each other, have set money aside, and run a session; the rate is drained."""

    async def is_well() -> bool:
        looks = await load.looks(truth)
        return looks.money.set_aside == REPLICAS * SLICE and all(map(_knows_its_part, load.replicas))

    await eventually(is_well)
    await load.drain_bucket()
    for replica in load.replicas:
        await load.begin_session(replica)
    assert not any(replica.limiter.degraded for replica in load.replicas)


def _knows_its_part(replica: Replica) -> bool:
    return [(share.rank, share.of) for share in replica.primary.shares[-2:]] == [(replica.number, REPLICAS)] * 2


async def _wait_until_away(story: Story) -> None:
    await eventually(lambda: all(_last_change(story, replica) is True for replica in story.load.replicas))


async def _wait_until_back(story: Story) -> None:
    def is_back(replica: Replica) -> bool:
        if story.fault.empties and not [at for at in replica.emptied if at >= story.began]:
            return False
        return not replica.limiter.degraded and _last_change(story, replica) is not True

    await eventually(lambda: all(map(is_back, story.load.replicas)))


def _last_change(story: Story, replica: Replica) -> bool | None:
    changes = [change.away for change in replica.changes if change.at >= story.began]
    return changes[-1] if changes else None


async def _more_tokens(load: Load, tokens: int) -> None:
    """Until so many more have been let through."""
    before = len(load.admissions)
    await eventually(lambda: (len(load.admissions) - before) * COST >= tokens)


async def _wait_until_exact(story: Story, truth: Limiter) -> None:
    load = story.load

    async def is_loaded() -> bool:
        looks = await load.looks(truth)
        return looks.money.loaded and looks.requests.loaded

    async def is_exact() -> bool:
        story.at_rest = await load.looks(truth)
        story.differences = load.differences(story.at_rest)
        story.exact = monotonic()
        return not story.differences

    await eventually(is_loaded)
    await load.rest()
    try:
        await eventually(is_exact, seconds=BACK_WITHIN + EXACT_WITHIN)
    except TimeoutError:
        pass


async def _nothing_held(story: Story, truth: Limiter) -> None:
    load = story.load

    async def is_free() -> bool:
        looks = story.at_end = await load.looks(truth)
        aside = looks.money.set_aside
        return (looks.slots.level, looks.money.level - aside) == (0, looks.money.spent)

    try:
        await eventually(is_free, seconds=5.0)
    except TimeoutError:
        pass


def check(story: Story) -> None:
    """All of it."""
    load, fault = story.load, story.fault
    for replica in load.replicas:
        _check_breaker(story, replica)
        assert (replica.log.lines, replica.background.dropped) == ([], 0), "something failed by itself"
    _check_waits(story)
    _check_rate(story)
    _check_slots(story)
    _check_money(story)
    _check_return(story)


def _check_breaker(story: Story, replica: Replica) -> None:
    least, most = story.fault.outages
    changes = [(change.away, change.why) for change in replica.changes]
    assert [away for away, _ in changes] == [True, False] * (len(changes) // 2), changes
    assert least <= len(changes) // 2 <= most, f"it told of {changes}"
    for away, back in story.outages(replica):
        took = away - story.first_failure(replica, away)
        assert took <= OPENS_WITHIN, f"replica {replica.number} opened {took:.3f} s after the first failure"
        asked = [at for at in replica.primary.asked if away < at < back]
        assert asked == [], f"replica {replica.number} asked {len(asked)} times while it was open"


def _check_waits(story: Story) -> None:
    load = story.load
    during = [wait for wait in load.waits if wait.began >= story.began - DEADLINE]
    longest = max(wait.seconds for wait in during)
    assert longest < DEADLINE + NOISE, f"somebody waited {longest:.3f} s"
    if story.fault.is_one_outage:
        late = [wait for wait in during if wait.began > story.away and wait.began < story.ended]
        assert sum(wait.seconds > DEADLINE / 2 for wait in late) == 0, "somebody waited for a Redis that is away"
        probes = REPLICAS * ((story.ended - story.away) / BREAKER.interval + 2)
        assert story.commands <= probes, f"{story.commands} commands came, for at most {probes:.0f} probes"


def _check_rate(story: Story) -> None:
    load, fault = story.load, story.fault
    most = most_in_a_span(load.admissions)
    assert most <= MOST, f"{most:.3f} of the bucket were let through in some span"
    if fault.is_one_outage:
        passed = sum(each.tokens for each in load.admissions if story.away < each.told < story.ended)
        share = passed / (GAIN * (story.ended - story.away))
        assert share > 0.7, f"only {share:.0%} of the rate were let through while Redis was away"


def _check_slots(story: Story) -> None:
    assert story.load.most_slots <= SLOTS, f"{story.load.most_slots} slots were taken at once"


def _check_money(story: Story) -> None:
    load = story.load
    assert load.books.settled.dollars <= DOLLARS, "more was spent than there is"
    assert load.most_money <= DOLLARS, "more was spent and held than there is"
    if story.fault.is_one_outage:
        assert max(load.spent_away) <= SLICE, f"more was spent than was set aside: {load.spent_away} of {SLICE}"
        assert min(load.spent_away) > 0, "nothing was spent of what is set aside"
    left = DOLLARS - load.books.settled.dollars
    assert left == 0, f"{left} could not be spent in the end"


def _check_return(story: Story) -> None:
    load = story.load
    assert story.differences == {}, f"Redis says, and is not so: {story.differences}"
    assert story.back - story.ended < BACK_WITHIN, f"back {story.back - story.ended:.3f} s after the end"
    took = story.exact - story.back
    assert took < EXACT_WITHIN, f"exact {took:.3f} s after the return"
    assert story.at_rest is not None
    assert owed(story.at_rest.tokens) > SIZE / 2, "the rate is full again"
    assert owed(story.at_rest.tokens) <= MOST * SIZE, "the rate is charged with more than was let through"
    emptied = [len(replica.emptied) for replica in load.replicas]
    assert emptied == [int(story.fault.empties)] * REPLICAS, f"found empty {emptied} times"
    assert story.at_end is not None
    assert story.at_end.slots.holders == (), "slots are taken by nobody"
    assert story.at_end.money.level - story.at_end.money.set_aside == story.at_end.money.spent, "money is held"
    assert story.retired is not None
    assert story.retired.money.holders == (), "something is still set aside"
    assert story.retired.money.level == DOLLARS


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
