"""From what a store found to what is decided: standings, notes, and the limit that a refusal names. Pure.

Every store finds two things for each demand: whether it fits, and the level (of a rate, the debt in
micro-tokens; of slots, how many are taken): the new one when all is held, the untouched one when nothing is.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Counted
from gateway.core.standing import Standing
from gateway.limits.bucket import MICRO
from gateway.limits.demands import whose
from gateway.limits.interfaces import Demand, Grant, Refusal

SLOT_RETRY_SECONDS: Final = 1.0
"""Nobody knows when a slot is freed; this is soon enough to be worth a try, and no stampede."""

_SHADOW: Final = Mode.SHADOW
_WINDOWS: Final = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


def judge(demands: Sequence[Demand], fit: Sequence[bool], levels: Sequence[int]) -> Grant | Refusal:
    """The decision: a Refusal when a demand that must fit does not. Of several, the longest counts."""
    standings = _standings(demands, levels)
    if False not in fit:
        return Grant(standings)
    missed = [
        (_deny(demand, level), demand)
        for demand, fits, level in zip(demands, fit, levels, strict=True)
        if not fits
    ]
    enforced = [(deny, demand) for deny, demand in missed if deny.mode is Mode.ENFORCE]
    if not enforced:
        return Grant(standings, tuple(deny for deny, _ in missed))
    deny, demand = max(enforced, key=lambda pair: _lasts(pair[0]))
    return Refusal(deny, standings, demand)


def _standings(demands: Sequence[Demand], levels: Sequence[int]) -> tuple[Standing, ...]:
    """Of rates alone; and not of those in shadow mode, since the client is to notice nothing."""
    standings = []
    for (limit, _, _, rate), level in zip(demands, levels, strict=True):
        if rate is not None and limit.mode is not _SHADOW:
            left, reset = rate.remaining(level), rate.seconds_to_pay(level)
            standings.append(Standing(limit.name, limit.counts, limit.amount, left, reset))
    return tuple(standings)


def _lasts(deny: Deny) -> float:
    return float("inf") if deny.retry_after is None else deny.retry_after


def _deny(demand: Demand, level: int) -> Deny:
    code, reason, retry_after = _grounds(demand, level)
    return Deny(code, reason, f"limits.{demand.limit.name}", demand.limit.mode, retry_after=retry_after)


def _grounds(demand: Demand, level: int) -> tuple[ErrorCode, str, float | None]:
    if demand.rate is None:
        return ErrorCode.CONCURRENCY_LIMIT_EXCEEDED, _too_many(demand), SLOT_RETRY_SECONDS
    if demand.cost > demand.limit.burst:
        return ErrorCode.REQUEST_EXCEEDS_LIMIT, _too_large(demand), None
    wait = demand.rate.seconds_until_fits(level, demand.cost * MICRO)
    return ErrorCode.RATE_LIMIT_EXCEEDED, too_soon(demand, wait), wait


def _too_many(demand: Demand) -> str:
    return (
        f"Concurrency limit reached for {whose(demand)}: limit {demand.limit.amount} at once. "
        "Try again when one of the running requests has ended."
    )


def _too_large(demand: Demand) -> str:
    return (
        f"This request is expected to use {demand.cost} {demand.limit.counts}, and {whose(demand)} "
        f"may use at most {demand.limit.burst} at once. Send less, or ask for less output."
    )


def too_soon(demand: Demand, wait: float) -> str:
    """What is said to whoever should wait for so many seconds."""
    limit = demand.limit
    window = _WINDOWS.get(limit.seconds, f"{limit.seconds:g} seconds")
    needs = f", this request needs about {demand.cost}" if limit.counts is Counted.TOKENS else ""
    return (
        f"Rate limit reached for {limit.counts} of {whose(demand)}: "
        f"limit {limit.amount} per {window}{needs}. Try again in {ceil(wait * 10) / 10:g} s."
    )
