"""Who signed in to the console, and out of it. Credentials that let nobody in are counted as refusals are."""

from collections.abc import Callable

from gateway.audit.refusals import RefusalTally
from gateway.core.actor import Act, Actor


class SignIns:
    """To be told of them. Nothing here waits, and no credential gets here."""

    def __init__(self, *, note: Callable[[Act], None], tally: RefusalTally) -> None:
        self._note = note
        self._tally = tally

    def signed_in(self, actor: Actor) -> None:
        """By an admin token, or by the identity provider: the actor's name says which."""
        details = {"role": actor.role, "teams": sorted(actor.teams)}
        self._note(Act(actor.name, "console.signed_in", "console", details=details))

    def signed_out(self, actor: Actor) -> None:
        self._note(Act(actor.name, "console.signed_out", "console"))

    def refused(self, code: str) -> None:
        """Somebody came with what opens nothing. `code`: of a small fixed set."""
        self._tally.refused_sign_in(code)
