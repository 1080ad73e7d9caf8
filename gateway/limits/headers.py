"""`x-ratelimit-*` as OpenAI spells them: of requests and of tokens, each of the tightest limit. Pure."""

from collections.abc import Iterable
from math import ceil
from typing import Final

from gateway.core.incoming import HeaderList
from gateway.core.policy import Counted
from gateway.core.standing import Standing

_KINDS: Final = (Counted.REQUESTS, Counted.TOKENS)


def ratelimit_headers(standings: Iterable[Standing]) -> HeaderList:
    """Limit, remaining and reset of each kind that is limited. The limit with the least remaining is told."""
    tightest: dict[Counted, Standing] = {}
    for standing in standings:
        known = tightest.get(standing.counts)
        if known is None or (standing.remaining, -standing.reset) < (known.remaining, -known.reset):
            tightest[standing.counts] = standing
    headers: HeaderList = []
    for kind in _KINDS:
        told = tightest.get(kind)
        if told is not None:
            headers += (
                (f"x-ratelimit-limit-{kind}", str(told.amount)),
                (f"x-ratelimit-remaining-{kind}", str(told.remaining)),
                (f"x-ratelimit-reset-{kind}", duration(told.reset)),
            )
    return headers


def duration(seconds: float) -> str:
    """As Go writes durations, rounded up to milliseconds: `6ms`, `1s`, `1.5s`, `6m0s`, `1h0m0.25s`."""
    milliseconds = ceil(round(seconds * 1000, 3))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
