"""Which policies came into force at this replica, one version after the other; and that files were broken."""

from collections.abc import Callable

from gateway.audit.trail import GATEWAY
from gateway.core.actor import Act


class PolicyChanges:
    """To be told of every set that is taken over, the first one too, and of every set that is not."""

    def __init__(self, *, note: Callable[[Act], None], replica: str) -> None:
        """`replica`: the name of this one, which stands in every line."""
        self._note = note
        self._replica = replica
        self._version: str | None = None

    def loaded(self, version: str) -> None:
        """This version is in force from now on. It is the one before when broken files were mended."""
        self._put("policies.loaded", version)
        self._version = version

    def broken(self) -> None:
        """The files cannot be used; what was in force stays so."""
        self._put("policies.broken", self._version)

    def _put(self, action: str, after: str | None) -> None:
        versions = {"before": {"version": self._version}, "after": {"version": after}}
        self._note(Act(GATEWAY, action, "policies", details={**versions, "replica": self._replica}))
