"""When a try may be followed by another. Pure; its law: never after the first relayed byte, never where the
first try may still be running, and never so often that an outage is made worse.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import ErrorCode, UpstreamFailed

_TRANSIENT_STATUSES: Final = frozenset({429, 500, 502, 503})
"""Not 504: an edge gave up waiting there, while the request behind it may go on, and be billed."""
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
        """A first try was made."""
        self.level = min(self.most, self.level + self.share)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


def wait_after_status(number: int, status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before try `number` is followed by the next; None when its answer is the one to relay.

    An upstream that asks for more patience than a waiting client has, or asks in a way that is not understood
    here (by a date), is relayed, Retry-After and all.
    """
    if status not in _TRANSIENT_STATUSES or number >= _MOST_ATTEMPTS:
        return None
    if headers.get("x-should-retry", "").lower() == "false":
        return None
    wait = retry_after(headers)
    if wait is None:
        return None if "retry-after" in headers else _backoff(number)
    return wait if wait <= _LONGEST_WAIT else None


def wait_after_failure(number: int, failure: UpstreamFailed) -> float | None:
    """Seconds to wait before the next try; None when it could run (and bill) twice, or would not help."""
    if failure.code is not ErrorCode.UPSTREAM_UNREACHABLE or number >= _MOST_ATTEMPTS:
        return None
    return _backoff(number)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the upstream asks for, in `retry-after-ms` or else `retry-after`; None: nothing usable."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < math.inf:
            return seconds
    return None


def _backoff(number: int) -> float:
    return float(_FIRST_WAIT * 2 ** (number - 1))
