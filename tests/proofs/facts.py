"""The story of one fault, from the quiet before it to the quiet after it; and what has to be true of each.

The facts are the rows of docs/limits.md, "When Redis is away".
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
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
    UNSEEN,
    Load,
    Looks,
    most_in_a_span,
    owed,
)
from tests.support.eventually import eventually
from tests.support.replicas import BREAKER, DEADLINE, LEASE, Replica

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

    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    outages: tuple[int, int] = (1, 1)
    """How often replicas take Redis for away: at least, and at most."""
    empties: bool = False
    """Whether everything in it is lost."""
    lasts: int = 100
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
    at_return: Looks = UNSEEN
    at_end: Looks = UNSEEN
    retired: Looks = UNSEEN
    slots_at_end: int = 0
    """That could be had at once."""

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
    """Let it happen under load. `truth`: what asks Redis, whatever replicas hold of it. `commands`: how many
    came to its door. `longer`: so many times longer."""
    story = Story(fault, load)
    async with load.going():
        await all_well(load, truth)
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
        story.commands = commands() - before
        await fault.end()
        story.ended = monotonic()
        await _wait_until_back(story)
        story.back, story.at_return = monotonic(), await load.looks(truth)
        await _wait_until_exact(story, truth)
        load.go_on()
        await _more_tokens(load, 100)
        await load.rest()
        load.end_sessions()
    await _nothing_held(story, truth)
    await load.spend_all()
    story.slots_at_end = await load.fill_slots()
    for replica in load.replicas:
        await replica.retire()
    story.retired = await load.looks(truth)
    return story


async def all_well(load: Load, truth: Limiter) -> None:
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
    return [(share.rank, share.of) for share in replica.primary.shares[-2:]] == [
        (replica.number, REPLICAS)
    ] * 2


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
        story.differences = load.differences(await load.looks(truth))
        story.exact = monotonic()
        return not story.differences

    await eventually(is_loaded)
    await load.rest()
    with suppress(TimeoutError):
        await eventually(is_exact, seconds=2 * EXACT_WITHIN)


async def _nothing_held(story: Story, truth: Limiter) -> None:
    load = story.load

    async def is_free() -> bool:
        looks = story.at_end = await load.looks(truth)
        aside = looks.money.set_aside
        return (looks.slots.level, looks.money.level - aside) == (0, looks.money.spent)

    with suppress(TimeoutError):
        await eventually(is_free, seconds=LEASE + NOISE)


Fact = Callable[[Story], Iterator[str]]
"""Tells where it does not hold."""


def check(story: Story) -> None:
    """Every fact holds; or each that does not says what was found."""
    broken = [f"{fact.__name__}: {what}" for fact in FACTS for what in fact(story)]
    assert not broken, "\n".join(broken)


def it_opens_soon(story: Story) -> Iterator[str]:
    for replica in story.load.replicas:
        for away, _ in story.outages(replica):
            took = away - story.first_failure(replica, away)
            if took > OPENS_WITHIN:
                yield f"replica {replica.number} opened {took:.3f} s after the first failure"


def it_tells_once_each_way(story: Story) -> Iterator[str]:
    least, most = story.fault.outages
    for replica in story.load.replicas:
        changes = [change.away for change in replica.changes]
        if changes != [True, False] * (len(changes) // 2) or not least <= len(changes) // 2 <= most:
            yield f"replica {replica.number} told of {replica.changes}"


def nobody_waits(story: Story) -> Iterator[str]:
    longest = max(wait.seconds for wait in story.load.waits if wait.began >= story.began - DEADLINE)
    if longest >= DEADLINE + NOISE:
        yield f"somebody waited {longest:.3f} s"


def no_request_asks_a_redis_that_is_away(story: Story) -> Iterator[str]:
    for replica in story.load.replicas:
        for away, back in story.outages(replica):
            asked = [at for at in replica.primary.asked if away < at < back]
            if asked:
                yield f"replica {replica.number} asked {len(asked)} times while it was open"
    probes = REPLICAS * ((story.ended - story.away) / BREAKER.interval + 2)
    if story.fault.is_one_outage and story.commands > probes:
        yield f"{story.commands} commands came, for at most {probes:.0f} probes"


def no_span_lets_too_much_through(story: Story) -> Iterator[str]:
    most = most_in_a_span(story.load.admissions)
    if most > MOST:
        yield f"{most:.3f} of the bucket were let through in some span"


def rates_go_on(story: Story) -> Iterator[str]:
    passed = sum(each.tokens for each in story.load.admissions if story.away < each.told < story.ended)
    part = passed / (GAIN * (story.ended - story.away))
    if story.fault.is_one_outage and part < 0.7:
        yield f"only {part:.0%} of the rate were let through while Redis was away"


def slots_are_never_more_than_there_are(story: Story) -> Iterator[str]:
    if story.load.most_slots > SLOTS:
        yield f"{story.load.most_slots} slots were taken at once"


def money_is_never_overspent(story: Story) -> Iterator[str]:
    if story.load.most_money > DOLLARS:
        yield f"{story.load.most_money} was spent and held"


def money_is_spent_to_the_last(story: Story) -> Iterator[str]:
    left = DOLLARS - story.load.books.settled.dollars
    if left:
        yield f"{left} of the money could not be spent"


def away_only_slices_are_spent(story: Story) -> Iterator[str]:
    spent = story.load.spent_away
    if story.fault.is_one_outage and not 0 < min(spent) <= max(spent) <= SLICE:
        yield f"{spent} was spent of {SLICE} that are set aside"


def it_is_back_soon(story: Story) -> Iterator[str]:
    took = story.back - story.ended
    if took > BACK_WITHIN:
        yield f"back {took:.3f} s after the end"


def it_is_soon_exact_again(story: Story) -> Iterator[str]:
    took = story.exact - story.back
    if took > EXACT_WITHIN or story.differences:
        yield f"{took:.3f} s after the return Redis says, and true is: {story.differences}"


def the_rate_is_as_drained_as_it_was(story: Story) -> Iterator[str]:
    debt = owed(story.at_return.tokens)
    if not SIZE / 2 < debt <= MOST * SIZE:
        yield f"after the return the rate owes {debt:.0f}"


def who_finds_redis_empty_says_so_once(story: Story) -> Iterator[str]:
    found = [len(replica.emptied) for replica in story.load.replicas]
    if found != [int(story.fault.empties)] * REPLICAS:
        yield f"replicas found it empty {found} times"


def nothing_stays_held(story: Story) -> Iterator[str]:
    slots, money = story.at_end.slots, story.at_end.money
    if slots.holders or money.level - money.set_aside != money.spent:
        yield f"held by nobody: {slots}, {money}"


def all_slots_can_be_had(story: Story) -> Iterator[str]:
    if story.slots_at_end != SLOTS:
        yield f"{story.slots_at_end} slots can be had of {SLOTS}"


def who_ends_gives_its_slices_back(story: Story) -> Iterator[str]:
    money = story.retired.money
    if money.holders or money.set_aside or money.level != money.spent:
        yield f"still set aside: {money}"


def nothing_fails_by_itself(story: Story) -> Iterator[str]:
    for replica in story.load.replicas:
        if replica.log.lines or replica.background.dropped:
            yield f"replica {replica.number} says {replica.log.lines}"


FACTS: Final[tuple[Fact, ...]] = (
    it_opens_soon,
    it_tells_once_each_way,
    nobody_waits,
    no_request_asks_a_redis_that_is_away,
    no_span_lets_too_much_through,
    rates_go_on,
    slots_are_never_more_than_there_are,
    money_is_never_overspent,
    money_is_spent_to_the_last,
    away_only_slices_are_spent,
    it_is_back_soon,
    it_is_soon_exact_again,
    the_rate_is_as_drained_as_it_was,
    who_finds_redis_empty_says_so_once,
    nothing_stays_held,
    all_slots_can_be_had,
    who_ends_gives_its_slices_back,
    nothing_fails_by_itself,
)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
