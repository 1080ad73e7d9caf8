"""`GET /admin/limits?team=search`: what is left of a team's limits and budgets, and who holds it.

`key` (by id or name), `user` and `model` narrow it to what counts such a call. A name that there is not is a
404 that says which there are; while nobody knows what is left, the answer is 503 and a sentence.
"""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Final

from aiohttp import web

from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Policy
from gateway.limits.left import TeamLimits
from gateway.limits.overview import Only, Overview, Team
from gateway.policies.policy_set import PolicySet

_PARAMETERS: Final = ("team", "key", "user", "model")
_LONGEST: Final = 256
"""Characters of a name."""
_MOST_NAMED: Final = 20
"""Names that are listed to whoever named none of them."""

_AWAY: Final = (
    "Nobody knows what is left: Redis, which keeps the counters, or the database is away. Until it is back, "
    "every replica goes on with its share of each limit. Try again."
)


class LimitsPage:
    """Answers one question."""

    def __init__(self, *, policies: Callable[[], PolicySet], keys: KeyStore, overview: Overview) -> None:
        """`policies`: those in force at the moment."""
        self._policies = policies
        self._keys = keys
        self._overview = overview

    async def answer(self, query: Mapping[str, str]) -> TeamLimits:
        """The answer to a query string. Raises web.HTTPException with a sentence."""
        asked = _checked(query)
        policies = self._policies()
        name = asked.get("team", "")
        found = policies.teams.get(name)
        if found is None:
            raise _not_found("team", name, policies.teams.keys(), "in the policy files")
        try:
            keys = await self._keys.list(name)
            team = Team(name, found.policy, found.keys, {key.id: key.name for key in keys})
            only = Only(
                key=_key_id(asked["key"], keys) if "key" in asked else None,
                user=asked.get("user"),
                model=_model_name(asked["model"], found.policy) if "model" in asked else None,
            )
            return await self._overview.of(team, only)
        except StoreUnavailable:
            raise web.HTTPServiceUnavailable(text=_AWAY) from None


def _checked(query: Mapping[str, str]) -> dict[str, str]:
    """The parameters that say something."""
    for name, value in query.items():
        if name not in _PARAMETERS:
            raise web.HTTPBadRequest(text=f"There is no such parameter. There are: {', '.join(_PARAMETERS)}.")
        if len(value) > _LONGEST:
            raise web.HTTPBadRequest(text=f"{name} must have at most {_LONGEST} characters.")
    asked = {name: value for name, value in query.items() if value}
    if "team" not in asked:
        raise web.HTTPBadRequest(text="Say of which team: /admin/limits?team=search.")
    return asked


def _key_id(asked: str, keys: Collection[StoredKey]) -> str:
    """The id of the key that has this id or, not being revoked, this name."""
    for key in keys:
        if asked == key.id or (asked == key.name and key.revoked_at is None):
            return key.id
    names = {key.name for key in keys if key.revoked_at is None}
    raise _not_found("key", asked, names, "of this team")


def _model_name(asked: str, policy: Policy) -> str:
    """The catalogue's name."""
    model = policy.catalogue.find(asked)
    if model is None:
        raise _not_found("model", asked, policy.catalogue.models.keys(), "in models.yaml")
    return model.name


def _not_found(what: str, asked: str, names: Collection[str], where: str) -> web.HTTPNotFound:
    near = get_close_matches(asked, names, n=3)
    if near:
        help_ = f"Did you mean {' or '.join(f'`{name}`' for name in near)}?"
    elif names:
        listed = sorted(names)[:_MOST_NAMED]
        more = ", …" if len(names) > len(listed) else ""
        help_ = f"There are: {', '.join(f'`{name}`' for name in listed)}{more}"
    else:
        help_ = "There is none at all."
    return web.HTTPNotFound(text=f"There is no {what} `{asked}` {where}. {help_}")
