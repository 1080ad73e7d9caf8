"""When a try may be followed by another. Pure; its law: never after the first relayed byte, never where the first try
may still be running, and never so often that an outage is made worse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import ErrorCode, UpstreamFailed

_TRANSIENT_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
_MOST_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = 2.0
_FIRST_WAIT: Final = 0.1


@dataclass(slots=True)
class RetryBudget:
    """Bounds retries to a share of what is sent, so that a sick upstream is not hit harder for being sick.

    Every first try earns `share` of a retry, up to `most`; every retry spends one.
    """

    share: float = 0.1
    most: float = 10.0
    level: float = 10.0

    def earn(self) -> None:
        self.level = min(self.most, self.level + self.share)

    def spend(self) -> bool:
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


def wait_after_status(number: int, status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before the next try; None when this answer is the one to relay.

    An upstream that asks for more patience than a waiting client has is relayed, Retry-After and all.
    """
    if status not in _TRANSIENT_STATUSES or number >= _MOST_ATTEMPTS:
        return None
    if headers.get("x-should-retry", "").lower() == "false":
        return None
    asked = retry_after(headers)
    wait = asked if asked is not None else _backoff(number)
    return wait if wait <= _LONGEST_WAIT else None


def wait_after_failure(number: int, failure: UpstreamFailed) -> float | None:
    """Seconds to wait before the next try; None when it could run (and bill) twice, or would not help."""
    if failure.code is not ErrorCode.UPSTREAM_UNREACHABLE or number >= _MOST_ATTEMPTS:
        return None
    return _backoff(number)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the upstream asks for: `retry-after-ms` before `retry-after`; None when it says nothing usable."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if seconds >= 0:
            return seconds
    return None


def _backoff(number: int) -> float:
    return float(_FIRST_WAIT * 2 ** (number - 1))
