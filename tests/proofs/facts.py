"""What has to be true of every outage: the rows of docs/limits.md, "When Redis is away"."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.proofs.clients import DOLLARS, GAIN, PARTS, REPLICAS, SIZE, SLICE, SLOTS, most_in_a_span, owed
from tests.proofs.outage import Story
from tests.support.replicas import BREAKER, DEADLINE

OPENS_WITHIN: Final = 0.25
"""Seconds after the first failure."""
NOISE: Final = 0.75
"""Seconds for which this machine may do other things in between."""
BACK_WITHIN: Final = 2.0
"""Seconds from the end of a fault until replicas ask again: half of one on a machine of their own."""
EXACT_WITHIN: Final = 1.0
"""Seconds from there."""

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
    # A probe more or less at either end, and what was on its way: requests would be hundreds.
    probes = REPLICAS * ((story.ended - story.away) / BREAKER.interval + 6)
    if story.fault.is_one_outage and story.commands > probes:
        yield f"{story.commands} commands came, for at most {probes:.0f} probes"


def no_span_lets_too_much_through(story: Story) -> Iterator[str]:
    most = most_in_a_span(story.load.admissions)
    if most > story.fault.most:
        yield f"{most:.3f} of the bucket were let through in some span"


def rates_go_on(story: Story) -> Iterator[str]:
    passed = sum(each.tokens for each in story.load.admissions if story.away < each.told < story.ended)
    part = passed / (GAIN * (story.ended - story.away))
    if story.fault.is_one_outage and part < 0.7:
        yield f"only {part:.0%} of the rate were let through while Redis was away"


def no_replica_takes_a_slot_beyond_its_part(story: Story) -> Iterator[str]:
    for replica in story.load.replicas:
        own = [slot for slot in story.load.slots if slot.replica == replica.number]
        for away, back in story.outages(replica):
            most = max(slot.own for slot in own if away < slot.asked < back + BREAKER.returning)
            if most > PARTS[replica.number]:
                yield f"replica {replica.number} has taken {most}"


def slots_are_never_more_than_there_are(story: Story) -> Iterator[str]:
    most = max((slot.all for slot in story.load.slots if story.is_untroubled(slot)), default=0)
    if most > SLOTS:
        yield f"Redis was there, and {most} were taken at once"


def money_is_never_overspent(story: Story) -> Iterator[str]:
    if story.load.most_money > DOLLARS + max(0, -story.miscounted):
        yield f"{story.load.most_money} was spent and held"


def money_is_spent_to_the_last(story: Story) -> Iterator[str]:
    left = DOLLARS - story.load.books.settled.dollars
    if left > max(0, story.miscounted):
        yield f"{left} of the money could not be spent"


def away_only_slices_are_spent(story: Story) -> Iterator[str]:
    spent = story.load.spent_alone
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
    debt, margin = owed(story.at_return.tokens), GAIN * BREAKER.returning
    if not 0.4 * SIZE < debt <= story.fault.most * SIZE + margin:
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
    no_replica_takes_a_slot_beyond_its_part,
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
