"""The simulator itself: what is configured, and what tests look at."""

import time
from collections import deque
from collections.abc import Callable, Iterable

from gateway.simulator.account import Account
from gateway.simulator.faults import FaultQueue
from gateway.simulator.log import Log, SeenRequest
from gateway.simulator.opinions import Opinions
from gateway.simulator.pace import Pace

_MOST_COMPLAINTS = 10_000


class Simulator:
    """One pretended OpenAI. It is served by `app.create_app`, or by `server.running` in one go."""

    def __init__(
        self,
        *,
        api_keys: frozenset[str] | None = None,
        admin_keys: frozenset[str] | None = None,
        pace: Pace | None = None,
        organization: str | None = None,
        project: str | None = None,
        sticky_cookie: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Any key is fine, even none, unless `api_keys` names the good ones. The organization's
        usage and costs are for administrators: any key that begins with `sk-admin-`, unless `admin_keys`
        names the good ones.

        `organization` and `project` are the only values welcome in OpenAI's headers of these names.
        `sticky_cookie`: the answers' cookie is one that every cookie jar keeps and sends back, so that a
        gateway with a jar gives itself away; OpenAI's own would not come back to 127.0.0.1.
        """
        self.api_keys = api_keys
        self.admin_keys = admin_keys
        self.pace = pace or Pace()
        self.opinions = Opinions(organization=organization, project=project)
        self.sticky_cookie = sticky_cookie
        self.clock = clock
        self.faults = FaultQueue()
        self.log = Log()
        self.account = Account()
        self._complaints: deque[str] = deque(maxlen=_MOST_COMPLAINTS)

    @property
    def requests(self) -> list[SeenRequest]:
        """What was seen, oldest first."""
        return list(self.log)

    @property
    def complaints(self) -> list[str]:
        """What should never have reached it; tests assert that there is nothing."""
        return list(self._complaints)

    async def arrival(self, number: int = 1) -> SeenRequest:
        """Wait until so many requests have come since the start, and give the latest: no test need sleep."""
        return await self.log.arrival(number)

    def complain(self, complaints: Iterable[str]) -> None:
        self._complaints.extend(complaints)

    def __repr__(self) -> str:
        return f"<Simulator: {len(self.requests)} requests, {len(self._complaints)} complaints>"
