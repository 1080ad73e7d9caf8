"""`/admin/explain` and `/admin/refusals`: what was decided about requests, or would be. A team admin is told
of its own teams' alone; of callers that nobody knows, all others are.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.admin.interfaces import Asked, Explainer, Handler, Rehearsal
from gateway.admin.operations import NO_KEY, NO_REQUEST, USUALLY_LISTED
from gateway.admin.problems import Problem
from gateway.admin.roles import NO_TEAM, teams_in_view
from gateway.admin.shapes import DryRun, Explanations
from gateway.auth.interfaces import KeyStore
from gateway.auth.keys.life import KeyState, principal_of, state_of
from gateway.core.actor import Actor
from gateway.core.clock import Clock
from gateway.core.errors import Refused, StoreUnavailable
from gateway.core.principal import Principal
from gateway.explaining.explanation import Explanation

_AWAY: Final = (
    "Nobody knows what is left of limits: Redis, which keeps the counters, or the database is away. So there "
    "are no dry runs until it is back. Try again."
)


class ExplainPage:
    """Explains, and rehearses."""

    def __init__(self, *, explainer: Explainer, rehearsal: Rehearsal, keys: KeyStore, clock: Clock) -> None:
        self._explainer = explainer
        self._rehearsal = rehearsal
        self._keys = keys
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {"explain": self.explain, "rehearse": self.rehearse, "refusals": self.refusals}

    async def explain(self, asked: Asked) -> Explanation:
        found = await self._explainer.explain(asked.path["request_id"])
        if found is None or not asked.actor.may_see(found.team):
            raise Problem(404, NO_REQUEST)
        return found

    async def refusals(self, asked: Asked) -> Explanations:
        teams = teams_in_view(asked.actor, asked.query.get("team"))
        most = asked.query.get("limit", USUALLY_LISTED)
        found = await self._explainer.refusals(None if teams is None else frozenset(teams), most)
        return Explanations(data=list(found))

    async def rehearse(self, asked: Asked) -> Explanation:
        """Raises Problem: 422 for a caller or an endpoint of which there is no dry run."""
        run: DryRun = asked.body
        principal = await self._principal(run, asked.actor)
        body = b"" if run.body is None else msgspec.json.encode(run.body)
        try:
            return await self._rehearsal.rehearse(principal, run.method, run.path, body)
        except ValueError as error:  # NotRehearsed, and a path that is none
            raise Problem(422, str(error), field="path") from None
        except Refused as error:
            raise Problem(422, error.message, field="path") from None
        except StoreUnavailable:
            raise Problem(503, _AWAY) from None

    async def _principal(self, run: DryRun, actor: Actor) -> Principal:
        """Who is to ask: a key, or somebody of a team."""
        if run.key_id:
            return await self._holder(run, actor)
        if not run.team:
            raise Problem(422, "Say who asks: `key_id`, or `team` and perhaps `user`.", field="key_id")
        if not actor.may_see(run.team):
            raise Problem(422, NO_TEAM, field="team")
        now = int(self._clock.now())
        return Principal(subject=_subject(run), team=run.team, key_id="", key_name="", issued_at=now)

    async def _holder(self, run: DryRun, actor: Actor) -> Principal:
        if run.team or run.user:
            raise Problem(422, "A key says whose it is: leave `team` and `user` out.", field="key_id")
        key = await self._keys.find(run.key_id)
        if key is None or not actor.may_see(key.team):
            raise Problem(422, NO_KEY, field="key_id")
        state = state_of(key, int(self._clock.now()))
        if state is not KeyState.LIVE:
            raise Problem(422, f"The key is {state}: whatever comes with it is refused.", field="key_id")
        return principal_of(key)


def _subject(run: DryRun) -> str:
    if not run.user:
        return f"team:{run.team}"
    return run.user if ":" in run.user else f"user:{run.user}"
