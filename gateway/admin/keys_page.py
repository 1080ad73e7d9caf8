"""`/admin/keys`: keys of the gateway, page by page, and what becomes of them. Of another team's key a team
admin is told what is told of none.

Only making and rotating tell a secret, once; nothing else here has ever seen one.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from gateway.admin.interfaces import Asked, Handler
from gateway.admin.operations import NO_KEY, USUALLY_LISTED
from gateway.admin.problems import Problem
from gateway.admin.roles import NO_TEAM, teams_in_view
from gateway.admin.shapes import GrantShape, Keys, MadeKey, ShownKey
from gateway.admin.shapes import NewKey as NewKeyShape
from gateway.auth.interfaces import Revocations, StoredKey
from gateway.auth.keys.checks import NewKey
from gateway.auth.keys.desk import KeyDesk, NoSuchKey
from gateway.auth.keys.life import as_it_is, overlap_until, state_of
from gateway.core.clock import Clock
from gateway.core.grant import Grant

_AT_ONCE: Final = 200
"""Keys that are read from the store in one go."""


class KeysPage:
    """The desk does it; this says who may, and shows what came of it."""

    def __init__(self, *, desk: KeyDesk, revocations: Revocations, clock: Clock) -> None:
        self._desk = desk
        self._revocations = revocations
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "keys": self.keys,
            "key": self.key,
            "create_key": self.create,
            "import_key": self.bring_in,
            "rotate_key": self.rotate,
            "disable_key": self.disable,
            "enable_key": self.enable,
            "revoke_key": self.revoke,
        }

    async def keys(self, asked: Asked) -> Keys:
        """A page: of one team, or of all that the actor may see, team by team when those are not all."""
        query = asked.query
        most, state, now = query.get("limit", USUALLY_LISTED), query.get("state"), int(self._clock.now())
        teams = teams_in_view(asked.actor, query.get("team"))
        found: list[StoredKey] = []
        async for key in self._following(teams, query.get("after", "")):
            if state in (None, state_of(key, now)):
                found.append(key)
            if len(found) > most:
                break
        page, more = found[:most], len(found) > most
        return Keys(data=await self._shown(page), has_more=more, next=page[-1].id if more else None)

    async def key(self, asked: Asked) -> ShownKey:
        (shown,) = await self._shown([await self._own(asked)])
        return shown

    async def create(self, asked: Asked) -> MadeKey:
        """Raises Problem, KeyRefused, NameTaken."""
        key, secret = await self._desk.create(_wanted(asked), asked.actor)
        return MadeKey(key=self._changed(key), secret=secret)

    async def bring_in(self, asked: Asked) -> ShownKey:
        """Raises Problem, KeyRefused, NameTaken."""
        return self._changed(await self._desk.bring_in(_wanted(asked), asked.body.sha256, asked.actor))

    async def rotate(self, asked: Asked) -> MadeKey:
        key, rotation = await self._own(asked), asked.body
        key, secret = await self._desk.rotate(
            key.id,
            overlap_seconds=rotation.overlap_seconds,
            expires_at=rotation.expires_at,
            by=asked.actor,
        )
        return MadeKey(key=self._changed(key), secret=secret)

    async def disable(self, asked: Asked) -> ShownKey:
        key = await self._own(asked)
        return self._changed(await self._desk.disable(key.id, by=asked.actor))

    async def enable(self, asked: Asked) -> ShownKey:
        key = await self._own(asked)
        return self._changed(await self._desk.enable(key.id, by=asked.actor))

    async def revoke(self, asked: Asked) -> ShownKey:
        key, why = await self._own(asked), asked.body
        return self._changed(
            await self._desk.revoke(key.id, by=asked.actor, reason=why.reason, cut_streams=why.cut_streams)
        )

    def _changed(self, key: StoredKey) -> ShownKey:
        """Without its last use, which is read apart: that could fail, and what is done must be told."""
        return shown_key(key, int(self._clock.now()))

    async def _own(self, asked: Asked) -> StoredKey:
        """The key that is meant. Raises Problem: 404 for another's as for none."""
        try:
            key = await self._desk.show(asked.path["key_id"])
        except NoSuchKey:
            raise Problem(404, NO_KEY) from None
        if not asked.actor.may_see(key.team):
            raise Problem(404, NO_KEY)
        return as_it_is(key, self._revocations)

    async def _following(self, teams: Sequence[str] | None, after: str) -> AsyncIterator[StoredKey]:
        """The keys of these teams (None: of all), team by team, from the one after this on."""
        last = await self._last(teams, after) if after else None
        if teams is None:
            async for key in self._of(None, after):
                yield key
        for team in teams or ():
            if last is None or team >= last.team:
                async for key in self._of(team, after if last and team == last.team else ""):
                    yield key

    async def _last(self, teams: Sequence[str] | None, after: str) -> StoredKey:
        with suppress(NoSuchKey):
            key = await self._desk.show(after)
            if teams is None or key.team in teams:
                return key
        raise Problem(400, "The page before did not end with such a key.", field="after")

    async def _of(self, team: str | None, after: str) -> AsyncIterator[StoredKey]:
        while True:
            keys = await self._desk.list(team, after=after, most=_AT_ONCE)
            for key in keys:
                yield as_it_is(key, self._revocations)
            if len(keys) < _AT_ONCE:
                return
            after = keys[-1].id

    async def _shown(self, keys: Sequence[StoredKey]) -> list[ShownKey]:
        uses = await self._desk.uses([key.id for key in keys])
        now = int(self._clock.now())
        shown = [shown_key(key, now) for key in keys]
        for each in shown:
            if use := uses.get(each.id):
                each.last_used_at, each.last_used_from = use.at, use.address
        return shown


def _wanted(asked: Asked) -> NewKey:
    """Raises Problem for another's team, as for none."""
    body: NewKeyShape = asked.body
    if not asked.actor.may_see(body.team):
        raise Problem(422, NO_TEAM, field="team")
    return NewKey(
        team=body.team,
        name=body.name,
        owner=body.owner,
        expires_at=body.expires_at,
        grant=_grant(body.grant),
        addresses=body.addresses,
    )


def shown_key(key: StoredKey, now: int) -> ShownKey:
    """A key without its hashes."""
    return ShownKey(
        id=key.id,
        team=key.team,
        name=key.name,
        owner=key.owner,
        state=state_of(key, now).value,
        created_at=key.created_at,
        created_by=key.created_by,
        issued_at=key.issued_at,
        expires_at=key.expires_at,
        disabled_at=key.disabled_at,
        revoked_at=key.revoked_at,
        overlap_until=overlap_until(key, now),
        grant=_shape(key.grant),
        addresses=list(key.addresses),
        imported=key.imported,
    )


def _shape(grant: Grant) -> GrantShape:
    return GrantShape(
        endpoints=list(grant.endpoints),
        models=list(grant.models),
        read_only=grant.read_only,
        requests_per_minute=grant.requests_per_minute,
        tokens_per_minute=grant.tokens_per_minute,
        concurrent=grant.concurrent,
        dollars_per_month=grant.dollars_per_month,
    )


def _grant(shape: GrantShape) -> Grant:
    return Grant(
        endpoints=tuple(shape.endpoints),
        models=tuple(shape.models),
        read_only=shape.read_only,
        requests_per_minute=shape.requests_per_minute,
        tokens_per_minute=shape.tokens_per_minute,
        concurrent=shape.concurrent,
        dollars_per_month=shape.dollars_per_month,
    )
