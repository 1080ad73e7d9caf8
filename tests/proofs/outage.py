"""The story of one fault under load, from the quiet before it to the quiet after it; and what was seen."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

from gateway.core.errors import ErrorCode
from gateway.limits.interfaces import Limiter
from tests.proofs.clients import COST, GAIN, REPLICAS, SLICE, SLOTS, UNSEEN, Load, Looks, Slot, most_in_a_span
from tests.support.eventually import eventually
from tests.support.replicas import BREAKER, DEADLINE, Replica

PATIENCE: Final = 10.0
"""Seconds for what takes one at most."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Fault:
    """What happens to Redis."""

    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    outages: tuple[int, int] = (1, 1)
    """How often replicas take Redis for away: at least, and at most."""
    empties: bool = False
    """Whether everything in it is lost."""
    loses: bool = False
    """Whether what was written last may be lost."""
    most: float = 1.05
    """Of the bucket that passes in any span of time, beside what time pays back."""
    lasts: int = 70
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
    miscounted: int = 0
    """By how much Redis takes more money for spent than was. Below 0: by how much less."""
    at_return: Looks = UNSEEN
    at_end: Looks = UNSEEN
    retired: Looks = UNSEEN
    slots_at_end: int = 0
    """That could be had at once."""

    def outages(self, replica: Replica) -> list[tuple[float, float]]:
        """When it took Redis for away, and for back."""
        changes = [change for change in replica.changes if change.at >= self.began]
        return [(away.at, back.at) for away, back in zip(changes[::2], changes[1::2], strict=False)]

    def is_away(self, replica: Replica) -> bool:
        """Whether it takes Redis for away since."""
        changes = [change.away for change in replica.changes if change.at >= self.began]
        return bool(changes) and changes[-1]

    @property
    def perhaps_twice(self) -> int:
        """Exchanges that an emptied Redis may count twice: settled meanwhile, and told of after another
        replica had the budget loaded, or while it asked the ledger. That knew them already."""
        return self._settled(self.began, self.back) if self.fault.empties else 0

    @property
    def perhaps_lost(self) -> int:
        """Exchanges that a failover may forget: their settlement had not reached who is the master now."""
        return self._settled(self.began - DEADLINE, self.away) if self.fault.loses else 0

    def _settled(self, since: float, until: float) -> int:
        return sum(since <= at <= until for at in self.load.settled)

    def is_untroubled(self, slot: Slot) -> bool:
        """Whether it was given before the fault, or after the return, with no failure since: its own asking
        included, which would have left the answer to the replica."""
        since = 0.0 if slot.told < self.began else self.back + BREAKER.returning
        failed = [failure for replica in self.load.replicas for failure in replica.primary.failed]
        return since < slot.asked and not any(since < failure <= slot.told for failure in failed)

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
    """Let it happen. `truth`: what asks Redis, whatever replicas hold of it. `commands`: how many came to its
    door. `longer`: so many times longer. Raises AssertionError when it goes no further."""
    story = Story(fault, load)
    async with load.going():
        await all_well(load, truth)
        story.began = monotonic()
        await fault.begin()
        await _go_on_alone(story, commands, fault.lasts * longer)
        await fault.end()
        story.ended = monotonic()
        await _return(story, truth)
        await _come_to_rest(story, truth)
        load.go_on()
        await _more_tokens(load, 70)
        await until("slices are set aside again", lambda: _all_set_aside(load, truth))
        await load.rest()
        load.end_sessions()
    await _use_up(story, truth)
    return story


async def until(what: str, look: Callable[[], _T | Awaitable[_T]], *, seconds: float = PATIENCE) -> _T:
    """The first thing seen that is true. Raises AssertionError when there is none for so long."""
    try:
        return await eventually(look, seconds=seconds)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:.0f} s: {what}") from None


async def _if_ever(look: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so, or no longer: facts tell what was seen last."""
    with suppress(TimeoutError):
        await eventually(look, seconds=PATIENCE)


async def all_well(load: Load, truth: Limiter) -> None:
    """All replicas know of each other, have set money aside, and run a session; the rate is drained."""
    await until("replicas know their parts", lambda: all(map(knows_its_part, load.replicas)))
    await until("slices are set aside", lambda: _all_set_aside(load, truth))
    await load.drain_bucket()
    for replica in load.replicas:
        await load.begin_session(replica)
    await until("all is well", lambda: not any(replica.limiter.degraded for replica in load.replicas))


def knows_its_part(replica: Replica) -> bool:
    """Whether two beats in a row have told it so."""
    heard = [(share.rank, share.of) for share in replica.primary.shares[-2:]]
    return heard == [(replica.number, REPLICAS)] * 2


async def _all_set_aside(load: Load, truth: Limiter) -> bool:
    return (await load.looks(truth)).money.set_aside == REPLICAS * SLICE


async def _go_on_alone(story: Story, commands: Callable[[], int], tokens: int) -> None:
    load, fault = story.load, story.fault
    if fault.outages[0]:
        await until("all take Redis for away", lambda: all(map(story.is_away, load.replicas)))
    story.away, before = monotonic(), commands()
    for replica in load.replicas:
        await load.begin_stream(replica)
    if fault.is_one_outage:
        await until("money runs out", lambda: load.refused(ErrorCode.BUDGET_UNAVAILABLE, story.away))
    await _more_tokens(load, tokens)
    story.commands = commands() - before


async def _return(story: Story, truth: Limiter) -> None:
    def is_back(replica: Replica) -> bool:
        knows = not story.fault.empties or any(at >= story.began for at in replica.emptied)
        return knows and not replica.limiter.degraded

    await until("all take Redis for back", lambda: all(map(is_back, story.load.replicas)))
    story.back = monotonic()
    story.at_return = await story.load.looks(truth)


async def _more_tokens(load: Load, tokens: int) -> None:
    """Until so many more have been let through."""
    enough = len(load.admissions) + tokens / COST
    seconds = PATIENCE + 2 * tokens / GAIN
    await until("tokens are let through", lambda: len(load.admissions) >= enough, seconds=seconds)


async def _come_to_rest(story: Story, truth: Limiter) -> None:
    """Nothing happens any more, until Redis says what is so."""
    load = story.load

    async def is_loaded() -> bool:
        looks = await load.looks(truth)
        return looks.money.loaded and looks.requests.loaded

    async def is_exact() -> bool:
        looks = await load.looks(truth)
        story.miscounted = looks.money.spent - load.books.settled.dollars
        story.differences = load.differences(looks, twice=story.perhaps_twice, lost=story.perhaps_lost)
        story.exact = monotonic()
        return not story.differences

    await until("budgets are loaded", is_loaded)
    await load.rest()
    await _if_ever(is_exact)


async def _use_up(story: Story, truth: Limiter) -> None:
    """Whatever is still to be had is taken; then all end."""
    load = story.load

    async def is_free() -> bool:
        looks = story.at_end = await load.looks(truth)
        return (looks.slots.level, looks.money.level - looks.money.set_aside) == (0, looks.money.spent)

    async def all_slots_can_be_had() -> bool:
        story.slots_at_end = await load.fill_slots()
        return story.slots_at_end == SLOTS

    await _if_ever(is_free)
    await load.spend_all()
    await _if_ever(all_slots_can_be_had)
    for replica in load.replicas:
        await replica.retire()
    story.retired = await load.looks(truth)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
