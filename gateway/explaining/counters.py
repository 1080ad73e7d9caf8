"""How full a limit was, in the numbers that an explanation tells."""

from gateway.core.policy import Budget, Scope
from gateway.core.standing import Standing
from gateway.explaining.explanation import Counter
from gateway.limits.interfaces import Demand, Refusal


def standing_of(demand: Demand, level: int, at: float) -> Standing:
    """Of any limit: a rate, slots or a budget. `level` as in `limits.interfaces.Look`, `at` in seconds since
    1970. Slots are free when somebody is done, which nobody knows: their reset is 0."""
    limit, _, _, rate, window = demand
    if rate is not None:
        left, reset = rate.remaining(level), rate.seconds_to_pay(level)
        return Standing(limit.name, limit.counts, limit.amount, left, reset)
    if window is None:
        return Standing(limit.name, limit.counts, limit.amount, max(0, limit.amount - level), 0.0)
    left, reset = max(0, window.amount - level), max(0.0, window.edges[2] - at)
    return Standing(limit.name, limit.counts, window.amount, left, reset)


def missed(refusal: Refusal | None, at: float) -> Standing | None:
    """What had no room, where a refusal's own standings do not tell: those are of rates alone."""
    if refusal is None or refusal.demand.rate is not None or is_shared(refusal.demand):
        return None
    return standing_of(refusal.demand, refusal.level, at)


def is_shared(demand: Demand) -> bool:
    """Whether several teams draw on this budget: what others have spent is nobody's business."""
    return isinstance(demand.limit, Budget) and Scope.ORGANIZATION in demand.limit.per


def counter(standing: Standing) -> Counter:
    """As it is told."""
    return Counter(
        name=standing.limit,
        counts=standing.counts.value,
        limit=standing.amount,
        remaining=standing.remaining,
        reset_seconds=round(standing.reset, 3),
    )
