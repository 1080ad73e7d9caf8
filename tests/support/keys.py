"""Keys of an installation, made and taken back as an operator would."""

from typing import Any

from gateway.app.desks import key_desk
from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from gateway.settings.tree import Settings

OPERATOR = Actor("token:tests", Role.OPERATOR)


async def make_key(settings: Settings, team: str, name: str, **more: Any) -> str:
    """The key itself. `more`: of what it is to be, as NewKey calls it."""
    async with key_desk(settings) as desk:
        _, key = await desk.create(NewKey(team=team, name=name, **more), OPERATOR)
        return key


async def revoke_key(settings: Settings, key: str, **more: Any) -> None:
    """`key`: the key itself. `more`: as the desk calls it."""
    async with key_desk(settings) as desk:
        await desk.revoke(key[4:16], by=OPERATOR, **more)
