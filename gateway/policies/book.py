"""The policies in force. Reading costs two look-ups, and one more for a credential that reaches less far than
its team; a reload puts a whole new set in their place at once.
"""

from typing import Final

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import UNNARROWED
from gateway.core.policy import Catalogue, Policy
from gateway.core.principal import Principal
from gateway.policies.narrowing import NarrowedPolicies
from gateway.policies.policy_set import PolicySet

_UNKNOWN_TEAM: Final = Deny(
    code=ErrorCode.PERMISSION_DENIED,
    reason="Your team has no policy at this gateway. Ask whoever runs the gateway to add one.",
    rule="teams",
)


class PolicyBook:
    """Knows what a principal may do."""

    def __init__(self, policy_set: PolicySet) -> None:
        self._set = policy_set
        self._narrowed = NarrowedPolicies()

    @property
    def version(self) -> str:
        return self._set.version

    @property
    def catalogue(self) -> Catalogue:
        return self._set.catalogue

    @property
    def policy_set(self) -> PolicySet:
        return self._set

    def policy_for(self, principal: Principal) -> Policy | Deny:
        """The key's policy, or its team's, as far as the credential reaches.

        A Deny (`permission_denied`) for a team that no file names."""
        team = self._set.teams.get(principal.team)
        if team is None:
            return _UNKNOWN_TEAM
        policy = team.keys.get(principal.key_name, team.policy)
        grant = principal.grant
        if grant is UNNARROWED or grant == UNNARROWED:
            return policy
        return self._narrowed.of(policy, principal)

    def replace(self, policy_set: PolicySet) -> None:
        """Put another set in force, for every exchange that begins from now on."""
        self._set = policy_set
