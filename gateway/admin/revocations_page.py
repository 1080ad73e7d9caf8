"""`/admin/revocations`: what was taken back, and taking back. Users, issuers and everything span teams: a
team admin revokes its own teams and keys alone, and sees no other's revocations.
"""

from collections.abc import Mapping
from dataclasses import asdict

from gateway.admin.interfaces import Asked, Handler
from gateway.admin.problems import Problem
from gateway.admin.roles import NO_TEAM
from gateway.admin.shapes import NewRevocation, ShownRevocation, ShownRevocations
from gateway.auth.interfaces import KeyStore, Revocation, RevocationKind
from gateway.auth.revocation.desk import RevocationDesk
from gateway.core.actor import Actor, Role


class RevocationsPage:
    """Single keys are revoked among the keys."""

    def __init__(self, *, desk: RevocationDesk, keys: KeyStore) -> None:
        self._desk = desk
        self._keys = keys

    def handlers(self) -> Mapping[str, Handler]:
        return {"revocations": self.revocations, "revoke": self.revoke}

    async def revocations(self, asked: Asked) -> ShownRevocations:
        found = await self._desk.list()
        if asked.actor.role is Role.TEAM_ADMIN:
            own = await self._keys_of(asked.actor)
            found = [each for each in found if _concerns(each, asked.actor, own)]
        return ShownRevocations(data=[_shown(each) for each in found])

    async def revoke(self, asked: Asked) -> ShownRevocation:
        """Raises Problem, KeyRefused."""
        new: NewRevocation = asked.body
        _check(new, asked.actor)
        revocation = await self._desk.revoke(
            new.kind,
            new.value,
            by=asked.actor,
            since=new.since,
            until=new.until,
            reason=new.reason,
            cut_streams=new.cut_streams,
        )
        return _shown(revocation)

    async def _keys_of(self, actor: Actor) -> frozenset[str]:
        return frozenset([key.id for team in actor.teams for key in await self._keys.list(team)])


def _check(new: NewRevocation, actor: Actor) -> None:
    if actor.role is not Role.TEAM_ADMIN:
        return
    if new.kind != RevocationKind.TEAM.value:
        sentence = (
            f"This needs the role `{Role.OPERATOR}`: it concerns more than one team. You are signed in as"
        )
        raise Problem(403, f"{sentence} `{actor.role}`.", field="kind")
    if not actor.may_see(new.value):
        raise Problem(422, NO_TEAM, field="value")


def _concerns(revocation: Revocation, actor: Actor, own_keys: frozenset[str]) -> bool:
    match revocation.kind:
        case RevocationKind.TEAM:
            return actor.may_see(revocation.value)
        case RevocationKind.KEY:
            return revocation.value in own_keys
        case _:
            return False


def _shown(revocation: Revocation) -> ShownRevocation:
    return ShownRevocation(**{**asdict(revocation), "kind": revocation.kind.value})
