"""From what a store found to what is decided: standings, notes, and the limit that a refusal names. Pure.

Every store finds two things for each demand: whether it fits, and the level (of a rate, the debt in
micro-tokens; of slots, how many are taken; of a budget, what is spent and held): the new one when all is
held, the untouched one when nothing is.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import ceil, inf
from typing import Final

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Counted, Scope
from gateway.core.standing import Standing
from gateway.limits.bucket import MICRO
from gateway.limits.demands import whose
from gateway.limits.interfaces import Demand, Grant, Refusal, Unloaded

SLOT_RETRY_SECONDS: Final = 1.0
"""Nobody knows when a slot is freed; this is soon enough to be worth a try, and no stampede."""
HELD_RETRY_SECONDS: Final = 1.0
"""Nobody knows when others will have spent less than they hold, or all of it."""
SLICE_RETRY_SECONDS: Final = 1.0
"""Within which replicas give back what they have set aside."""

_SHADOW: Final = Mode.SHADOW
_WINDOWS: Final = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


class Fit(IntEnum):
    """What a store finds of a demand."""

    NO = 0
    YES = 1
    SET_ASIDE = 2
    """No; but it would fit a budget if replicas had not set slices of it aside."""
    UNLOADED = 3
    """Nobody knows before the budget is loaded."""
    HELD = 4
    """No; but it would fit a budget if what is under way turned out to cost nothing."""


def judge(demands: Sequence[Demand], fit: Sequence[int], levels: Sequence[int]) -> Grant | Refusal | Unloaded:
    """The decision: a Refusal when a demand that must fit does not. Of several, the longest counts. What is
    refused need not be loaded."""
    standings = _standings(demands, levels)
    if fit.count(Fit.YES) == len(fit):
        return Grant(standings)
    found = list(zip(demands, fit, levels, strict=True))
    missed = [
        (_deny(demand, fits, level), demand, level)
        for demand, fits, level in found
        if fits not in (Fit.YES, Fit.UNLOADED)
    ]
    enforced = [miss for miss in missed if miss[0].mode is Mode.ENFORCE]
    if enforced:
        deny, demand, level = max(enforced, key=lambda miss: _lasts(miss[0]))
        return Refusal(deny, standings, demand, level)
    unloaded = tuple([demand for demand, fits, _ in found if fits == Fit.UNLOADED])
    return Unloaded(unloaded) if unloaded else Grant(standings, tuple([deny for deny, _, _ in missed]))


def _standings(demands: Sequence[Demand], levels: Sequence[int]) -> tuple[Standing, ...]:
    """Of rates alone; and not of those in shadow mode, since the client is to notice nothing."""
    standings = []
    for (limit, _, _, rate, _), level in zip(demands, levels, strict=True):
        if rate is not None and limit.mode is not _SHADOW:
            left, reset = rate.remaining(level), rate.seconds_to_pay(level)
            standings.append(Standing(limit.name, limit.counts, limit.amount, left, reset))
    return tuple(standings)


def _lasts(deny: Deny) -> float:
    return inf if deny.retry_after is None else deny.retry_after


def _deny(demand: Demand, fits: int, level: int) -> Deny:
    if demand.window is not None:
        kind = "budgets"
        code, reason, retry_after = _grounds_of_budget(demand, demand.window.amount, fits, level)
    else:
        kind = "limits"
        code, reason, retry_after = _grounds(demand, level)
    return Deny(code, reason, f"{kind}.{demand.limit.name}", demand.limit.mode, retry_after=retry_after)


def _grounds(demand: Demand, level: int) -> tuple[ErrorCode, str, float | None]:
    limit = demand.limit
    if demand.rate is None or isinstance(limit, Budget):
        return ErrorCode.CONCURRENCY_LIMIT_EXCEEDED, _too_many(demand), SLOT_RETRY_SECONDS
    if demand.cost > limit.burst:
        return ErrorCode.REQUEST_EXCEEDS_LIMIT, _too_large(demand, limit.burst), None
    wait = demand.rate.seconds_until_fits(level, demand.cost * MICRO)
    return ErrorCode.RATE_LIMIT_EXCEEDED, too_soon(demand, wait), wait


def _grounds_of_budget(
    demand: Demand, amount: int, fits: int, level: int
) -> tuple[ErrorCode, str, float | None]:
    if demand.cost > amount:
        return ErrorCode.REQUEST_EXCEEDS_LIMIT, _beyond_budget(demand), None
    if fits == Fit.SET_ASIDE:
        return ErrorCode.BUDGET_UNAVAILABLE, _set_aside(demand), SLICE_RETRY_SECONDS
    if fits == Fit.HELD:
        return ErrorCode.INSUFFICIENT_QUOTA, _held(demand), HELD_RETRY_SECONDS
    return ErrorCode.INSUFFICIENT_QUOTA, used_up(demand, amount - level), None


def _too_many(demand: Demand) -> str:
    return (
        f"Concurrency limit reached for {whose(demand)}: limit {demand.limit.amount} at once. "
        "Try again when one of the running requests has ended."
    )


def _too_large(demand: Demand, burst: int) -> str:
    return (
        f"This request is expected to use {demand.cost} {spoken(demand.limit.counts)}, and {whose(demand)} "
        f"may use at most {burst} at once. Send less, or ask for less output."
    )


def too_soon(demand: Demand, wait: float) -> str:
    """What is said to whoever should wait for so many seconds."""
    limit = demand.limit
    seconds = 0.0 if isinstance(limit, Budget) else limit.seconds
    window = _WINDOWS.get(seconds, f"{_plain(seconds)} seconds")
    needs = "" if limit.counts is Counted.REQUESTS else f", this request needs about {demand.cost}"
    return (
        f"Rate limit reached for {spoken(limit.counts)} of {whose(demand)}: "
        f"limit {limit.amount} per {window}{needs}. Try again in {_plain(ceil(wait * 10) / 10)} s."
    )


def used_up(demand: Demand, left: int) -> str:
    """What is said to whoever meets a budget that has no room for the request, or for more of its answer."""
    limit = demand.limit
    period = f" for this {limit.period}" if isinstance(limit, Budget) else ""
    if _is_shared(demand) or left <= 0:
        state = f"is used up{period}"
    else:
        state = f"has too little left{period}: {figure(limit.counts, left)} of {_amount(demand)}"
    return (
        f"The budget `{limit.name}` of {whose(demand)} {state}. "
        "Ask whoever owns it for an increase, or wait until it begins anew."
    )


def _beyond_budget(demand: Demand) -> str:
    limit = demand.limit
    most = "could cost" if isinstance(limit, Budget) and limit.strict else "is expected to cost"
    whole = "" if _is_shared(demand) else f" ({_amount(demand)})"
    return (
        f"This request {most} {figure(limit.counts, demand.cost)}, more than the whole budget "
        f"`{limit.name}` of {whose(demand)}{whole}. Send less, or ask for less output."
    )


def _held(demand: Demand) -> str:
    return (
        f"What is left of the budget `{demand.limit.name}` of {whose(demand)} is held by requests that are "
        "under way. Some of it may come back when they have ended: send the request again."
    )


def _set_aside(demand: Demand) -> str:
    return f"The last of the budget `{demand.limit.name}` is being called in. Send the request again."


def _is_shared(demand: Demand) -> bool:
    """Whether several teams draw on it: what others have, or have spent, is nobody's business."""
    return Scope.ORGANIZATION in demand.limit.per


def _amount(demand: Demand) -> str:
    amount = demand.window.amount if demand.window else demand.limit.amount
    return figure(demand.limit.counts, amount)


def figure(counts: Counted, amount: int) -> str:
    """An amount with its unit: "$12.50", "300 tokens"."""
    if counts is not Counted.DOLLARS:
        return f"{amount} {spoken(counts)}"
    dollars = f"{amount / MICRO:,.6f}".rstrip("0")
    whole, _, cents = dollars.partition(".")
    return f"${whole}.{cents:0<2}"


def spoken(counts: Counted) -> str:
    """The unit as people write it."""
    return counts.replace("_", " ")


def _plain(number: float) -> str:
    """To the thousandth: "90", "1.5", "2678400"."""
    return f"{number:.3f}".rstrip("0").removesuffix(".")
