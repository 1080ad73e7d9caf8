"""Who signed in to the console. Credentials that let nobody in are counted, as refusals are.

Whoever may sign in may do so as often as they like: each is on record once a minute. Signing out is done by
the browser alone, and is no act.
"""

from collections.abc import Callable
from typing import Final

from gateway.audit.refusals import RefusalTally
from gateway.core.actor import Act, Actor
from gateway.core.clock import Clock

APART: Final = 60.0
"""Seconds between two lines about the same actor."""
_MOST: Final = 10_000
"""Actors that are remembered. Of more, all are forgotten."""


class SignIns:
    """To be told of them. Nothing here waits, and no credential gets here."""

    def __init__(self, *, note: Callable[[Act], None], tally: RefusalTally, clock: Clock) -> None:
        self._note = note
        self._tally = tally
        self._clock = clock
        self._noted: dict[str, float] = {}
        """When each was, by the monotonic clock."""

    def signed_in(self, actor: Actor) -> None:
        """By an admin token, or by the identity provider: the actor's name says which."""
        now = self._clock.monotonic()
        if now < self._noted.get(actor.name, -APART) + APART:
            return
        if len(self._noted) >= _MOST:
            self._noted.clear()
        self._noted[actor.name] = now
        details = {"role": actor.role, "teams": sorted(actor.teams)}
        self._note(Act(actor.name, "console.signed_in", "console", details=details))

    def refused(self, code: str) -> None:
        """Somebody came with what opens nothing. `code`: of a small fixed set."""
        self._tally.refused_sign_in(code)
