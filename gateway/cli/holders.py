"""Which policy holds for a line of the ledger, by the team's name and the key's id that stand in it."""

from collections.abc import Mapping

from gateway.core.policy import Policy
from gateway.policies.policy_set import PolicySet


class Holders:
    """Today's policies of teams and their keys."""

    def __init__(self, policies: PolicySet, key_names: Mapping[str, str]) -> None:
        """`key_names`: by the keys' ids."""
        self._teams = policies.teams
        self._key_names = key_names

    def policy(self, team: str, key_id: str) -> Policy | None:
        """The key's policy, or its team's; None for a team that no file names any more."""
        found = self._teams.get(team)
        if found is None:
            return None
        return found.keys.get(self._key_names.get(key_id, ""), found.policy)

    def cost_centre(self, team: str, key_id: str) -> str:
        """To whom finance charges it; empty when nobody said."""
        policy = self.policy(team, key_id)
        return policy.cost_centre if policy else ""
